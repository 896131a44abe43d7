"""The generator contract: what every architecture provides, and the inputs of a synthesis network."""

from __future__ import annotations

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import GanvertError, ShapeError, TableError, UnsupportedError
from ganvert.compute.kernels import to_channels_last
from ganvert.networks.mapping import Dense

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
    "labels_for",
]

#: The stored maps, no noise, or one tensor [N or 1, 1, h, h] per noise input. The network multiplies given maps by its
#: learned strengths, so they should be standard normal.
Noise = Literal["const", "none"] | Sequence[Tensor]


@dataclass(frozen=True)
class StyleSlot:
    """One affine output, a vector of S: its name, width, the row of ws it reads and the resolution it acts at."""

    name: str
    width: int
    row: int
    resolution: int
    #: Whether it scales what becomes colours (toRGB) and not the input of a further convolution.
    to_rgb: bool = False


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
    """All inputs of a synthesis network. `ws`, or `styles` for every slot, is required.

    Attributes:
        ws: [N, num_ws, w_dim].
        styles: slot name to [N, width]; replaces the affine outputs. All slots, or some of them together with `ws`.
        noise: see :data:`Noise`.
        features: feature point name to [N, c, h, w]: replaces the activation there; everything coarser is skipped.
        scales: feature point name to [N, c, h, w]: the activation there is multiplied by 1 + scale (HFGI).
        deltas: feature point name to [N, c, h, w], added to the activation there, after its scale; coarser layers
            still act.
        masks: feature point name to [N or 1, 1, h, w], multiplies the delta at that point.
        padding: paddable convolution to [N, c, h + 2, w + 2]: its border replaces the zero padding (PadInv). The input
            is modulated before it is padded, so styles do not act on the padding.
        transform: [3, 3] or [N, 3, 3], the inverse of a transform of the image plane (StyleGAN3 only).
    """

    ws: Tensor | None = None
    styles: Mapping[str, Tensor] | None = None
    noise: Noise = "const"
    features: Mapping[str, Tensor] | None = None
    scales: Mapping[str, Tensor] | None = None
    deltas: Mapping[str, Tensor] | None = None
    masks: Mapping[str, Tensor] | None = None
    padding: Mapping[str, Tensor] | None = None
    transform: Tensor | None = None

    @property
    def count(self) -> int:
        """Number of images N."""
        return len(self.ws) if self.ws is not None else len(next(iter((self.styles or {}).values())))


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


def labels_for(inputs: Tensor, labels: Tensor | None, classes: int, label: int | None, what: str) -> Tensor | None:
    """Return the labels [N, classes] of a conditional network, None for one without classes.

    Args:
        inputs: [N, ...]; the labels get their type and device.
        labels: [N, classes], usually one-hot, or None for the network's own class.
        classes: number of classes of the network, 0 for none.
        label: the network's own class, or None.
        what: what error messages call the network.

    Raises:
        ShapeError: the labels have the wrong shape.
        UnsupportedError: labels for a network without classes, or none for one with classes but without a `label`.
    """
    if not classes:
        if labels is not None:
            raise UnsupportedError(f"{what} is not conditional: call it without labels")
        return None
    if labels is not None:
        check_shape(labels, (len(inputs), classes), "labels")
        return labels.to(inputs)
    if label is None:
        raise UnsupportedError(
            f"{what} is conditional: give labels [N, {classes}], or choose one class (params: generator.label, "
            f"0 to {classes - 1})"
        )
    # Not a row of an identity matrix, which would be as large as the square of what a file says.
    return F.one_hot(torch.tensor([label]), classes).to(inputs).expand(len(inputs), -1)


