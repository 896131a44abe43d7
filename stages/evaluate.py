"""evaluate: reconstructions and edits against their crops -> data/{scores,edit_scores}.parquet, metrics, plots."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from ganvert import tables
from ganvert.base.files import write_json
from ganvert.compute.progress import progress
from ganvert.faces import AttributeScorer
from ganvert.images import from_png
from ganvert.report.plots import edit_curve_figure, save_png, traces_figure
from ganvert.scoring.metrics import NamedMetric, available, check_sizes, metric
from ganvert.scoring.score import asset_metrics, score_edits, score_reconstructions, summary
from stages.common import stage

ASSETS = Path("data/assets")
ALIGNED = Path("data/aligned.parquet")
CODES = Path("data/codes")
RECONSTRUCTIONS = Path("data/reconstructions")
EDITS = Path("data/edits.parquet")
SCORES = Path("data/scores.parquet")
EDIT_SCORES = Path("data/edit_scores.parquet")
FIGURES = Path("reports/metrics.json")  # with intervals
METRICS = Path("reports/metrics")  # means, a file per method: a row each of `dvc metrics show`
PLOTS = Path("reports/plots")
_PLOTTED = 1000  # images of a method whose traces are plotted, the first ones
log = logging.getLogger("evaluate")


def main() -> None:
    """Run the stage."""
    with stage("evaluate") as settings:
        options = settings.evaluate
        names = available(options.metrics, ASSETS)
        metrics = asset_metrics(names, ASSETS)
        identities = [metric(name, ASSETS, moved=True) for name in names if name.startswith("identity")]
        scorer = AttributeScorer(ASSETS, options.attributes) if options.attributes else None
        methods = list(settings.invert.methods)
        with ExitStack() as stack:

            def lookup(path: Path, table: tables.Table, column: str) -> tables.Lookup:
                return stack.enter_context(tables.Lookup(path, table, "image_id", [column]))

            crops = lookup(ALIGNED, tables.ALIGNED, "crop")
            drawn = {
                name: lookup(RECONSTRUCTIONS / f"{name}.parquet", tables.RECONSTRUCTIONS, "png") for name in methods
            }
            with tables.Writer(SCORES, tables.SCORES) as out:
                for method in methods:
                    out.add(_score_method(method, names, metrics, crops, len(drawn[method])))
            with tables.Writer(EDIT_SCORES, tables.EDIT_SCORES) as out:
                for rows in _score_edits(crops, drawn, identities, scorer):
                    out.add(rows)

        _write_plots(methods)
        figures = summary(tables.rows(SCORES, tables.SCORES, ["method", "metric", "value"], 4096))
        write_json(FIGURES, figures)
        _write_means(figures)
        for method, values in figures.items():
            log.info("%s: %s", method, ", ".join(f"{name} {value['mean']:.4f}" for name, value in values.items()))


def _score_method(
    method: str, names: Sequence[str], metrics: Sequence[NamedMetric], crops: tables.Lookup, total: int
) -> Iterator[dict[str, Any]]:
    """Yield the scores of a method's reconstructions, with one picture in memory."""
    path, channels = RECONSTRUCTIONS / f"{method}.parquet", _channels_of(method)
    for row in progress(tables.rows(path, tables.RECONSTRUCTIONS, ["image_id", "png"]), total, f"scoring {method}"):
        picture, crop = from_png(row["png"]), from_png(crops[row["image_id"]]["crop"])
        check_sizes(names, picture.width)
        key = {"image_id": row["image_id"], "method": method}
        yield from score_reconstructions([key], [picture], [crop], metrics, channels)


def _channels_of(method: str) -> int:
    """Return how many channels the generator of a method's reconstructions draws."""
    schema = tables.schema_of(RECONSTRUCTIONS / f"{method}.parquet", tables.RECONSTRUCTIONS)
    return int(tables.metadata_of(schema)["image_channels"])


def _score_edits(
    crops: tables.Lookup,
    drawn: Mapping[str, tables.Lookup],
    identities: Sequence[NamedMetric],
    scorer: AttributeScorer | None,
) -> Iterator[list[dict[str, Any]]]:
    """Yield the scores of each edited picture. Those of amount 0, the unedited reconstruction, begin every edit."""
    channels = {method: _channels_of(method) for method in drawn}
    edits = tables.rows(EDITS, tables.EDITS, [*tables.EDITS.key, "crop"])
    edits = progress(edits, tables.count(EDITS, tables.EDITS), "scoring edits")
    for (image_id, method), rows in groupby(edits, key=lambda row: (row["image_id"], row["method"])):
        reconstruction = from_png(drawn[method][image_id]["png"])
        crop = from_png(crops[image_id]["crop"])
        unedited = score_edits({}, reconstruction, reconstruction, crop, identities, scorer, channels[method])
        begun = set[tuple[str, str, str]]()
        for row in rows:
            key = {name: row[name] for name in tables.EDITS.key}
            edit = row["edit"], row["direction"], row["reference"]
            if edit not in begun:
                begun.add(edit)
                yield [{**key, "amount": 0.0, **scores} for scores in unedited]
            if row["amount"] != 0:
                picture = from_png(row["crop"])
                yield score_edits(key, picture, reconstruction, crop, identities, scorer, channels[method])


def _write_means(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Write a file of means for every method, and remove those of methods that are no longer there."""
    for file in METRICS.glob("*.json"):
        file.unlink()
    for method, values in figures.items():
        write_json(METRICS / f"{method}.json", {name: round(value["mean"], 4) for name, value in values.items()})


def _write_plots(methods: list[str]) -> None:
    """Write the objective against the step by method, and the identity distance against the amount by edit."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    traces: dict[str, dict[str, np.ndarray]] = {}
    for method in methods:
        data = tables.rows(CODES / f"{method}.parquet", "codes", ["image_id", "trace"])
        lines = {row["image_id"]: np.array(row["trace"]) for row in islice(data, _PLOTTED) if row["trace"]}
        if lines:
            traces[method] = lines
    save_png(traces_figure(traces), PLOTS / "traces.png")
    curves: dict[str, dict[str, dict[float, float]]] = {}
    columns = ["image_id", "edit", "reference", "amount", "metric", "value"]
    for row in tables.rows(EDIT_SCORES, tables.EDIT_SCORES, columns, 4096):
        if row["metric"] == "identity_dlib" and row["value"] is not None:
            image = f"{row['image_id']} {row['reference']}"
            line = curves.setdefault(row["edit"], {}).setdefault(image, {})
            line[row["amount"]] = row["value"]
    figure = edit_curve_figure(curves, "identity distance to the reconstruction", reference=(0.6, "same person below"))
    save_png(figure, PLOTS / "identity_against_strength.png")


if __name__ == "__main__":
    main()
