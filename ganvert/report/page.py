"""From tables to the HTML of the report: pictures shrunk into data: URIs, figures rounded, curves as inline SVG.

Nothing here reads the clock, the machine or the network, so the same inputs give the same bytes. Every text of a table
(file names, reasons) goes through the template's escaping.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from ganvert.base.errors import ParamsError, TableError
from ganvert.images import from_png
from ganvert.report import plots
from ganvert.scoring import statistics
from ganvert.scoring.metrics import METRICS
from ganvert.tables import metadata_of

__all__ = ["SHOWN_OF_CODES", "ReportInputs", "ReportOptions", "build_report"]

#: Columns of codes that the page shows; the variables are large.
SHOWN_OF_CODES = ["image_id", "method", "space", "status", "reason", "steps", "best_step", "generator", "trace"]


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """params.yaml: report.

    Attributes:
        title: heading of the page.
        image_px: longest side of crops, reconstructions and edits on the page.
        photo_px: longest side of photographs and of the sheet of samples.
        jpeg_quality: of all pictures, 1 to 95.
    """

    title: str = "GAN inversion and editing"
    image_px: int = 320
    photo_px: int = 640
    jpeg_quality: int = 85

    def __post_init__(self) -> None:
        """Refuse sizes and qualities that make no picture."""
        for name, low, high in (("image_px", 32, 2048), ("photo_px", 32, 4096), ("jpeg_quality", 1, 95)):
            if not low <= getattr(self, name) <= high:
                raise ParamsError(f"{name}: wanted {low} to {high}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """What the page is made of; the schemas stand in :mod:`ganvert.tables`.

    Attributes:
        photos: table `photos`.
        aligned: table `aligned`.
        codes: tables `codes`, one per method; of their columns :data:`SHOWN_OF_CODES` are enough.
        reconstructions: tables `reconstructions`, one per method.
        edits: table `edits`.
        scores: table `scores`.
        edit_scores: table `edit_scores`.
        directions: table `directions`.
        originals: photo id to the upright photograph (any size); leave out what is gone.
        samples: contact sheet of the generator's samples, if there is one.
        encoders: encoder that was trained to its loss plot, and to held-out photographs above what it makes of them.
    """

    photos: pa.Table
    aligned: pa.Table
    codes: Sequence[pa.Table]
    reconstructions: Sequence[pa.Table]
    edits: pa.Table
    scores: pa.Table
    edit_scores: pa.Table
    directions: pa.Table
    originals: Mapping[str, Image.Image] = field(default_factory=dict)
    samples: Image.Image | None = None
    encoders: Mapping[str, tuple[Image.Image | None, Image.Image | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A picture for ``<img>``: data: URI and size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Metric:
    """How to read one metric: label, what is better ('lower', 'higher' or '' if unknown), convention, decimals."""

    name: str
    label: str
    better: str
    convention: str
    decimals: int

    def text(self, value: float) -> str:
        """The value with this metric's decimals."""
        return f"{value:.{self.decimals}f}"


#: Family of a metric's name: label, convention. Net and resolution follow in the name; METRICS knows what is better.
_FAMILIES = {
    "lpips": ("LPIPS", "learned perceptual distance (Zhang et al. 2018)"),
    "mse": ("MSE", "mean squared error of RGB in [-1, 1]"),
    "psnr": ("PSNR", "peak signal-to-noise ratio in dB"),
    "ssim": ("SSIM", "structural similarity (Wang et al. 2004), 1 for equal pictures"),
    "identity": ("Identity", "Euclidean distance of face descriptors, 0 for equal faces"),
}
_DETAILS = {
    "vgg": "VGG-16 features",
    "alex": "AlexNet features",
    "dlib": "dlib's descriptor, whose authors call a distance below 0.6 the same person",
    "photo": "to the original crop",
}
_SAME_PERSON = 0.6  # dlib's rule for its face descriptors (face_recognition_model_v1 documentation)


