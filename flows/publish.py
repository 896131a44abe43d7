"""What a stage has to show, as Prefect artifacts: a table for its metrics, pictures for its plots."""

from __future__ import annotations

import base64
import logging
import mimetypes
import re
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

from flows.pipeline import Stage

MAX_BYTES = 2 * 2**20  # of one picture; Prefect keeps every artifact of every run in its database
MAX_PICTURES = 12  # of one stage


def outputs(root: Path, stage: Stage, logger: logging.Logger | logging.LoggerAdapter[Any]) -> None:
    """Publish the metrics and pictures that `stage` has written; to be called inside its task run."""
    for path in stage.metrics:
        # As text where JSON has no number for it: NaN would be an empty cell.
        table = [
            {"metric": name, "value": str(value) if isinstance(value, float) and not isfinite(value) else value}
            for name, value in flat(_load(root / path))
        ]
        create_table_artifact(table, key=key(path), description=f"`{path}`, metrics of stage `{stage.name}`")
    found = list(pictures(root, stage))
    small = [path for path in found if (root / path).stat().st_size <= MAX_BYTES][:MAX_PICTURES]
    for path in small:
        description = f"`{path}`, written by stage `{stage.name}`"
        create_image_artifact(data_uri(root / path), key=key(path), description=description)
    if left_out := [str(path) for path in found if path not in small]:
        logger.info("not shown here, too large or too many: %s", ", ".join(left_out))


def summary(root: Path, stages: Sequence[Stage], rows: Sequence[dict[str, str]]) -> str:
    """Publish which stage did what, and where the HTML pages are; returns the Markdown. Rows have equal keys."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(row[column].replace("|", "\\|") for column in columns) + " |" for row in rows]
    pages = [path for stage in stages for path in stage.outs if path.suffix == ".html" and (root / path).is_file()]
    # A page served over http may not open file:// links, so the address is there to be copied.
    lines += [f"\n**{path}**: open it with `{(root / path).as_uri()}`" for path in pages]
    markdown = "\n".join(lines)
    create_markdown_artifact(markdown, key="summary", description=f"the pipeline in `{root}`")
    return markdown


def pictures(root: Path, stage: Stage) -> Iterator[Path]:
    """Pictures among the stage's outputs: single files, and those in folders that dvc.yaml declares as plots."""
    seen: set[Path] = set()
    for path in (*stage.plots, *stage.outs):
        inside = sorted((root / path).rglob("*")) if path in stage.plots and (root / path).is_dir() else [root / path]
        for file in inside:
            relative = file.relative_to(root)
            if file.is_file() and relative not in seen and (mimetypes.guess_type(file)[0] or "").startswith("image/"):
                seen.add(relative)
                yield relative


def flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Leaves of nested mappings and lists with dotted names: {"a": {"b": 1}} gives ("a.b", 1)."""
    if isinstance(value, dict):
        for part, inner in value.items():
            yield from flat(inner, f"{name}.{part}" if name else str(part))
    elif isinstance(value, list):
        yield from flat(dict(enumerate(value)), name)
    else:
        yield name, value


def key(path: Path) -> str:
    """Artifact key of a file, so that the UI shows its versions over the runs: lower case, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", str(path).lower()).strip("-")


def data_uri(path: Path) -> str:
    """Return the picture itself as an address, so that the UI needs no file server."""
    return f"data:{mimetypes.guess_type(path)[0]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _load(path: Path) -> object:
    from dvc.fs import localfs
    from dvc.utils.serialize import load_path

    return load_path(str(path), localfs)  # JSON, YAML or TOML, by its suffix, as `dvc metrics show` reads it
