"""The generator contract: what every architecture promises, and what it can be told."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ganvert.errors import ShapeError, UnsupportedError

__all__ = ["FeaturePoint", "Generator", "Noise", "StyleSlot", "SynthesisInput", "check_shape"]

#: Stored noise maps, no noise, or one tensor [N or 1, 1, h, h] per noise input.
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


@dataclass(frozen=True, kw_only=True)
class SynthesisInput:
    """Everything a synthesis network can be told. Exactly one of `ws` and `styles` is required.

    Attributes:
        ws: [N, num_ws, w_dim].
        styles: slot name to [N, width]; replaces the affine outputs. All slots, or some beside `ws`.
        noise: see :data:`Noise`.
        features: feature point name to [N, c, h, w]: the activation there is replaced and everything coarser skipped.
    """

    ws: Tensor | None = None
    styles: Mapping[str, Tensor] | None = None
    noise: Noise = "const"
    features: Mapping[str, Tensor] | None = None


def check_shape(tensor: Tensor, shape: Sequence[int | None], what: str) -> None:
    """Raise :class:`ShapeError` unless `tensor` has `shape` (None matches anything)."""
    if tensor.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, tensor.shape, strict=True)):
        wanted = ", ".join("N" if size is None else str(size) for size in shape)
        raise ShapeError(f"{what}: wanted [{wanted}], got {list(tensor.shape)}")


class Generator(nn.Module, ABC):
    """A frozen style-based generator. Images are raw network output, RGB about [-1, 1], not clamped."""

    architecture: str
    resolution: int
    z_dim: int
    w_dim: int
    num_ws: int
    image_channels: int = 3
    w_avg: Tensor  # [w_dim]

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
    def noise_strengths(self) -> tuple[float, ...]:
        """RMS that a noise map has where the network adds it, one per noise input."""

    @abstractmethod
    def map_to_w(self, z: Tensor) -> Tensor:
        """The mapping network alone: z [N, z_dim] to w [N, w_dim], no truncation."""

    @abstractmethod
    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        """Every affine applied: ws [N, num_ws, w_dim] to slot name -> [N, width]."""

    @abstractmethod
    def run(
        self, told: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Synthesise; return images and the activations named in `read`.

        With ``stop`` the network ends after the last activation read and the images are empty.
        """

    def map(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Map z to ws with truncation towards ``w_avg``.

        Args:
            z: [N, z_dim], standard normal or on the sphere of radius sqrt(z_dim) (the network normalises).
            labels: class labels; only conditional generators take them.
            psi: truncation, 1 for none (Karras et al. 2019, section 2.2 / appendix B).
            cutoff: truncate only the first `cutoff` rows; None for all.

        Returns:
            ws [N, num_ws, w_dim].
        """
        if labels is not None:
            raise UnsupportedError(f"{self.architecture} is not conditional: call map without labels")
        check_shape(z, (None, self.z_dim), "z")
        ws = self.map_to_w(z).unsqueeze(1).expand(-1, self.num_ws, -1)
        if psi == 1.0:
            return ws
        rows = self.num_ws if cutoff is None else cutoff
        truncated = self.w_avg + psi * (ws[:, :rows] - self.w_avg)
        return torch.cat([truncated, ws[:, rows:]], dim=1)

    def synthesize(
        self,
        told: SynthesisInput | None = None,
        *,
        ws: Tensor | None = None,
        styles: Mapping[str, Tensor] | None = None,
        noise: Noise = "const",
    ) -> Tensor:
        """Draw images [N, C, resolution, resolution] from a SynthesisInput, or from `ws` / `styles` directly."""
        return self.run(told or SynthesisInput(ws=ws, styles=styles, noise=noise))[0]

    def features(self, told: SynthesisInput, names: Sequence[str]) -> dict[str, Tensor]:
        """The named activations, without drawing what comes after the last of them."""
        return self.run(told, read=names, stop=True)[1]

    def fingerprint(self) -> str:
        """sha256 over architecture, names, shapes and values of all weights: the generator's identity."""
        digest = hashlib.sha256(self.architecture.encode())
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
        for name, value in (told.features or {}).items():
            if name not in points:
                raise UnsupportedError(f"{self.architecture} has no feature point {name!r}; it has {', '.join(points)}")
            check_shape(value, (None, *points[name].shape), f"feature {name}")
        if not isinstance(told.noise, str):
            if len(told.noise) != len(self.noise_shapes):
                raise ShapeError(f"noise: wanted {len(self.noise_shapes)} maps, got {len(told.noise)}")
            for shape, value in zip(self.noise_shapes, told.noise, strict=True):
                check_shape(value, (None, 1, *shape), "noise map")
        elif told.noise not in ("const", "none"):
            raise UnsupportedError(f"noise: wanted 'const', 'none' or tensors, got {told.noise!r}")
