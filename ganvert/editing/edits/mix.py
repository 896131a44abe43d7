"""Style mixing: some rows of ws of a reference image under the other rows of the image (Zhu et al. 2020, section 5)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.directions import Direction
from ganvert.editing.contract import Edit, EditInputs, Needs
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.spaces import Space

__all__ = ["Mix"]


@dataclass(frozen=True, kw_only=True)
class Mix(Edit):
    """The code with some rows of ws on the way to those of a reference image: 0 is the code, 1 has the reference's.

    Early rows draw pose and shape, late rows colours and light. Rows are mixed in ws, or in S in the styles that read
    them, so that codes of every space can be mixed; feature maps, padding and noise maps stay the code's own.

    Attributes:
        first_row: first row that is the reference's; negative numbers count from the last. IDInvert takes the last
            four: 10 to 13 of 14 at 256 px.
        last_row: one past the last; None for all that follow.
    """

    first_row: int = -4
    last_row: int | None = None

    @property
    def needs(self) -> Needs:
        return Needs(references=("style",))

    def rows(self, generator: Generator) -> tuple[int, int]:
        """Return the rows [first, last) of a generator.

        Raises:
            ParamsError: no rows, or not all of them are the generator's.
        """
        count = generator.num_ws
        ends = (self.first_row, count if self.last_row is None else self.last_row)
        first, last = (end + count if end < 0 else end for end in ends)
        if not 0 <= first < last <= count:
            raise ParamsError(f"rows {first}:{last} of the style: wanted some of the generator's rows 0:{count}")
        return first, last

    def check_space(self, space: Space, directions: Sequence[Direction]) -> None:
        super().check_space(space, directions)
        first, last = self.rows(space.generator)
        if last <= space.first_coded:
            raise UnsupportedError(
                f"rows {first}:{last} of the style: the feature map of {space.name} codes takes their place; "
                f"wanted rows of {space.first_coded}:{space.generator.num_ws}"
            )

    def apply(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        code, (style,) = inputs.code, inputs.references
        code.check_shares_generator(style)
        # Bound once: a tuned generator is a whole network.
        space = code.space
        rows = range(*self.rows(space.generator))
        content, other = space.decode(code.variables), space.decode(style.variables)
        taken = {slot.name for slot in space.generator.style_layout if slot.row in rows}
        mixed = dataclasses.replace(
            content,
            ws=_mixed_rows(content.ws, other.ws, rows, amount),
            styles=content.styles and _mixed_styles(content.styles, other.styles or {}, taken, amount),
        )
        return code.with_noise(mixed)


def _mixed_rows(ws: Tensor | None, other: Tensor | None, rows: range, amount: float) -> Tensor | None:
    """Return ws [N, num_ws, w_dim] with some rows on the way to those of `other`; None for codes without ws."""
    if ws is None or other is None:
        return ws
    mixed, where = ws.clone(), slice(rows.start, rows.stop)
    mixed[:, where] = torch.lerp(ws[:, where], other[:, where], amount)
    return mixed


def _mixed_styles(
    styles: Mapping[str, Tensor], other: Mapping[str, Tensor], taken: set[str], amount: float
) -> dict[str, Tensor]:
    """Return styles with those of some slots on the way to `other`."""
    return {name: torch.lerp(value, other[name], amount) if name in taken else value for name, value in styles.items()}