class Taps:
    """Replaces, changes and records activations at the feature points of a network while it runs.

    A network visits its points from coarse to fine::

        for i, name in enumerate(points):
            if i < taps.start or i > taps.end:
                continue
            x = taps.at(name, taps.injected if i == taps.start else layer(x))
    """

    def __init__(self, points: Sequence[str], synthesis_input: SynthesisInput, read: Sequence[str], stop: bool) -> None:
        """Find where the network starts and ends.

        Args:
            points: names of all feature points, coarse to fine.
            synthesis_input: its features, scales, deltas and masks are applied.
            read: names of the points whose activations are recorded in `activations`.
            stop: whether the network may end after the last of these.
        """
        self.scales = synthesis_input.scales or {}
        self.deltas, self.masks = synthesis_input.deltas or {}, synthesis_input.masks or {}
        self.read = read
        self.activations: dict[str, Tensor] = {}
        features, names = synthesis_input.features or {}, list(points)
        # Indices of the finest injected point (-1: none) and of the last point needed. Plain max over lists because
        # torch.compile cannot trace `default=`.
        self.start = max([-1] + [names.index(name) for name in features])
        self.end = max([-1] + [names.index(name) for name in read]) if stop else len(names) - 1
        # Of several injected features only the finest one matters: it hides whatever is coarser.
        self.injected = features[names[self.start]] if self.start >= 0 else None

    def at(self, name: str, x: Tensor | None) -> Tensor:
        """Apply the scale and the delta of point `name` to its activation `x`, record it if wanted, and return it."""
        assert x is not None
        scale = self.scales.get(name)
        if scale is not None:
            x = x * (1 + scale)
        delta = self.deltas.get(name)
        if delta is not None:
            mask = self.masks.get(name)
            x = x + (delta if mask is None else delta * mask)
        if name in self.read:
            self.activations[name] = x
        return x


