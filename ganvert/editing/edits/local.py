"""Edits within a region of the picture: masked feature maps, as SAM blends them (Parmar et al. 2022)."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.directions import Direction
from ganvert.editing.contract import Edit, EditInputs, Needs
from ganvert.editing.edits.mix import Mix
from ganvert.editing.edits.shift import Shift
from ganvert.generators.base import FeaturePoint, Generator, SynthesisInput
from ganvert.spaces import Space

__all__ = ["Local", "LocalMix", "Within"]

_PX = 256  # side at which masks grow and get their soft edges


@dataclass(frozen=True, kw_only=True)
class Within(Edit):
    """Another edit inside a mask; outside, the feature maps stay those of the code.

    At a named point of the network the activation is ``x + m (x' - x)``: x of the code, x' of the edited one, m the
    mask. SAM then draws on with the edited code, whose later rows change the whole picture. Here every later point that
    they reach is blended in the same way, and colours at the end (toRGB) are the code's own, so that only what
    convolutions carry over the mask's border changes outside.

    Attributes:
        point: side of the feature map from which on the mask acts [px]. Coarse maps know where a mouth is to a few
            pixels only; fine ones leave shapes outside that were made before, beside a changed inside.
        grow: how far the mask is widened, in parts of the picture's side: an open mouth needs more room than a closed.
        feather: width of its soft edge, likewise.
    """

    point: int = 32
    grow: float = 0.02
    feather: float = 0.02

    def __post_init__(self) -> None:
        for name in ("grow", "feather"):
            if not 0 <= getattr(self, name) <= 0.25:
                raise ParamsError(f"{name}: wanted 0 to 0.25 of the picture's side, got {getattr(self, name)}")

    @abstractmethod
    def everywhere(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        """Return the edit of the whole picture."""

    def check_space(self, space: Space, directions: Sequence[Direction]) -> None:
        super().check_space(space, directions)
        generator = space.generator
        if all(size != self.point or generator.resolution % size for size in _sizes(generator)):
            known = sorted({size for size in _sizes(generator) if generator.resolution % size == 0})
            what = f"it has {', '.join(map(str, known))}" if known else "its maps have margins that no mask has"
            raise UnsupportedError(f"point {self.point}: {generator.architecture} has no such feature map; {what}")
        own = getattr(space, "point", None)  # of a feature map that is part of the code
        if own is not None and self.point < own.shape[1]:
            raise UnsupportedError(
                f"point {self.point}: {space.name} codes have a feature map in its place; wanted {own.shape[1]} or more"
            )

    def apply(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        code, mask = inputs.code, inputs.mask
        assert mask is not None  # declared in needs
        generator = code.space.generator
        still, moved = code.synthesis_input(), self.everywhere(inputs, amount)
        soft = self._soft(mask)
        deltas, masks = dict(still.deltas or {}), dict(still.masks or {})  # the code's own, in spaces that have them
        for point in self._points(generator, still):
            # The code's own network and the edited one continue from the same blended map.
            before, after = (_feature(generator, drawn, point) for drawn in (still, moved))
            change = after - before
            if not change.any():
                continue
            here = F.interpolate(soft, size=point.shape[1:], mode="bilinear", antialias=True).to(change)
            still, moved = (_continued(drawn, point, before + here * change) for drawn in (still, moved))
            if point.name in deltas:
                own = deltas[point.name] * masks.get(point.name, 1.0)
                deltas[point.name], masks[point.name] = own + here * change, torch.ones_like(here)
            else:
                deltas[point.name], masks[point.name] = change, here
        # Deltas, not the last blended map in the place of its activation: that would leave out what coarser layers add
        # to the picture beside the chain of convolutions.
        return dataclasses.replace(code.synthesis_input(), deltas=deltas, masks=masks)

    def _points(self, generator: Generator, drawn: SynthesisInput) -> list[FeaturePoint]:
        """Return the points at which the maps are blended, coarse to fine."""
        points = [point for point in generator.feature_points if point.first_row]
        injected = [number for number, point in enumerate(points) if point.name in (drawn.features or {})]
        # What is coarser than a feature map of the code has no effect.
        return [point for point in points[max(injected, default=0) :] if point.shape[1] >= self.point]

    def _soft(self, mask: Tensor) -> Tensor:
        """Return a mask [1, 1, h, w] widened, with a soft edge that lies outside of it."""
        soft = F.interpolate(mask.float(), size=(_PX, _PX), mode="bilinear", antialias=True)
        radius = round((self.grow + self.feather / 2) * _PX)
        if radius:
            soft = F.max_pool2d(soft, 2 * radius + 1, stride=1, padding=radius)
        if blur := round(self.feather * _PX / 2):
            # Edges of the picture count as their nearest pixels: hair that leaves it is not faded out there.
            soft = F.avg_pool2d(F.pad(soft, (blur,) * 4, mode="replicate"), 2 * blur + 1, stride=1)
        return soft


@dataclass(frozen=True, kw_only=True)
class Local(Within, Shift):
    """The code moved along directions inside a mask."""

    def __post_init__(self) -> None:
        super().__post_init__()
        Shift.__post_init__(self)

    @property
    def needs(self) -> Needs:
        return Needs(direction=True, mask=True)

    def everywhere(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        return Shift.apply(self, inputs, amount)


@dataclass(frozen=True, kw_only=True)
class LocalMix(Within, Mix):
    """Style mixing inside a mask: hair in the colours of another's, the rest of the picture its own.

    Nothing moves to another place, so that the mask is not widened: beside hair it would tint the background.
    """

    first_row: int = 6
    grow: float = 0.0
    feather: float = 0.01

    @property
    def needs(self) -> Needs:
        return Needs(references=("style",), mask=True)

    def everywhere(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        return Mix.apply(self, inputs, amount)


def _sizes(generator: Generator) -> list[int]:
    return [point.shape[1] for point in generator.feature_points if point.first_row]


def _continued(drawn: SynthesisInput, point: FeaturePoint, feature: Tensor) -> SynthesisInput:
    """Return what goes on from a map at a point, which has the code's own scale and difference there already."""

    def others(tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        return {name: value for name, value in (tensors or {}).items() if name != point.name}

    changes = {name: others(getattr(drawn, name)) for name in ("scales", "deltas", "masks")}
    return dataclasses.replace(drawn, features={point.name: feature}, **changes)  # type: ignore[arg-type]


@torch.no_grad()
def _feature(generator: Generator, drawn: SynthesisInput, point: FeaturePoint) -> Tensor:
    return generator.features(drawn, [point.name])[point.name]
