"""The edit contract: a code and what an edit needs beside it go in, what the generator draws comes out."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.codes import Code
from ganvert.directions import Direction
from ganvert.editing.parts import names_of
from ganvert.generators.base import SynthesisInput
from ganvert.inversion.contract import Context
from ganvert.inversion.inverter import Preset
from ganvert.spaces import Space

__all__ = ["MOST_AMOUNT", "Edit", "EditInputs", "Needs", "check_amount"]

#: Pictures fall apart far below; beyond, the numbers of a network overflow.
MOST_AMOUNT = 1000.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Needs:
    """What an edit needs beside a code. Whatever is not declared is not loaded.

    Attributes:
        direction: at least one direction of the space that the codes move in.
        references: what each reference image is to the edit, in order, such as ("before", "after").
        part: the part of a code that it changes; "own" and "detail" exist in composed spaces only.
        mask: a mask of the region to change.
        mask_of_reference: a region that is named as a mask is looked for on the last reference image.
        pictures: the aligned crops of the image and of its references.
        context: the method that found the codes, with its generator, encoder and asset folder.
    """

    direction: bool = False
    references: tuple[str, ...] = ()
    part: str = "all"
    mask: bool = False
    mask_of_reference: bool = False
    pictures: bool = False
    context: bool = False


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class EditInputs:
    """One image to edit, and what its edit declares in :attr:`Edit.needs`.

    Attributes:
        code: the image's code, with the generator that draws the edit.
        directions: directions and how much of each makes up amount 1.
        references: codes of the reference images, in the same space.
        mask: [1, 1, resolution, resolution], 1 where the picture is to change.
        picture: the image's aligned crop.
        reference_pictures: those of the reference images.
        preset: the method that found the code, where it inverts further pictures.
        context: what it works with.
    """

    code: Code
    directions: Sequence[tuple[Direction, float]] = ()
    references: Sequence[Code] = ()
    mask: Tensor | None = None
    picture: Image.Image | None = None
    reference_pictures: Sequence[Image.Image] = ()
    preset: Preset | None = None
    context: Context | None = None


class Edit(ABC):
    """A way to change a code by an amount.

    A subclass is a frozen dataclass whose fields are its options, all with defaults.
    """

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What it needs beside a code."""

    @abstractmethod
    def apply(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        """Return what the code's own generator draws.

        The result is a synthesis input and not a code, because many edits leave the space of their code: a direction
        on some rows takes a w to W+, a masked edit adds to activations.

        Args:
            inputs: checked: :meth:`check` accepts them.
            amount: 0 is the reconstruction.

        Raises:
            UnsupportedError: the reference images have other generators, where one generator has to draw both.
        """

    def method(self, preset: Preset) -> Preset:
        """Return the method that found the codes as the edit uses it, where it needs its context (default: as it is).

        Raises:
            UnsupportedError: the edit cannot use this method.
        """
        return preset

    # Three checks, from the cheapest to the dearest: the request when parameters are read, the space before any image
    # is inverted, the inputs before anything is drawn.
    def check_request(self, *, directions: int, references: int, mask: bool) -> None:
        """Refuse a request whose inputs are not those that the edit needs; no generator is required yet.

        Raises:
            ParamsError: something is missing or left over.
        """
        needs = self.needs
        if needs.direction and not directions:
            raise ParamsError("wanted a direction, got none; name one (direction: smile)")
        if directions and not needs.direction:
            raise ParamsError("wanted no direction; leave it out, or use edit: shift")
        if references != len(needs.references):
            roles = ", ".join(needs.references) or "none"
            raise ParamsError(
                f"wanted {len(needs.references)} reference images ({roles}), got {references}; "
                "name photographs of the run (references: [a.jpg])"
            )
        # An input left over is an error too: whoever names a mask expects it to act.
        if mask is not needs.mask:
            remedy = "name a picture (mask: NAME)" if needs.mask else "leave it out"
            raise ParamsError(f"wanted {'a' if needs.mask else 'no'} mask; {remedy}")

    def check_space(self, space: Space, directions: Sequence[Direction]) -> None:
        """Refuse codes that the edit cannot change, before any image is inverted or drawn.

        Raises:
            UnsupportedError: the codes lack the part it changes, or a direction is of another space.
        """
        names_of(space, self.needs.part)
        for direction in directions:
            if direction.space == "s":  # codes of every space become styles
                if direction.last_row <= space.first_coded:
                    raise UnsupportedError(
                        f"direction {direction.name!r} moves styles of row {direction.last_row - 1}, in whose place "
                        f"{space.name} codes have a feature map; use one of rows from {space.first_coded} on"
                    )
                continue
            # z and w usually have the same length, so that adding the wrong one raises no error and gives a wrong
            # picture.
            if direction.moves_in != space.direction_space:
                raise UnsupportedError(
                    f"direction {direction.name!r} lives in {direction.space}, {space.name} codes move in "
                    f"{space.direction_space}; use the direction found for that space"
                )

    def check(self, inputs: EditInputs, amount: float) -> None:
        """Refuse inputs or an amount that :meth:`apply` could not use.

        Raises:
            ParamsError: the amount is not finite, or an input is missing or left over.
            UnsupportedError: as :meth:`check_space`; or a reference code is of another space.
        """
        check_amount(amount)
        self.check_request(
            directions=len(inputs.directions), references=len(inputs.references), mask=inputs.mask is not None
        )
        space, needs = inputs.code.space, self.needs
        self.check_space(space, [direction for direction, _ in inputs.directions])
        for reference in inputs.references:
            space.check(reference.variables)
        if needs.pictures and (inputs.picture is None or len(inputs.reference_pictures) != len(needs.references)):
            raise ParamsError("wanted the crops of the image and of its references; load them (needs.pictures)")
        if needs.context and (inputs.context is None or inputs.preset is None):
            raise ParamsError("wanted the method that found the codes, and its context; load them (needs.context)")


def check_amount(amount: float) -> None:
    """Raise ParamsError unless the amount is a number of at most :data:`MOST_AMOUNT` on either side of 0."""
    if not abs(amount) <= MOST_AMOUNT:  # false for nan
        raise ParamsError(f"amount: wanted a number from -{MOST_AMOUNT:g} to {MOST_AMOUNT:g}, got {amount:g}")
