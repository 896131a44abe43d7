"""evaluate: reconstructions and edits against their crops -> data/{scores,edit_scores}.parquet, metrics, plots."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from ganvert import tables
from ganvert.evaluation import asset_metrics, score_edits, score_reconstructions, summary
from ganvert.faces import AttributeScorer
from ganvert.files import atomic_path
from ganvert.images import from_png
from ganvert.metrics import check_sizes
from ganvert.report.plots import edit_curve_figure, save_png, traces_figure
from ganvert.runtime import progress
from stages.common import stage

ASSETS = Path("data/assets")
ALIGNED = Path("data/aligned.parquet")
CODES = Path("data/codes")
RECONSTRUCTIONS = Path("data/reconstructions")
EDITS = Path("data/edits.parquet")
SCORES = Path("data/scores.parquet")
EDIT_SCORES = Path("data/edit_scores.parquet")
METRICS = Path("reports/metrics.json")
PLOTS = Path("reports/plots")
log = logging.getLogger("evaluate")


def main() -> None:
    """Run the stage."""
    with stage("evaluate") as told:
        options = told["evaluate"]
        metrics = asset_metrics(options.metrics, ASSETS)
        aligned = tables.read(ALIGNED, tables.ALIGNED).select(["image_id", "crop"]).to_pylist()
        crops = {row["image_id"]: from_png(row["crop"]) for row in aligned}
        methods = list(told["invert"].methods)
        rows: list[dict[str, Any]] = []
        drawn: dict[tuple[str, str], bytes] = {}
        for method in methods:
            table = tables.read(RECONSTRUCTIONS / f"{method}.parquet", tables.RECONSTRUCTIONS)
            channels, data = int(tables.metadata_of(table)["image_channels"]), table.to_pylist()
            for row in progress(data, len(data), f"scoring {method}"):
                drawn[row["image_id"], method] = row["png"]
                key = {"image_id": row["image_id"], "method": method}
                picture, crop = from_png(row["png"]), crops[row["image_id"]]
                check_sizes(options.metrics, picture.width)
                rows += score_reconstructions([key], [picture], [crop], metrics, channels)
        tables.write(SCORES, tables.SCORES, rows)

        identity = next((metric for metric in metrics if metric.name == "identity_dlib"), None)
        scorer = AttributeScorer(ASSETS, options.attributes) if options.attributes else None
        edits = tables.read(EDITS, tables.EDITS).drop(["pasted"]).to_pylist()
        edit_rows: list[dict[str, Any]] = []
        for row in progress(edits, len(edits), "scoring edits"):
            key = {name: row[name] for name in ("image_id", "method", "direction", "amount")}
            reconstruction = from_png(drawn[row["image_id"], row["method"]])
            crop = crops[row["image_id"]]
            edit_rows += score_edits(key, from_png(row["crop"]), reconstruction, crop, identity, scorer)
        tables.write(EDIT_SCORES, tables.EDIT_SCORES, edit_rows)

        _write_plots(methods, edit_rows)
        figures = summary(rows)
        with atomic_path(METRICS) as temporary:
            temporary.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
        for method, values in figures.items():
            log.info("%s: %s", method, ", ".join(f"{name} {value['mean']:.4f}" for name, value in values.items()))


def _write_plots(methods: list[str], edit_rows: list[dict[str, Any]]) -> None:
    PLOTS.mkdir(parents=True, exist_ok=True)
    traces: dict[str, dict[str, np.ndarray]] = {}
    for method in methods:
        data = tables.read(CODES / f"{method}.parquet", "codes").select(["image_id", "trace"]).to_pylist()
        lines = {row["image_id"]: np.array(row["trace"]) for row in data if row["trace"]}
        if lines:
            traces[method] = lines
    save_png(traces_figure(traces), PLOTS / "traces.png")
    curves: dict[str, dict[str, dict[float, float]]] = {}
    for row in edit_rows:
        if row["metric"] == "identity_dlib" and row["value"] is not None:
            line = curves.setdefault(row["direction"], {}).setdefault(row["image_id"], {0.0: 0.0})
            line[row["amount"]] = row["value"]
    figure = edit_curve_figure(curves, "identity distance to the reconstruction", reference=(0.6, "same person below"))
    save_png(figure, PLOTS / "identity_against_strength.png")


if __name__ == "__main__":
    main()
