"""Results of a run as Prefect artifacts: metrics as tables, plots as pictures, a summary.

Artifacts are Markdown, and names of files come from anybody: `text` and `code` show them as they are, so that none
becomes a link, a picture or HTML. Pictures are Markdown too, since the page of Prefect's own image artifacts prints
the whole data URI below the picture.
"""

from __future__ import annotations

import base64
import io
import logging
import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from PIL import Image
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.pipeline import Stage

MAX_BYTES = 2 * 2**20  # per picture; Prefect keeps every artifact of every run in its database
MAX_PICTURES = 12  # per stage
_MARKUP = re.compile(r"[\\`*_\[\]<>&!~#]")  # what starts Markdown inside a line, HTML and entities
_ADDRESS = re.compile(r"://|www\.|@", re.IGNORECASE)  # what UIs turn into links by themselves, escaped or not


def outputs(root: Path, stage: Stage, logger: logging.Logger | logging.LoggerAdapter[Any]) -> None:
    """Publish the metrics, other JSON files and pictures of `stage`; call it inside the stage's task run."""
    figures = [*stage.metrics, *(path for path in stage.outs if path.suffix == ".json")]
    for path in _files(root, dict.fromkeys(figures)):
        # JSON has no NaN or infinity: as text they show, as numbers they would be empty cells.
        table = [
            {"metric": name, "value": str(value) if isinstance(value, float) and not isfinite(value) else value}
            for name, value in flat(_load(root / path))
        ]
        create_table_artifact(table, key=key(path), description=f"{code(path)}, figures of stage {code(stage.name)}")
    found = list(pictures(root, stage))
    small = [path for path in found if (root / path).stat().st_size <= MAX_BYTES][:MAX_PICTURES]
    for path in small:
        description = f"{code(path)}, written by stage {code(stage.name)}"
        create_markdown_artifact(picture(path, data_uri(root / path)), key=key(path), description=description)
    if left_out := [str(path) for path in found if path not in small]:
        logger.info("not shown here, too large or too many: %s", ", ".join(left_out))


def summary(root: Path, stages: Sequence[Stage], rows: Sequence[dict[str, str]]) -> str:
    """Publish which stage did what, and where the HTML pages are; returns the Markdown. Rows have equal keys."""
    lines = markdown_table(rows)
    pages = [path for stage in stages for path in stage.outs if path.suffix == ".html" and (root / path).is_file()]
    # A page served over http may not open file:// links, so the address is text to copy.
    lines += [f"\n**{text(path)}**: open it with {code((root / path).as_uri())}" for path in pages]
    markdown = "\n".join(lines)
    create_markdown_artifact(markdown, key="summary", description=f"the pipeline in {code(root)}")
    return markdown


def extraction(out: Path, counts: Mapping[str, str], reasons: Sequence[Mapping[str, str]]) -> str:
    """Publish the result of an extraction; returns the Markdown.

    Args:
        out: its folder; a `sample.png` in it is shown too.
        counts: name and value of each line.
        reasons: the first pictures that gave no code, and why.
    """
    lines = markdown_table([{"": name, " ": value} for name, value in counts.items()])
    files = [{"file": code(file), "MB": f"{file.stat().st_size / 1e6:,.3f}"} for file in sorted(out.glob("*.parquet"))]
    lines += ["", *markdown_table(files)]
    if reasons:
        lines += [
            "",
            "The first pictures without a code:",
            "",
            *markdown_table([{name: text(value) for name, value in row.items()} for row in reasons]),
        ]
    markdown = "\n".join(lines)
    create_markdown_artifact(markdown, key="extraction", description=f"the extraction in {code(out)}")
    sample = out / "sample.png"
    if sample.is_file():
        description = f"{code(sample)}: crops, and beside each what its code draws"
        create_markdown_artifact(picture(sample, jpeg_uri(sample)), key="extraction-sample", description=description)
    return markdown


def markdown_table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the lines of a table; the rows have equal keys. Cells are Markdown.

    Bars in them are escaped, line ends become spaces.
    """
    cells = [list(rows[0]), *([" ".join(cell.split()).replace("|", "\\|") for cell in row.values()] for row in rows)]
    head, *body = ["| " + " | ".join(row) + " |" for row in cells]
    return [head, "|---" * len(rows[0]) + "|", *body]


def text(value: object) -> str:
    """Return text as Markdown that shows it as it is, on one line."""
    if _ADDRESS.search(str(value)):
        return code(value)
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(value).split()))


def code(value: object) -> str:
    """Return text as Markdown that shows it as it is in a fixed-width font, on one line."""
    line = " ".join(str(value).split())
    # The fence is longer than any run of backticks inside. One space at each end belongs to the fence.
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if len(fence) == 1 else f"{fence} {line} {fence}"


def picture(path: Path, uri: str) -> str:
    """Return a picture as Markdown, its data in it."""
    return f"![{text(path.name)}]({uri})"


def pictures(root: Path, stage: Stage) -> Iterator[Path]:
    """Yield pictures among the stage's outputs: single files, and those in folders that dvc.yaml declares as plots."""
    seen: set[Path] = set()
    for path in (*stage.plots, *stage.outs):
        inside = sorted((root / path).rglob("*")) if path in stage.plots and (root / path).is_dir() else [root / path]
        for file in inside:
            relative = file.relative_to(root)
            if file.is_file() and relative not in seen and (mimetypes.guess_type(file)[0] or "").startswith("image/"):
                seen.add(relative)
                yield relative


def flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of nested mappings and lists with dotted names: {"a": {"b": 1}} gives ("a.b", 1)."""
    if isinstance(value, dict):
        for part, inner in value.items():
            yield from flat(inner, f"{name}.{part}" if name else str(part))
    elif isinstance(value, list):
        yield from flat(dict(enumerate(value)), name)
    else:
        yield name, value


def key(path: Path) -> str:
    """Return the artifact key of a file, under which the UI lists its versions: lower case, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", str(path).lower()).strip("-")


def data_uri(path: Path) -> str:
    """Return the picture as a data URI, so that the UI needs no file server."""
    return f"data:{mimetypes.guess_type(path)[0]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def jpeg_uri(path: Path) -> str:
    """Return the picture as a data URI in JPEG, a tenth of the size of a PNG."""
    buffer = io.BytesIO()
    with Image.open(path, formats=("PNG", "JPEG")) as picture:
        picture.convert("RGB").save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _files(root: Path, paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files, and those in folders, relative to the project: DVC takes folders of metrics too."""
    for path in paths:
        whole = root / path
        yield from sorted(file.relative_to(root) for file in whole.rglob("*.json")) if whole.is_dir() else [path]


def _load(path: Path) -> object:
    from dvc.fs import localfs
    from dvc.utils.serialize import load_path

    return load_path(str(path), localfs)  # JSON, YAML or TOML, by its suffix, as `dvc metrics show` reads it