class Generator(nn.Module, ABC):
    """A frozen style-based generator. Images are raw network output: RGB, nominally in [-1, 1], not clamped.

    Attributes:
        label_dim: number of classes of a conditional generator, 0 for an unconditional one.
        label: the class that :meth:`map` uses when no labels are given; None makes labels mandatory.
        rows_differ: whether the mapping network emits a separate w for every row of ws (IDInvert's StyleGAN1).
        source: the file that it was read from, or None.
        untuned: the generator that this one is a tuned copy of (:mod:`ganvert.generators.tuned`), else None.
        config: properties of the network that its tensors do not show.
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
    #: Parts that compute in float32 in any case: what makes w and styles (and StyleGAN3's waves).
    exact: ClassVar[tuple[type[nn.Module], ...]] = (nn.Linear, Dense)

    def __init__(self) -> None:
        super().__init__()
        self.config = {}

    @property
    @abstractmethod
    def style_layout(self) -> tuple[StyleSlot, ...]:
        """Vectors of S in execution order."""

    @property
    @abstractmethod
    def feature_points(self) -> tuple[FeaturePoint, ...]:
        """Activations that can be read and injected, coarse to fine."""

    @property
    @abstractmethod
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every noise input in execution order."""

    @property
    @abstractmethod
    def paddable(self) -> tuple[PaddableConv, ...]:
        """Convolutions that take padding, coarse to fine."""

    @abstractmethod
    def _mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Map z [N, z_dim], and labels [N, label_dim] of a conditional network, to w [N, w_dim].

        With ``rows_differ`` the result is [N, num_ws, w_dim].
        """

    @abstractmethod
    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        """Apply all affine layers: ws [N, num_ws, w_dim] to slot name -> [N, width]."""

    def style_weights(self) -> dict[str, Tensor]:
        """Return the matrices of all affine layers: slot name -> [width, w_dim], in the order of `style_layout`.

        Gains are included, biases are not: a change dw of a row changes the styles of its slots by ``A dw``.
        """
        # What the layers make of the unit vectors, less what they make of zero: true of any layer that is affine,
        # whatever an architecture calls its weights and wherever it keeps the gain.
        inputs = torch.cat([torch.zeros_like(self.w_avg)[None], torch.eye(self.w_dim).to(self.w_avg)])
        outputs = self.styles(inputs[:, None].expand(-1, self.num_ws, -1))
        return {slot.name: (outputs[slot.name][1:] - outputs[slot.name][:1]).T for slot in self.style_layout}

    @abstractmethod
    def run(
        self, synthesis_input: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Synthesise images, and return them with the activations named in `read`.

        Args:
            synthesis_input: the inputs of the network.
            read: names of feature points.
            stop: end after the last of these; the images are then empty.
            px: the images may have any resolution of at least `px`; smaller ones are averages over squares of pixels.
        """

    def map_to_w(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map z to w without truncation.

        Args:
            z: [N, z_dim], standard normal or on the sphere of radius sqrt(z_dim); the network normalises it.
            labels: [N, label_dim], usually one-hot; only for conditional generators. The default is the generator's
                own ``label``.

        Returns:
            w [N, w_dim]; [N, num_ws, w_dim] with ``rows_differ``.

        Raises:
            ShapeError: z or the labels have the wrong shape.
            UnsupportedError: labels for an unconditional generator, or none for a conditional one without a ``label``.
        """
        check_shape(z, (None, self.z_dim), "z")
        return self._mapping(z, labels_for(z, labels, self.label_dim, self.label, self.architecture))

    def map_rows(self, z: Tensor, first_row: int = 0) -> Tensor:
        """Map one z per row of ws from `first_row` on: [N, rows, z_dim] to [N, rows, w_dim], without truncation."""
        w = self.map_to_w(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        # With rows_differ each z gives a w for every row, of which only its own is used: entry [N, i, i].
        return w.diagonal(offset=first_row, dim1=1, dim2=2).transpose(1, 2) if self.rows_differ else w

    def map(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Map z to ws with truncation towards ``w_avg``.

        Args:
            z: see :meth:`map_to_w`.
            labels: see :meth:`map_to_w`.
            psi: truncation, 1 for none (Karras et al. 2019, appendix B).
            cutoff: truncate only the first `cutoff` rows; None for all.

        Returns:
            ws [N, num_ws, w_dim].
        """
        w = self.map_to_w(z, labels)
        ws = w if self.rows_differ else w.unsqueeze(1).expand(-1, self.num_ws, -1)
        if psi == 1.0:
            return ws
        rows = self.num_ws if cutoff is None else cutoff
        # The first rows act at coarse resolutions: truncating only them keeps the variety of fine details.
        truncated = self.w_avg + psi * (ws[:, :rows] - self.w_avg)
        return torch.cat([truncated, ws[:, rows:]], dim=1)

    def stored_noise(self) -> list[Tensor]:
        """Return the maps that act with ``noise="const"``, before their strengths: one [1, 1, h, h] per noise input.

        Raises:
            UnsupportedError: the network stores none.
        """
        raise UnsupportedError(f"{self.architecture} stores no noise maps: start from random ones")

    def resolve_styles(self, synthesis_input: SynthesisInput) -> dict[str, Tensor]:
        """Return the styles of all slots: affine outputs of the ws, replaced by styles that are given explicitly."""
        computed = {} if synthesis_input.ws is None else self.styles(synthesis_input.ws)
        return {**computed, **(synthesis_input.styles or {})}

    def synthesize(
        self,
        synthesis_input: SynthesisInput | None = None,
        *,
        ws: Tensor | None = None,
        styles: Mapping[str, Tensor] | None = None,
        noise: Noise = "const",
        px: int | None = None,
    ) -> Tensor:
        """Synthesise images [N, C, resolution, resolution] from a SynthesisInput, or from `ws` or `styles` directly.

        With `px` they may be smaller, see :meth:`run`.
        """
        return self.run(synthesis_input or SynthesisInput(ws=ws, styles=styles, noise=noise), px=px)[0]

    def features(self, synthesis_input: SynthesisInput, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the named activations without running the layers after the last of them."""
        return self.run(synthesis_input, read=names, stop=True)[1]

    def in_bfloat16(self) -> Self:
        """Return a copy that draws in bfloat16 with channels last, for optimisations on a CPU.

        Its weights are cast once; :attr:`exact` parts stay float32, and so do ws and styles. Features, noise and
        padding that it is given have to be bfloat16, and images and activations that it returns are.
        """
        drawing = copy.deepcopy(self, {} if self.untuned is None else {id(self.untuned): self.untuned})
        for module in drawing.modules():
            if not isinstance(module, self.exact):
                own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
                for tensor in (tensor for name, tensor in own if not name.startswith("w_avg")):
                    tensor.data = to_channels_last(tensor.data)
        return drawing

    def fingerprint(self) -> str:
        """Return the sha256 of architecture, configuration, and names, shapes and values of all weights."""
        digest = hashlib.sha256(self.architecture.encode())
        if self.config:
            digest.update(json.dumps(dict(self.config), sort_keys=True).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def check(self, synthesis_input: SynthesisInput) -> None:
        """Refuse inputs that this network lacks or whose shapes are wrong, before any work.

        Raises:
            UnsupportedError: the network has no such input.
            ShapeError: a tensor has the wrong shape.
        """
        self._check_styles(synthesis_input)
        self._check_features(synthesis_input)
        self._check_padding(synthesis_input.padding or {})
        self._check_noise(synthesis_input.noise)
        if synthesis_input.transform is not None:
            raise UnsupportedError(f"{self.architecture} cannot move its picture: only StyleGAN3 takes a transform")

    def _check_styles(self, synthesis_input: SynthesisInput) -> None:
        slots = {slot.name: slot for slot in self.style_layout}
        styles = synthesis_input.styles or {}
        if synthesis_input.ws is not None:
            check_shape(synthesis_input.ws, (None, self.num_ws, self.w_dim), "ws")
        elif set(styles) != set(slots):
            raise UnsupportedError(f"{self.architecture}: give ws, or all {len(slots)} styles")
        for name, value in styles.items():
            if name not in slots:
                raise UnsupportedError(f"{self.architecture} has no style {name!r}; it has {', '.join(slots)}")
            check_shape(value, (None, slots[name].width), f"style {name}")

    def _check_features(self, synthesis_input: SynthesisInput) -> None:
        points = {point.name: point for point in self.feature_points}
        deltas, masks = synthesis_input.deltas or {}, synthesis_input.masks or {}
        for kind in ("features", "scales", "deltas", "masks"):
            for name, value in (getattr(synthesis_input, kind) or {}).items():
                if name not in points:
                    raise UnsupportedError(
                        f"{self.architecture} has no feature point {name!r}; it has {', '.join(points)}"
                    )
                channels, height, width = points[name].shape
                check_shape(value, (None, 1 if kind == "masks" else channels, height, width), f"{kind} {name}")
        if set(masks) - set(deltas):
            raise UnsupportedError("masks: a mask acts on the delta of its point; give that delta too")

    def _check_padding(self, padding: Mapping[str, Tensor]) -> None:
        convs = {conv.name: conv for conv in self.paddable}
        for name, value in padding.items():
            if name not in convs:
                raise UnsupportedError(
                    f"{self.architecture} has no paddable convolution {name!r}; it has {', '.join(convs) or 'none'}"
                )
            size = convs[name].resolution + 2
            check_shape(value, (None, convs[name].channels, size, size), f"padding {name}")

    def _check_noise(self, noise: Noise) -> None:
        if isinstance(noise, str):
            if noise not in ("const", "none"):
                raise UnsupportedError(f"noise: wanted 'const', 'none' or tensors, got {noise!r}")
            return
        if not self.noise_shapes:
            raise UnsupportedError(f"{self.architecture} has no noise inputs")
        if len(noise) != len(self.noise_shapes):
            raise ShapeError(f"noise: wanted {len(self.noise_shapes)} maps, got {len(noise)}")
        for shape, value in zip(self.noise_shapes, noise, strict=True):
            check_shape(value, (None, 1, *shape), "noise map")
