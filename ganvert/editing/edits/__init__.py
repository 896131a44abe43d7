"""Edits by name. An edit is one file with a subclass of :class:`ganvert.editing.contract.Edit`, and one line here.

The package may import `directions` and what lies below.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ganvert.base import params
from ganvert.base.registry import lookup
from ganvert.editing.contract import Edit
from ganvert.editing.edits.composed import Crossover, Diffuse, Inpaint
from ganvert.editing.edits.interpolate import Interpolate
from ganvert.editing.edits.local import Local, LocalMix
from ganvert.editing.edits.mix import Mix
from ganvert.editing.edits.realign import Realign
from ganvert.editing.edits.shift import Shift
from ganvert.editing.edits.transfer import Transfer

__all__ = ["EDITS", "make_edit"]

#: Name -> edit with its default options.
EDITS: dict[str, Edit] = {
    "shift": Shift(),
    # The same edit in flat spaces; on spheres they differ at large amounts.
    "geodesic": Shift(motion="geodesic"),
    "stepped": Shift(motion="stepped"),
    "interpolate": Interpolate(),
    # Keeps the image's padding or feature map and takes the reference's rows.
    "blend": Interpolate(part="detail"),
    "local": Local(),
    "realign": Realign(),
    "mix": Mix(),
    "local_mix": LocalMix(),
    "transfer": Transfer(),
    "diffuse": Diffuse(),
    "crossover": Crossover(),
    "inpaint": Inpaint(),
}


def make_edit(name: str, options: Mapping[str, Any] | None = None) -> Edit:
    """Return an edit with some of its options replaced.

    Raises:
        UnknownNameError: there is no such edit.
        ParamsError: it has no such option, or the value does not fit.
    """
    edit = lookup(EDITS, name, "edit")
    defaults = {field.name: getattr(edit, field.name) for field in dataclasses.fields(edit)}  # type: ignore[arg-type]
    # Options replace fields of the registered edit: "blend" keeps its part when other options are given.
    return params.build(type(edit), {**defaults, **(options or {})}, "options")
