"""The generator contract: what every architecture promises, and what it can be told."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganvert.base.errors import GanvertError, ShapeError, TableError, UnsupportedError

__all__ = [
    "FeaturePoint",
    "Generator",
    "Noise",
    "PaddableConv",
    "StyleSlot",
    "SynthesisInput",
    "Taps",
    "check_owner",
    "check_shape",
]

#: The stored maps, no noise, or one tensor [N or 1, 1, h, h] per noise input; the network multiplies them by its
#: learned strengths, so that given maps are standard normal.
Noise = Literal["const", "none"] | Sequence[Tensor]


@dataclass(frozen=True)
class StyleSlot:
    """One affine output (a vector of S): its name, width, the row of ws it reads, the resolution it acts at."""

    name: str
    width: int
    row: int
    resolution: int


@dataclass(frozen=True)
class FeaturePoint:
    """A named activation inside the network, shape (channels, height, width) per image."""

    name: str
    shape: tuple[int, int, int]
    #: First row of ws that still acts on the image when this feature is injected.
    first_row: int


@dataclass(frozen=True)
class PaddableConv:
    """A 3x3 convolution whose zero padding can be replaced: padding [N, channels, resolution + 2, resolution + 2]."""

    name: str
    channels: int
    resolution: int


@dataclass(frozen=True, kw_only=True)
class SynthesisInput:
    """Everything a synthesis network can be told. Exactly one of `ws` and `styles` is required.

    Attributes:
        ws: [N, num_ws, w_dim].
        styles: slot name to [N, width]; replaces the affine outputs. All slots, or some beside `ws`.
        noise: see :data:`Noise`.
        features: feature point name to [N, c, h, w]: the activation there is replaced and everything coarser skipped.
        deltas: feature point name to [N, c, h, w], added to the activation there (coarser layers go on acting).
        masks: feature point name to [N or 1, 1, h, w], multiplies the delta of that point.
        padding: paddable convolution to [N, c, h + 2, w + 2]: its border replaces the zero padding (PadInv). The input
            is modulated before it is padded, so styles do not act on padding.
        transform: [3, 3] or [N, 3, 3], the inverse of a movement of the picture (StyleGAN3 only).
    """

    ws: Tensor | None = None
    styles: Mapping[str, Tensor] | None = None
    noise: Noise = "const"
    features: Mapping[str, Tensor] | None = None
    deltas: Mapping[str, Tensor] | None = None
    masks: Mapping[str, Tensor] | None = None
    padding: Mapping[str, Tensor] | None = None
    transform: Tensor | None = None

    @property
    def count(self) -> int:
        """N, the number of images."""
        given = self.ws if self.ws is not None else next(iter((self.styles or {}).values()))
        return len(given)


def check_owner(
    generator: Generator, owner: str | None, what: str, remedy: str, error: type[GanvertError] = TableError
) -> None:
    """Refuse what belongs to another generator.

    Args:
        generator: the generator in use.
        owner: the fingerprint that the file names, or None.
        what: the file and what it holds, such as ``codes.parquet: codes``.
        remedy: what the user can do.
        error: the type of the error.

    Raises:
        GanvertError: of the type `error`, when `owner` is not the fingerprint of `generator`.
    """
    if owner != generator.fingerprint():
        raise error(f"{what} of generator {str(owner)[:12]}, not of {generator.fingerprint()[:12]}; {remedy}")


def check_shape(tensor: Tensor, shape: Sequence[int | None], what: str) -> None:
    """Raise :class:`ShapeError` unless `tensor` has `shape` (None matches anything)."""
    if tensor.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, tensor.shape, strict=True)):
        wanted = ", ".join("N" if size is None else str(size) for size in shape)
        raise ShapeError(f"{what}: wanted [{wanted}], got {list(tensor.shape)}")


class Taps:
    """What happens at feature points while a network runs: replacing, adding, reading.

    A network goes through its points from coarse to fine::

        for i, name in enumerate(points):
            if i < taps.start or i > taps.end:
                continue
            x = taps.at(name, taps.injected if i == taps.start else layer(x))
    """

    def __init__(self, points: Sequence[str], told: SynthesisInput, read: Sequence[str], stop: bool) -> None:
        """`start` is the finest injected point or -1, `end` the last point that is needed."""
        self.told, self.read, self.seen = told, read, {}  # type: tuple[SynthesisInput, Sequence[str], dict[str, Tensor]]
        names = list(points)
        # Plain max over lists: torch.compile cannot trace `default=`.
        self.start = max([-1] + [names.index(name) for name in (told.features or {})])
        self.end = max([-1] + [names.index(name) for name in read]) if stop else len(names) - 1
        self.injected = told.features[names[self.start]] if told.features and self.start >= 0 else None

    def at(self, name: str, x: Tensor | None) -> Tensor:
        """The activation that flows on from point `name`."""
        assert x is not None
        delta = (self.told.deltas or {}).get(name)
        if delta is not None:
            mask = (self.told.masks or {}).get(name)
            x = x + (delta if mask is None else delta * mask)
        if name in self.read:
            self.seen[name] = x
        return x


class Generator(nn.Module, ABC):
    """A frozen style-based generator. Images are raw network output, RGB about [-1, 1], not clamped.

    Attributes:
        label_dim: classes of a conditional generator, 0 for others.
        label: the class that :meth:`map` uses where no labels are given; None asks for labels.
        rows_differ: the mapping network gives every row of ws its own w (IDInvert's StyleGAN1).
        source: the file it was read from, if it was.
        untuned: the generator that this one is a tuned copy of (:mod:`ganvert.generators.tuned`), else None.
        config: facts about the network that its tensors do not show.
    """

    architecture: str
    resolution: int
    z_dim: int
    w_dim: int
    num_ws: int
    image_channels: int = 3
    label_dim: int = 0
    label: int | None = None
    rows_differ: bool = False
    source: Path | None = None
    untuned: Generator | None = None
    config: Mapping[str, Any]
    w_avg: Tensor  # [w_dim]

    def __init__(self) -> None:
        super().__init__()
        self.config = {}

    @property
    @abstractmethod
    def style_layout(self) -> tuple[StyleSlot, ...]:
        """The vectors of S in execution order."""

    @property
    @abstractmethod
    def feature_points(self) -> tuple[FeaturePoint, ...]:
        """Activations that can be read and injected, coarse to fine."""

    @property
    @abstractmethod
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every noise input in execution order."""

    @property
    @abstractmethod
    def paddable(self) -> tuple[PaddableConv, ...]:
        """Convolutions that take padding, coarse to fine."""

    @abstractmethod
    def _mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """The mapping network: z [N, z_dim], labels [N, label_dim] of conditional ones, to [N, w_dim].

        [N, num_ws, w_dim] where ``rows_differ``.
        """

    @abstractmethod
    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        """Every affine applied: ws [N, num_ws, w_dim] to slot name -> [N, width]."""

    @abstractmethod
    def run(
        self, told: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Synthesise; return images and the activations named in `read`.

        With ``stop`` the network ends after the last activation read and the images are empty. Where somebody is
        content with a picture of `px` or more, it may be a smaller one: averages over squares of the whole one.
        """

    def map_to_w(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mapping network alone, no truncation.

        Args:
            z: [N, z_dim], standard normal or on the sphere of radius sqrt(z_dim) (the network normalises).
            labels: [N, label_dim], usually one-hot; only conditional generators take them. Without them the generator's
                own ``label`` counts.

        Returns:
            w [N, w_dim]; [N, num_ws, w_dim] where ``rows_differ``.
        """
        check_shape(z, (None, self.z_dim), "z")
        if not self.label_dim:
            if labels is not None:
                raise UnsupportedError(f"{self.architecture} is not conditional: call map without labels")
        elif labels is not None:
            check_shape(labels, (len(z), self.label_dim), "labels")
            labels = labels.to(z)
        elif self.label is None:
            raise UnsupportedError(
                f"{self.architecture} is conditional: give labels [N, {self.label_dim}], or choose one class "
                f"(params: generator.label, 0 to {self.label_dim - 1})"
            )
        else:
            labels = torch.eye(self.label_dim, device=z.device, dtype=z.dtype)[self.label].expand(len(z), -1)
        return self._mapping(z, labels)

    def map_rows(self, z: Tensor, first_row: int = 0) -> Tensor:
        """One z per row of ws from `first_row` on: z [N, rows, z_dim] to [N, rows, w_dim], no truncation."""
        w = self.map_to_w(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        # Where every row has its own w, row i of z is asked for row i of its ws: [N, i, i].
        return w.diagonal(offset=first_row, dim1=1, dim2=2).transpose(1, 2) if self.rows_differ else w

    def map(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Map z to ws with truncation towards ``w_avg``.

        Args:
            z: see :meth:`map_to_w`.
            labels: see :meth:`map_to_w`.
            psi: truncation, 1 for none (Karras et al. 2019, section 2.2 / appendix B).
            cutoff: truncate only the first `cutoff` rows; None for all.

        Returns:
            ws [N, num_ws, w_dim].
        """
        w = self.map_to_w(z, labels)
        ws = w if self.rows_differ else w.unsqueeze(1).expand(-1, self.num_ws, -1)
        if psi == 1.0:
            return ws
        rows = self.num_ws if cutoff is None else cutoff
        truncated = self.w_avg + psi * (ws[:, :rows] - self.w_avg)
        return torch.cat([truncated, ws[:, rows:]], dim=1)

    def stored_noise(self) -> list[Tensor]:
        """The maps that act with ``noise="const"`` as they would be given: [1, 1, h, h], to be multiplied by strengths.

        Raises:
            UnsupportedError: the network stores none.
        """
        raise UnsupportedError(f"{self.architecture} stores no noise maps: start from random ones")

    def styles_told(self, told: SynthesisInput) -> dict[str, Tensor]:
        """The affine outputs of its ws, and the styles that are given in their place: slot name to [N, width]."""
        return {**({} if told.ws is None else self.styles(told.ws)), **(told.styles or {})}

    def synthesize(
        self,
        told: SynthesisInput | None = None,
        *,
        ws: Tensor | None = None,
        styles: Mapping[str, Tensor] | None = None,
        noise: Noise = "const",
        px: int | None = None,
    ) -> Tensor:
        """Draw images [N, C, resolution, resolution] from a SynthesisInput, or from `ws` / `styles` directly.

        With `px` they may be smaller, as :meth:`run` says.
        """
        return self.run(told or SynthesisInput(ws=ws, styles=styles, noise=noise), px=px)[0]

    def features(self, told: SynthesisInput, names: Sequence[str]) -> dict[str, Tensor]:
        """The named activations, without drawing what comes after the last of them."""
        return self.run(told, read=names, stop=True)[1]

    def fingerprint(self) -> str:
        """sha256 over architecture, configuration, and names, shapes and values of all weights: the identity."""
        digest = hashlib.sha256(self.architecture.encode())
        if self.config:
            digest.update(json.dumps(dict(self.config), sort_keys=True).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def check(self, told: SynthesisInput) -> None:
        """Refuse what this network cannot be told, before any work."""
        slots = {slot.name: slot for slot in self.style_layout}
        if told.ws is None and set(told.styles or {}) != set(slots):
            raise UnsupportedError(f"{self.architecture}: give ws, or all {len(slots)} styles")
        if told.ws is not None:
            check_shape(told.ws, (None, self.num_ws, self.w_dim), "ws")
        for name, value in (told.styles or {}).items():
            if name not in slots:
                raise UnsupportedError(f"{self.architecture} has no style {name!r}; it has {', '.join(slots)}")
            check_shape(value, (None, slots[name].width), f"style {name}")
        points = {point.name: point for point in self.feature_points}
        for what in ("features", "deltas", "masks"):
            for name, value in (getattr(told, what) or {}).items():
                if name not in points:
                    raise UnsupportedError(
                        f"{self.architecture} has no feature point {name!r}; it has {', '.join(points)}"
                    )
                channels, height, width = points[name].shape
                check_shape(value, (None, 1 if what == "masks" else channels, height, width), f"{what} {name}")
        if set(told.masks or {}) - set(told.deltas or {}):
            raise UnsupportedError("masks: a mask acts on the delta of its point; give that delta too")
        convs = {conv.name: conv for conv in self.paddable}
        for name, value in (told.padding or {}).items():
            if name not in convs:
                raise UnsupportedError(
                    f"{self.architecture} has no paddable convolution {name!r}; it has {', '.join(convs) or 'none'}"
                )
            size = convs[name].resolution + 2
            check_shape(value, (None, convs[name].channels, size, size), f"padding {name}")
        if told.transform is not None:
            raise UnsupportedError(f"{self.architecture} cannot move its picture: only StyleGAN3 takes a transform")
        if isinstance(told.noise, str):
            if told.noise not in ("const", "none"):
                raise UnsupportedError(f"noise: wanted 'const', 'none' or tensors, got {told.noise!r}")
            return
        if not self.noise_shapes:
            raise UnsupportedError(f"{self.architecture} has no noise inputs")
        if len(told.noise) != len(self.noise_shapes):
            raise ShapeError(f"noise: wanted {len(self.noise_shapes)} maps, got {len(told.noise)}")
        for shape, value in zip(self.noise_shapes, told.noise, strict=True):
            check_shape(value, (None, 1, *shape), "noise map")
