"""Figures of a study: strips of pictures by method, and curves of identity against the amount of an edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from ganvert.images import contact_sheet, from_png
from ganvert.report.plots import Curve, methods_figure
from ganvert.report.study.inputs import Row, StudyTables
from ganvert.study.sections.drawn import PARTNER
from ganvert.study.sections.in_domain import INTERPOLATION, RECONSTRUCTION
from ganvert.study.sections.strength import AT_CHANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curves", "edit_strips", "pair_strips", "reconstruction_strip", "transform_strips", "way_curves"]

_SIDE = 200  # px of a picture on a strip
_PEOPLE = 2  # on strips of edits
ALL = "all directions"

#: Section, image id, method, seed, variant, amount.
Key = tuple[str, str, str, int, str, float]


def reconstruction_strip(study: StudyTables) -> Image.Image | None:
    """Return a row for each photograph that is shown: itself, and its picture by every method; None without any."""
    known = {key: png for key, png in _pictures(study).items() if key[0] == "reconstruction"}
    people = [key[1] for key in known if not key[2]]
    methods = [method for method in study.methods if any(key[2] == method for key in known)]
    pictures, captions = [], []
    for image_id in people:
        for method in ("", *methods):
            pictures.append(_shown(known, ("reconstruction", image_id, method, 0, "", 0.0)))
            captions.append(_plain(method) or "photograph")
    return contact_sheet(pictures, 1 + len(methods), _SIDE, captions) if people and methods else None


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


def pair_strips(study: StudyTables, section: str) -> dict[str, Image.Image]:
    """Return number to a sheet for each photograph that is shown: a row for each method, all its pictures in order."""
    known = _pictures(study)
    here = [key for key in known if key[0] == section and key[2]]
    kinds = list(dict.fromkeys(key[4:] for key in here))
    strips = {}
    for count, image_id in enumerate(dict.fromkeys(key[1] for key in here), 1):
        methods = [method for method in study.methods if any(key[1:3] == (image_id, method) for key in here)]
        pictures, captions = [], []
        for method in methods:
            for variant, amount in kinds:
                pictures.append(_shown(known, (section, image_id, method, 0, variant, amount)))
                captions.append(f"{_plain(method)}\n{variant}" + (f" {amount:+g}" if amount else ""))
        strips[str(count)] = contact_sheet(pictures, len(kinds), _SIDE, captions)
    return strips


def way_curves(study: StudyTables) -> dict[str, Figure]:
    """Return metric to its curves along interpolations: identity to both ends, and the Fréchet distance to samples."""
    summary = study.summary_of("in_domain")
    figures = {}
    metrics = [name for name in dict.fromkeys(key[3] for key in summary) if name.startswith(("identity", "frechet"))]
    for name in metrics:
        panels: dict[str, dict[str, Sequence[Curve]]] = {}
        for title, metric in (("to the photograph's side", name), ("to its partner's side", PARTNER + name)):
            lines = {method: _along(summary, method, metric) for method in study.methods}
            found: dict[str, Sequence[Curve]] = {method: [line] for method, line in lines.items() if len(line) > 1}
            if found:
                panels[title if name.startswith("identity") else "to samples"] = found
        if panels:
            what = "Fréchet distance" if name.startswith("frechet") else _measured(name)
            figures[name] = methods_figure(panels, "way to the partner", what)
    return figures


def _along(summary: Mapping[tuple[str, str, float, str], Row], method: str, metric: str) -> Curve:
    """Return amount to the mean of a metric along a method's interpolations, with the reconstruction at 0."""
    line = {}
    for (of, variant, amount, name), row in summary.items():
        if (of, name) == (method, metric) and variant in (RECONSTRUCTION, INTERPOLATION) and row["mean"] is not None:
            line[amount] = row["mean"]
    return dict(sorted(line.items()))


def _measured(identity: str) -> str:
    """Return what an axis of identity shows."""
    of = "photograph" if "photo" in identity else "reconstruction"
    return f"{'distance' if identity.endswith('dlib') else 'cosine'} to the {of}"


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
        figures[name] = methods_figure(panels, "amount", _measured(name))
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
