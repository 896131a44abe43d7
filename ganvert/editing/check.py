"""Whether an edited picture is what was asked for: the same person, a score that moved, a code near the samples.

How near a code is to the samples is measured along the direction. The length of its rows in P_N does not tell: of
inverted rows of W+ it is 20 to 290 times that of samples (three photographs), and an edit that ruins the picture hardly
changes it, since directions in which samples do not vary outweigh all others there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from ganvert.editing.fit import SAME_PERSON

__all__ = ["FARTHEST", "LEAST_COSINE", "LEAST_MOVE", "attribute_of", "failures"]

#: MobileFaceNet's cosine between strangers is at most 0.45 (820 pairs), between photographs of one man 0.8 (3).
LEAST_COSINE = 0.45
#: Share of what the score changes along the direction in the samples, by regression.
LEAST_MOVE = 0.2
#: Standard deviations of the samples along the direction: at 5 portraits are whole, at 6.5 they fall apart (looked at).
FARTHEST = 6.0
_IDENTITIES = ("identity_mobilefacenet", "identity_dlib")


def attribute_of(
    direction: str, quality: Mapping[str, Any], measured: Collection[str]
) -> tuple[str | None, float | None]:
    """Return the attribute that tells whether an edit did what its direction is for.

    It is the score that the direction was fitted on (``score`` of its quality). Where that was not measured, or nothing
    was fitted, it is the one that the direction is named after: the same name, or the first one that is a word of it.

    Args:
        direction: its name.
        quality: figures of its fit.
        measured: the attributes that pictures were scored by.

    Returns:
        The attribute, None if there is none; and by how much amount 1 changes it in the samples, None where that is
        known of another score only.

    >>> attribute_of("smile", {"score": "smile_expression", "change_per_unit": 7.0}, ["smile", "smile_expression"])
    ('smile_expression', 7.0)
    >>> attribute_of("smile", {"score": "smile_expression", "change_per_unit": 7.0}, ["smile"])
    ('smile', None)
    >>> attribute_of("age-without-yaw", {"change_per_unit": 12.0}, ["yaw", "age"])
    ('age', 12.0)
    """
    fitted, change = quality.get("score"), quality.get("change_per_unit")
    words = [fitted, direction, *re.split(r"[^0-9A-Za-z]+", direction)]
    attribute = next((word for word in words if word in measured), None)
    known = isinstance(change, int | float) and math.isfinite(change) and fitted in (None, attribute)
    return attribute, change if known else None


def failures(
    edited: Mapping[str, float | None],
    unedited: Mapping[str, float | None],
    amount: float,
    *,
    attribute: str | None = None,
    change_per_unit: float | None = None,
    sigmas: float | None = None,
) -> list[str]:
    """Return what is wrong with an edited picture, in words; nothing where all that was measured is right.

    Args:
        edited: metric or attribute to value of the picture, None where no face was found: attributes, and
            ``identity_dlib`` or ``identity_mobilefacenet`` to the reconstruction.
        unedited: the same of the reconstruction.
        amount: in standard deviations.
        attribute: the one that the direction is to change (:func:`attribute_of`).
        change_per_unit: by how much amount 1 changes it in the samples; None where that is not known.
        sigmas: how far the code lies from the samples' mean along the direction.
    """
    if not amount:
        return []
    found = []
    # A face that was lost, not one that was not there before: a cat's edits have not failed for it.
    if any(value is None and unedited.get(name) is not None for name, value in edited.items()):
        found.append("no face is found any more")
    cosine, distance = (edited.get(name) for name in _IDENTITIES)
    if cosine is not None and cosine < LEAST_COSINE:
        found.append(f"another person: cosine {cosine:.2f}, wanted {LEAST_COSINE:g} or more")
    elif cosine is None and distance is not None and distance > SAME_PERSON:
        found.append(f"another person: distance {distance:.2f}, wanted {SAME_PERSON:g} or less")
    after, before = (scores.get(attribute) if attribute else None for scores in (edited, unedited))
    if after is not None and before is not None:
        moved = (after - before) * math.copysign(1, amount)
        if moved <= LEAST_MOVE * abs(amount * (change_per_unit or 0)):
            found.append(f"{attribute} did not follow: {before:.3g} became {after:.3g}")
    if sigmas is not None and abs(sigmas) > FARTHEST:
        found.append(f"the code lies {sigmas:+.1f} standard deviations from the samples, wanted {FARTHEST:g} or less")
    return found