def build_report(inputs: ReportInputs, options: ReportOptions) -> str:
    """The whole page.

    Args:
        inputs: tables and pictures.
        options: title and sizes.

    Returns:
        HTML that needs no other file, no network and no script.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html.j2").render(_view(inputs, options))


def _view(inputs: ReportInputs, options: ReportOptions) -> dict[str, Any]:
    """Everything the template shows, by name."""
    _check(inputs)
    photos = {row["photo_id"]: row for row in inputs.photos.to_pylist()}
    scores, edit_scores = inputs.scores.to_pylist(), inputs.edit_scores.to_pylist()
    codes = [row for table in inputs.codes for row in table.select(SHOWN_OF_CODES).to_pylist()]
    # Both list every method tried; the scores come first because their order is that of params.yaml.
    methods = _unique(row["method"] for row in [*scores, *codes])
    metrics = _metrics(scores)
    names = _face_names(inputs.aligned, photos)
    return {
        "title": options.title,
        "facts": {
            "generators": _unique(row["generator"][:12] for row in codes),
            "photos": len(photos),
            "aligned": inputs.aligned.num_rows,
            "skipped": sum(row["status"] != "ok" for row in photos.values()),
            "methods": methods,
            "edits": inputs.edits.num_rows,
        },
        "metrics": metrics,
        "summary": _summary(scores, methods, metrics),
        "faces": _faces(inputs, options, photos, names, methods, metrics),
        "curves": _curves(edit_scores),
        "traces": _traces(codes, methods),
        "directions": _directions(inputs.directions),
        "samples": _shrink(inputs.samples, 2 * options.photo_px, options) if inputs.samples else None,
        "encoders": [
            {
                "name": name,
                "loss": _lossless(loss) if loss else None,
                "sheet": _shrink(sheet, 2 * options.photo_px, options) if sheet else None,
            }
            for name, (loss, sheet) in inputs.encoders.items()
        ],
        "skipped_photos": [
            row | {"picture": _original(inputs, row["photo_id"], options, options.image_px)}
            for row in photos.values()
            if row["status"] != "ok"
        ],
        "skipped_codes": [row | {"name": names[row["image_id"]]} for row in codes if row["status"] != "ok"],
        "missing_scores": _missing(scores, names),
        "missing_edit_scores": _missing(edit_scores, names),
    }


def _check(inputs: ReportInputs) -> None:
    """Refuse tables of different runs: every image must stand in `aligned`, every photo in `photos`."""
    of = {"image_id": inputs.aligned, "photo_id": inputs.photos}
    known = {column: set(table.column(column).to_pylist()) for column, table in of.items()}
    tables = [inputs.aligned, *inputs.codes, *inputs.reconstructions, inputs.edits, inputs.scores, inputs.edit_scores]
    for table in tables:
        column = "photo_id" if table is inputs.aligned else "image_id"
        strangers = set(table.column(column).to_pylist()) - known[column]
        if strangers:
            raise TableError(
                f"{metadata_of(table).get('table', 'a table')}: {column} {min(strangers)!r} is in none of the rows of "
                f"{metadata_of(of[column]).get('table')}; the tables are of different runs: run `dvc repro`"
            )


# ------------------------------------------------------------------------------------------------ pictures


def _shrink(image: Image.Image, longest: int, options: ReportOptions) -> Picture:
    """A JPEG of at most `longest` pixels a side."""
    small = image.convert("RGB")
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=options.jpeg_quality, optimize=True, progressive=True)
    return _embed(buffer.getvalue(), "jpeg", small)


def _lossless(image: Image.Image) -> Picture:
    """A PNG as it is: for plots, whose thin lines JPEG would smear."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG", optimize=True)
    return _embed(buffer.getvalue(), "png", image)


