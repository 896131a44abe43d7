"""What sections that compare two photographs share: drawing edits that a code may not have, and whose face is seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PIL import Image

from ganvert.base.errors import InputError, UnsupportedError
from ganvert.editing.contract import Edit, EditInputs
from ganvert.editing.render import draw_edit
from ganvert.scoring.score import score_edits
from ganvert.study.sections.base import Row, Subject, Tools, number

__all__ = ["PARTNER", "Drawn", "Wanted", "attributes_of", "draw_all", "face_found", "identities_of", "no_partner"]

#: Variant and amount to a picture.
Drawn = dict[tuple[str, float], Image.Image]
#: Begins the names of metrics that compare a picture with the partner in place of the subject.
PARTNER = "partner_"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A picture to draw, under the variant and amount of its rows."""

    variant: str
    amount: float
    edit: Edit
    inputs: EditInputs


def draw_all(wanted: Iterable[Wanted]) -> tuple[Drawn, list[Row]]:
    """Return the pictures, and a row of the metric `picture` with the reason for each that cannot be drawn."""
    drawn: Drawn = {}
    rows: list[Row] = []
    for one in wanted:
        try:
            drawn[one.variant, one.amount] = draw_edit(one.edit, one.inputs, one.amount)
        except (InputError, UnsupportedError) as error:
            # Codes of this space lack the part, two tuned generators are not one, or the pair has no mask of its own.
            rows.append(number(one.variant, one.amount, "picture", None, "not_drawn", str(error)))
    return drawn, rows


def no_partner(variant: str) -> Row:
    """Return the row of a photograph whose pictures of two lack the second one."""
    return number(variant, 0.0, "picture", None, "no_partner")


def identities_of(at: tuple[str, float], picture: Image.Image, subject: Subject, tools: Tools) -> list[Row]:
    """Return the identity of a picture with the subject, and with its partner under names of their own.

    Each is compared with the unedited reconstruction and with the photograph.

    Args:
        at: variant and amount.
        picture: what was drawn.
        subject: its partner is left out where it has none.
        tools: whose metrics of identity are used.
    """
    rows: list[Row] = []
    channels = tools.generator.image_channels
    for prefix, one in (("", subject), (PARTNER, subject.partner)):
        if one is not None:
            key = {"variant": at[0], "amount": at[1]}
            found = score_edits(key, picture, one.reconstruction, one.crop, tools.identities, None, channels)
            rows += [{**row, "metric": prefix + row["metric"]} for row in found]
    return rows


def attributes_of(picture: Image.Image, tools: Tools) -> Mapping[str, float | None]:
    """Return the attributes of a picture's face: all None where none was found, empty where nobody looks for faces."""
    return tools.scorer.score([picture])[0] if tools.scorer is not None else {}


def face_found(at: tuple[str, float], attributes: Mapping[str, float | None]) -> list[Row]:
    """Return the row of the metric `face`, 1 where one was found and 0 where not; none where nobody looks for faces."""
    there = any(value is not None for value in attributes.values())
    return [number(*at, "face", float(there))] if attributes else []
