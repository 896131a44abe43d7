"""Edits that invert a composed picture: semantic diffusion, crossover and inpainting."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from dataclasses import dataclass

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.codes import Code
from ganvert.editing.compose import (
    CENTRE,
    CROP,
    Composed,
    box_mask,
    crossover,
    diffusion,
    inpainting,
    invert_composed,
    preset_for_parts,
)
from ganvert.editing.contract import Edit, EditInputs, Needs
from ganvert.editing.edits.interpolate import Interpolate
from ganvert.generators.base import SynthesisInput
from ganvert.inversion.inverter import Preset

__all__ = ["ComposedEdit", "Crossover", "Diffuse", "Inpaint"]

#: Codes of composed pictures, for the time that their inputs are in use: every amount is drawn from the same one.
_FOUND: weakref.WeakKeyDictionary[EditInputs, Code] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class ComposedEdit(Edit):
    """The way from an image's code to that of a picture composed of it: 0 is the code, 1 the composed picture's.

    The composed picture is inverted by the method that found the codes, whose space it shares.
    """

    @abstractmethod
    def compose(self, inputs: EditInputs) -> Composed:
        """Return what is inverted."""

    def method(self, preset: Preset) -> Preset:
        return preset_for_parts(preset)

    def check(self, inputs: EditInputs, amount: float) -> None:
        super().check(inputs, amount)
        if inputs.code.tuned is not None:
            raise UnsupportedError(
                f"{inputs.code.image_id}: has a generator of its own, which draws no other picture; wanted codes of a "
                "method without tuning"
            )

    def apply(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        if amount == 0:
            return inputs.code.synthesis_input()
        found = EditInputs(code=inputs.code, references=[self._code(inputs)])
        return Interpolate().apply(found, amount)

    def _code(self, inputs: EditInputs) -> Code:
        if inputs not in _FOUND:
            assert inputs.preset is not None and inputs.context is not None
            image_id = "+".join(code.image_id for code in (inputs.code, *inputs.references))
            preset = self.method(inputs.preset)
            _FOUND[inputs] = invert_composed(self.compose(inputs), image_id, preset, inputs.context)
        return _FOUND[inputs]


@dataclass(frozen=True, kw_only=True)
class Diffuse(ComposedEdit):
    """Semantic diffusion: the face of a reference image in the surroundings of the image (IDInvert, section 6).

    Attributes:
        crop: side of the square that is the reference's, in pixels of a picture of 256 px. Larger ones keep the person
            better and bring hair along.
        centre: of the square, x and y.
        around: how much the image counts around the square, 0 to 1; see :func:`ganvert.editing.compose.diffusion`.
    """

    crop: int = CROP
    centre: tuple[int, int] = CENTRE
    around: float = 0.0

    def __post_init__(self) -> None:
        box_mask(1, self.crop, self.centre)
        if not 0 <= self.around <= 1:
            raise ParamsError(f"around: wanted 0 to 1, got {self.around}")

    @property
    def needs(self) -> Needs:
        return Needs(references=("target",), pictures=True, context=True)

    def compose(self, inputs: EditInputs) -> Composed:
        assert inputs.picture is not None
        mask = box_mask(inputs.picture.width, self.crop, self.centre)
        return diffusion(inputs.reference_pictures[0], inputs.picture, mask, self.around)


@dataclass(frozen=True, kw_only=True)
class Crossover(ComposedEdit):
    """Crossover: what the mask finds on a reference image, on the image (Image2StyleGAN++, section 4).

    Attributes:
        blur: standard deviation of the mask's blur in parts of the side.
    """

    blur: float = 0.05

    @property
    def needs(self) -> Needs:
        return Needs(references=("part",), pictures=True, context=True, mask=True, mask_of_reference=True)

    def compose(self, inputs: EditInputs) -> Composed:
        assert inputs.picture is not None and inputs.mask is not None
        return crossover(inputs.reference_pictures[0], inputs.picture, inputs.mask, self.blur)


@dataclass(frozen=True, kw_only=True)
class Inpaint(ComposedEdit):
    """Inpainting: the image where the mask is white, as the generator completes it (Image2StyleGAN++, section 4)."""

    @property
    def needs(self) -> Needs:
        return Needs(pictures=True, context=True, mask=True)

    def compose(self, inputs: EditInputs) -> Composed:
        assert inputs.picture is not None and inputs.mask is not None
        return inpainting(inputs.picture, inputs.mask)
