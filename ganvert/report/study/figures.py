"""Figures of a study: strips of pictures by method, and curves of identity against the amount of an edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from PIL import Image

from ganvert.images import contact_sheet, from_png
from ganvert.report.plots import methods_figure
from ganvert.report.study.inputs import StudyTables
from ganvert.study.sections.strength import AT_CHANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curves", "edit_strips", "reconstruction_strip", "transform_strips"]

_SIDE = 200  # px of a picture on a strip
_PEOPLE = 2  # on strips of edits
ALL = "all directions"

#: Section, image id, method, seed, variant, amount.
Key = tuple[str, str, str, int, str, float]


def reconstruction_strip(study: StudyTables) -> Image.Image | None:
    """Return a row for each photograph that is shown: itself, and its picture by every method; None without any."""
    known = _pictures(study)
    people = [key[1] for key in known if not key[2]]
    methods = [method for method in study.methods if any(key[2] == method for key in known)]
    pictures, captions = [], []
    for image_id in people:
        for method in ("", *methods):
            pictures.append(_shown(known, ("reconstruction", image_id, method, 0, "", 0.0)))
            captions.append(_plain(method) or "photograph")
    return contact_sheet(pictures, 1 + len(methods), _SIDE, captions) if people else None


def edit_strips(study: StudyTables) -> dict[str, Image.Image]:
    """Return direction to a sheet: a row for each method, with the largest amounts on either side of the unedited."""
    known = _pictures(study)
    edited = [key for key in known if key[0] == "strength"]
    people = list(dict.fromkeys(key[1] for key in edited))[:_PEOPLE]
    strips = {}
    for variant in dict.fromkeys(key[4] for key in edited):
        here = [key for key in edited if key[4] == variant]
        amounts = sorted({key[5] for key in here})
        methods = [method for method in study.methods if any(key[2] == method for key in here)]
        pictures, captions = [], []
        for method in methods:
            for image_id in people:
                for amount in sorted({*amounts, 0.0}):
                    key = ("strength", image_id, method, 0, variant, amount)
                    pictures.append(_shown(known, key if amount else ("reconstruction", image_id, method, 0, "", 0.0)))
                    captions.append(f"{_plain(method)} {amount:+g}" if amount else f"{_plain(method)}, unedited")
        strips[variant] = contact_sheet(pictures, len(people) * (len(amounts) + (0.0 not in amounts)), _SIDE, captions)
    return strips


def transform_strips(study: StudyTables) -> dict[str, Image.Image]:
    """Return one sheet of reconstructions of transformed crops, by transform: a row for each photograph."""
    known = _pictures(study)
    moved = [key for key in known if key[0] == "out_of_range"]
    strips = {}
    for variant in dict.fromkeys(key[4] for key in moved):
        here = [key for key in moved if key[4] == variant]
        people = list(dict.fromkeys(key[1] for key in here))
        methods = [method for method in study.methods if any(key[2] == method for key in here)]
        shown = [
            (_shown(known, ("out_of_range", image_id, method, 0, variant, 0.0)), _plain(method))
            for image_id in people
            for method in methods
        ]
        strips[variant] = contact_sheet([one for one, _ in shown], len(methods), _SIDE, [text for _, text in shown])
    return strips


def curves(study: StudyTables) -> dict[str, Figure]:
    """Return metric to its curves: a panel of all directions, light lines, and their mean by method (F/Z+ figure 6).

    A panel for each direction follows.
    """
    summary = study.summary_of("strength")
    names = [name for name in dict.fromkeys(key[3] for key in summary) if name.startswith("identity")]
    figures = {}
    for name in names:
        if name.endswith(AT_CHANGE):
            continue
        lines: dict[str, dict[str, dict[float, float]]] = {}
        for (method, variant, amount, metric), row in summary.items():
            if metric == name and row["mean"] is not None:
                lines.setdefault(method, {}).setdefault(variant, {})[amount] = row["mean"]
        lines = {method: lines[method] for method in study.methods if method in lines}
        panels = {ALL: {method: list(of_method.values()) for method, of_method in lines.items()}}
        for variant in dict.fromkeys(variant for of_method in lines.values() for variant in of_method):
            panels[variant] = {
                method: [of_method[variant]] for method, of_method in lines.items() if variant in of_method
            }
        label = "distance" if name.endswith("dlib") else "cosine"
        of = "photograph" if "photo" in name else "reconstruction"
        figures[name] = methods_figure(panels, "amount", f"{label} to the {of}")
    return figures


def _pictures(study: StudyTables) -> dict[Key, bytes]:
    return {
        (row["section"], row["image_id"], row["method"], row["seed"], row["variant"], row["amount"]): row["png"]
        for row in study.pictures
    }


def _shown(known: Mapping[Key, bytes], key: Key) -> Image.Image:
    """Return a picture, or a grey one where there is none."""
    return from_png(known[key]) if key in known else Image.new("RGB", (_SIDE, _SIDE), "#bbbbbb")


def _plain(method: str) -> str:
    return method.removeprefix("cpu_").removeprefix("fz_")
