"""Edits as params.yaml names them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from ganvert.base.errors import ParamsError
from ganvert.base.texts import brief
from ganvert.editing.amounts import Amount, Percentile, amount_text, read_amount
from ganvert.editing.contract import Edit, check_amount
from ganvert.editing.edits import make_edit

__all__ = ["EditSpec"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditSpec:
    """params.yaml: edit.edits.NAME.

    Attributes:
        edit: name in ``ganvert.editing.edits.EDITS``.
        direction: name in the directions table, for edits that move along one; ``smile@4:8`` moves those rows of ws in
            place of its own.
        directions: the same, and how much of each makes up amount 1, for edits that move along several at once; in
            place of `direction`.
        references: for edits with reference images: file names, paths or image ids of photographs of the run.
            Several times as many as the edit takes give as many edits: blend with [a.jpg, b.jpg] is a blend with each.
        amounts: how far; for directions in standard deviations, or as percentiles of the samples (p90); for references
            in parts of the way.
        pasted: amounts whose crop is also pasted back into the photograph.
        options: of the edit, such as ``{part: own}`` of a transfer.
        mask: a picture in the folder of inputs, a folder there that holds IMAGE_ID.png, or a region of the face such as
            ``hair``, for edits that take one.
    """

    edit: str = "shift"
    direction: str = ""
    directions: dict[str, float] = dataclasses.field(default_factory=dict)
    references: tuple[str, ...] = ()
    amounts: tuple[float | str, ...] = (1.0,)
    pasted: tuple[float | str, ...] = ()
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    mask: str = ""

    def __post_init__(self) -> None:
        if not self.amounts or len(set(self.steps)) != len(self.amounts):
            raise ParamsError(f"amounts: wanted different numbers, at least one, got {brief(self.amounts)}")
        percentiles = [amount for amount in self.steps if isinstance(amount, Percentile)]
        if percentiles and not self.direction:
            raise ParamsError(f"amounts: {amount_text(percentiles[0])} is of samples along a direction; give numbers")
        if set(self.pasted) - set(self.amounts):
            raise ParamsError(
                f"pasted: {brief(self.pasted)} holds amounts that are not in amounts {brief(self.amounts)}"
            )
        if self.direction and self.directions:
            raise ParamsError(f"directions: wanted either this or direction, got both ({self.direction})")
        for share in self.directions.values():
            check_amount(share)
        # Built and thrown away: a wrong option is reported when parameters are read, not in the last stage.
        edit = self.make()
        size = len(edit.needs.references)
        # Six references of a pair-based edit are three edits: what is checked is one of them.
        fits = size and self.references and len(self.references) % size == 0
        try:
            edit.check_request(
                directions=len(self.shares),
                references=size if fits else len(self.references),
                mask=bool(self.mask),
            )
        except ParamsError as error:
            raise ParamsError(f"edit {self.edit}: {error}") from error

    @property
    def steps(self) -> list[Amount]:
        """The amounts as numbers and percentiles."""
        return [read_amount(amount) for amount in self.amounts]

    @property
    def shares(self) -> dict[str, float]:
        """Every direction that it moves along, and how much of it makes up amount 1."""
        return {self.direction: 1.0} if self.direction else self.directions

    @property
    def title(self) -> str:
        """What tables call its directions: the name of a single one, or ``smile+2_age-1``; empty without any."""
        return self.direction or "_".join(f"{name}{share:+g}" for name, share in self.directions.items())

    def make(self) -> Edit:
        """Return the edit with its options."""
        return make_edit(self.edit, self.options)

    def groups(self) -> Iterator[tuple[str, ...]]:
        """Yield the references of one edit after the other; once nothing for an edit without references."""
        size = len(self.make().needs.references)
        for start in range(0, max(len(self.references), 1), size or 1):
            yield self.references[start : start + size]