def _embed(data: bytes, kind: str, image: Image.Image) -> Picture:
    return Picture(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", image.width, image.height)


def _original(inputs: ReportInputs, photo_id: str, options: ReportOptions, longest: int) -> Picture | None:
    image = inputs.originals.get(photo_id)
    return _shrink(image, longest, options) if image else None


# ------------------------------------------------------------------------------------------------ photographs


def _face_names(aligned: pa.Table, photos: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Image id to the photograph's path, with the face's number where the photograph has several on the page."""
    rows = aligned.select(["image_id", "photo_id", "face"]).to_pylist()
    of_photo: dict[str, int] = {}
    for row in rows:
        of_photo[row["photo_id"]] = of_photo.get(row["photo_id"], 0) + 1
    return {
        row["image_id"]: photos[row["photo_id"]]["path"]
        + (f", face {row['face'] + 1}" if of_photo[row["photo_id"]] > 1 else "")
        for row in rows
    }


def _faces(
    inputs: ReportInputs,
    options: ReportOptions,
    photos: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
    methods: Sequence[str],
    metrics: Sequence[Metric],
) -> list[dict[str, Any]]:
    """One entry per aligned face: its pictures and their figures."""
    reconstructions = {
        (row["image_id"], row["method"]): _shrink(from_png(row["png"]), options.image_px, options)
        for table in inputs.reconstructions
        for row in _rows(table)
    }
    values = {(row["image_id"], row["method"], row["metric"]): row for row in inputs.scores.to_pylist()}
    strips = _strips(inputs, options)
    faces = []
    for number, row in enumerate(_rows(inputs.aligned), start=1):
        image_id, photo = row["image_id"], photos[row["photo_id"]]
        corners = np.asarray(row["quad"]).reshape(4, 2)
        shown = [
            {
                "method": method,
                "picture": reconstructions.get((image_id, method)),
                "figures": [
                    {"metric": metric, "score": values[image_id, method, metric.name]}
                    for metric in metrics
                    if (image_id, method, metric.name) in values
                ],
            }
            for method in methods
        ]
        faces.append(
            {
                "anchor": f"face-{number}",
                "image_id": image_id,
                "name": names[image_id],
                "file": Path(names[image_id]).name,
                "photo": photo,
                "original": _original(inputs, row["photo_id"], options, options.photo_px),
                "outline": " ".join(f"{x:.1f},{y:.1f}" for x, y in corners),
                "crop": _shrink(from_png(row["crop"]), options.image_px, options),
                "resolution": row["resolution"],
                "recipe": row["recipe"],
                "reconstructions": shown,
                "edits": strips.get(image_id, {}),
            }
        )
    return faces


def _strips(inputs: ReportInputs, options: ReportOptions) -> dict[str, dict[str, dict[str, Any]]]:
    """Image id to edited method to {'crops', 'pasted'}: direction to cells in order of amount."""
    scores: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    values: dict[str, list[float]] = {}
    for row in inputs.edit_scores.to_pylist():
        values.setdefault(row["metric"], []).extend([row["value"]] if _is_number(row["value"]) else [])
        key = (row["image_id"], row["method"], row["direction"], row["amount"])
        scores.setdefault(key, {})[row["metric"]] = row
    attributes, decimals = _attributes(values), {name: _decimals(numbers) for name, numbers in values.items()}
    strips: dict[str, dict[str, dict[str, Any]]] = {}
    for row in _rows(inputs.edits):
        here = strips.setdefault(row["image_id"], {}).setdefault(row["method"], {"crops": {}, "pasted": {}})
        direction, amount = row["direction"], row["amount"]
        found = scores.get((row["image_id"], row["method"], direction, amount), {})
        shown = [name for name in ("identity_dlib", target_attribute(direction, attributes)) if name in found]
        figures = [(_label(str(name)), _score_text(found[name], decimals[name])) for name in shown if name]
        cell = {"amount": amount, "picture": _shrink(from_png(row["crop"]), options.image_px, options)}
        here["crops"].setdefault(direction, []).append(cell | {"figures": figures})
        if row["pasted"] is not None:
            picture = _shrink(from_png(row["pasted"]), options.photo_px, options)
            here["pasted"].setdefault(direction, []).append({"amount": amount, "picture": picture, "figures": []})
    for by_method in strips.values():
        for kinds in by_method.values():
            for cells in [*kinds["crops"].values(), *kinds["pasted"].values()]:
                cells.sort(key=lambda cell: cell["amount"])
    return strips


# ------------------------------------------------------------------------------------------------ figures


def _metrics(scores: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """The metrics of the scores, in their order, each with the decimals that its values need."""
    metrics = []
    for name in _unique(row["metric"] for row in scores):
        values = [row["value"] for row in scores if row["metric"] == name and _is_number(row["value"])]
        family, *details = name.split("_")
        _, convention = _FAMILIES.get(family, (name, ""))
        entry = METRICS.get(re.sub(r"_\d+$", "", name))
        better = "" if entry is None else "higher" if entry.higher_is_better else "lower"
        notes = [_DETAILS[part] for part in details if part in _DETAILS]
        notes += [f"pictures of {part} px" for part in details if part.isdigit()]
        told = "; ".join(filter(None, [convention, *notes]))
        metrics.append(Metric(name, _label(name), better, told, _decimals(values, smallest=True)))
    return metrics


def _label(name: str) -> str:
    """A metric's name for people: 'lpips_vgg_256' becomes 'LPIPS vgg 256'."""
    family, _, rest = name.partition("_")
    return " ".join([_FAMILIES[family][0] if family in _FAMILIES else family, *rest.split("_")]).strip()


def _summary(
    scores: Sequence[Mapping[str, Any]], methods: Sequence[str], metrics: Sequence[Metric]
) -> list[dict[str, Any]]:
    """Per method one cell per metric: mean, 95 % interval, count, and whether it is the best mean of its column."""
    means: dict[tuple[str, str], Any] = {}
    for method in methods:
        for metric in metrics:
            values = [
                row["value"]
                for row in scores
                if row["method"] == method and row["metric"] == metric.name and _is_number(row["value"])
            ]
            if values:
                means[method, metric.name] = statistics.summarise(values)
    best = {}
    for metric in metrics:
        column = [summary.mean for (_, name), summary in means.items() if name == metric.name]
        if len(column) > 1 and metric.better:
            best[metric.name] = min(column) if metric.better == "lower" else max(column)
    return [
        {
            "method": method,
            "cells": [
                {
                    "metric": metric,
                    "summary": means.get((method, metric.name)),
                    "best": metric.name in best
                    and (method, metric.name) in means
                    and means[method, metric.name].mean == best[metric.name],
                }
                for metric in metrics
            ],
        }
        for method in methods
    ]


def _missing(scores: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Scores that are no numbers, one entry per image, method, direction and status, with their metrics and amounts."""
    groups: dict[tuple[str, ...], dict[str, list[Any]]] = {}
    for row in scores:
        if row["status"] != "ok":
            key = (names[row["image_id"]], row["method"], row.get("direction", ""), row["status"])
            group = groups.setdefault(key, {"metrics": [], "amounts": []})
            group["metrics"].append(row["metric"])
            group["amounts"].append(row.get("amount"))
    return [
        {
            "name": name,
            "method": method,
            "direction": direction,
            "status": status,
            "metrics": _unique(group["metrics"]),
            "amounts": sorted({amount for amount in group["amounts"] if amount is not None}),
        }
        for (name, method, direction, status), group in groups.items()
    ]


# ------------------------------------------------------------------------------------------------ curves


def target_attribute(direction: str, attributes: Sequence[str]) -> str | None:
    """The attribute that a direction is named after: the same name, or the first one that is a word of it.

    >>> target_attribute("smile", ["age", "smile"]), target_attribute("age-without-yaw", ["yaw", "age"])
    ('smile', 'age')
    >>> target_attribute("component_3", ["age"]) is None
    True
    """
    words = [direction, *re.split(r"[^0-9A-Za-z]+", direction)]
    return next((word for word in words if word in attributes), None)


def _attributes(metrics: Iterable[str]) -> list[str]:
    """Names of attributes among the metrics of edits: all that is not an identity distance."""
    return [name for name in _unique(metrics) if not name.startswith("identity")]


def _curves(edit_scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """SVG panels: identity per metric and direction, each direction's own attribute, and all attributes."""
    several = len({row["method"] for row in edit_scores}) > 1
    lines: dict[tuple[str, str], dict[str, dict[float, float]]] = {}
    panels: dict[str, str] = {}  # title of a panel to its direction
    for row in edit_scores:
        title = f"{row['direction']} ({row['method']})" if several else row["direction"]
        panels[title] = row["direction"]
        line = lines.setdefault((row["metric"], title), {}).setdefault(row["image_id"], {})
        if _is_number(row["value"]):
            line[row["amount"]] = row["value"]
    metrics = _unique(row["metric"] for row in edit_scores)
    attributes = _attributes(metrics)
    number = iter(range(1_000_000))

    def panel(metric: str, title: str, shown: Mapping[str, plots.Curve], label: str, **more: Any) -> str:
        figure = plots.edit_curve_figure({title: shown}, label, **more)
        return plots.to_svg(figure, f"curve{next(number)}", f"{metric} against the strength of {title}")

    identity = []
    for metric in metrics:
        if metric in attributes:
            continue
        values = [row["value"] for row in edit_scores if row["metric"] == metric and _is_number(row["value"])]
        limits = (0.0, 1.08 * max([_SAME_PERSON, *values]))
        mark = (_SAME_PERSON, "same person below 0.6") if metric.endswith("_dlib") else None
        svgs = [
            panel(metric, title, lines[metric, title], "distance", limits=limits, reference=mark)
            for title in panels
            if (metric, title) in lines
        ]
        identity.append({"metric": metric, "panels": svgs})

    def changes(metric: str, title: str) -> str:
        shown = {image: change for image, line in lines[metric, title].items() if (change := _change(line))}
        return panel(metric, title, shown, f"change of {metric}")

    targets = {title: target_attribute(direction, attributes) for title, direction in panels.items()}
    own = [changes(target, title) for title, target in targets.items() if target and (target, title) in lines]
    every = [
        {"attribute": name, "panels": [changes(name, title) for title in panels if (name, title) in lines]}
        for name in attributes
    ]
    return {"identity": identity, "own": own, "every": every}


def _change(line: Mapping[float, float]) -> dict[float, float]:
    """Values relative to the one at the amount nearest zero."""
    if not line:
        return {}
    start = line[min(line, key=lambda amount: (abs(amount), amount))]
    return {amount: value - start for amount, value in line.items()}


def _traces(codes: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> list[str]:
    """One SVG per method that takes more than one step."""
    panels = []
    for number, method in enumerate(methods):
        of_method = [row for row in codes if row["method"] == method]
        traces = {row["image_id"]: np.asarray(row["trace"]) for row in of_method if len(row["trace"]) > 1}
        if traces:
            figure = plots.traces_figure({method: traces})
            panels.append(plots.to_svg(figure, f"trace{number}", f"objective against step of {method}"))
    return panels


# ------------------------------------------------------------------------------------------------ directions


def _directions(table: pa.Table) -> list[dict[str, Any]]:
    """One group per method that found them, with a column for every figure of its fits."""
    rows = table.drop_columns(["vector"]).to_pylist()
    groups = []
    for method in _unique(row["method"] for row in rows):
        of_method = [row for row in rows if row["method"] == method]
        found = [row | {"figures": dict(_flat(json.loads(row["quality"] or "{}")))} for row in of_method]
        columns = _unique(name for row in found for name in row["figures"])
        groups.append({"method": method, "columns": columns, "rows": found})
    return groups


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of parsed JSON as (dotted name, text)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        yield name, ", ".join(text for inner in value for _, text in _flat(inner))
    else:
        yield name, f"{value:.4g}" if isinstance(value, float) else str(value)


# ------------------------------------------------------------------------------------------------ small things


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows one at a time, so that picture bytes are not all held twice."""
    for batch in table.to_batches(max_chunksize=1):
        yield from batch.to_pylist()


def _unique(values: Iterable[Any]) -> list[Any]:
    """Values in order of first appearance."""
    return list(dict.fromkeys(values))


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _decimals(values: Iterable[float], *, smallest: bool = False) -> int:
    """As many as show three digits of the largest value and, if asked, two of the smallest; at most five."""
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return 3
    wanted = 2 - math.floor(math.log10(max(sizes)))
    if smallest:
        wanted = max(wanted, 1 - math.floor(math.log10(min(sizes))))
    return min(max(wanted, 0), 5)


def _score_text(row: Mapping[str, Any], decimals: int) -> str:
    return f"{row['value']:.{decimals}f}" if _is_number(row["value"]) else row["status"].replace("_", " ")
