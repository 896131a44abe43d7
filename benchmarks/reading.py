"""Reading the codes of many images: one Parquet table against one .pt file an image.

    python benchmarks/reading.py [--images 100000] [--folder DIR] [--kind random related] [--settings ours zstd ...]

Writes synthetic W+ codes (16 x 512 float32 an image) both ways, in pieces, then reads everything back: the table with
``ganvert.tables.batches``, the files one by one with ``torch.load(weights_only=True)``. Both end as numpy arrays; the
last number of every image is used, and the sums of these must agree. The page cache is warm: the files have just
been written (for cold ones, run with --keep, drop the caches as root, and run again). ``random`` codes are independent
normal numbers; ``related`` ones are like real ones: a mean code and 64 common directions, rows of an image alike.

--settings chooses how the vectors are stored: ours, or an alternative that was tried.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import torch

from ganvert import tables

SHAPE = (16, 512)
PIECE = 500
VECTORS = "ws.list.element"
#: Over the settings of tables.Writer.
SETTINGS: dict[str, dict[str, Any]] = {
    "ours": {},
    "lz4": {"compression": "lz4"},
    "zstd": {"compression": "zstd"},
    "split-lz4": {"compression": "lz4", "column_encoding": {VECTORS: "BYTE_STREAM_SPLIT"}},
    "split-zstd": {"compression": "zstd", "column_encoding": {VECTORS: "BYTE_STREAM_SPLIT"}},
    "dictionary-zstd": {"compression": "zstd", "use_dictionary": True},
}


def pieces(images: int, kind: str) -> Iterator[np.ndarray]:
    """Yield codes [at most PIECE, 16, 512], the same at every call."""
    source = np.random.default_rng(0)
    mean = source.standard_normal(SHAPE, np.float32)
    directions = 0.3 * source.standard_normal((64, 512), np.float32)
    for first in range(0, images, PIECE):
        count = min(PIECE, images - first)
        if kind == "random":
            yield source.standard_normal((count, *SHAPE), np.float32)
        else:
            rows = source.standard_normal((count, 1, 64), np.float32)
            rows = rows + 0.3 * source.standard_normal((count, SHAPE[0], 64), np.float32)
            yield (mean + rows @ directions).astype(np.float32)


def write_table(path: Path, images: int, kind: str, settings: dict[str, Any]) -> None:
    """Write the table as ganvert does."""
    table, ours = tables.codes_table({"ws": SHAPE}), tables._settings
    fixed = dict.fromkeys(("method", "space", "status", "reason", "generator", "encoder", "config"), "ok")
    first = 0
    with patch.object(tables, "_settings", lambda schema: ours(schema) | settings), tables.Writer(path, table) as out:
        for codes in pieces(images, kind):
            rows = range(first, first + len(codes))
            columns = {
                "image_id": [f"{i:016x}-0" for i in rows],
                "tuned": [None] * len(codes),
                "trace": [[] for _ in rows],
                "seed": list(rows),
                **{name: [0] * len(codes) for name in ("steps", "best_step")},
                **{name: [value] * len(codes) for name, value in fixed.items()},
            }
            schema = table.schema()
            arrays = [
                tables.arrow_vectors(codes.reshape(len(codes), -1), field.type)
                if field.name == "ws"
                else pa.array(columns[field.name], field.type)
                for field in schema
            ]
            out.add_table(pa.Table.from_arrays(arrays, schema=schema))
            first += len(codes)


def write_files(folder: Path, images: int, kind: str) -> None:
    """Write one .pt file an image, a tensor each."""
    folder.mkdir()
    first = 0
    for codes in pieces(images, kind):
        for i, code in enumerate(torch.from_numpy(codes), start=first):
            torch.save(code.clone(), folder / f"{i:08}.pt")  # a view would bring its whole piece along
        first += len(codes)


def read_table(path: Path) -> float:
    """Read everything as float arrays [rows, 16, 512]; return the sum of the last numbers."""
    total = 0.0
    for part in tables.batches(path, "codes", ["ws"], 256):
        codes = tables.array(part, "ws").reshape(-1, *SHAPE)
        total += float(codes[:, -1, -1].sum(dtype=np.float64))
    return total


def read_files(folder: Path, images: int) -> float:
    """Do the same with the files."""
    total = 0.0
    for i in range(images):
        code = torch.load(folder / f"{i:08}.pt", weights_only=True).numpy()
        total += float(code[-1, -1])
    return total


def timed(read: Any, *values: Any) -> tuple[float, float]:
    """Return the result and the seconds it took."""
    start = time.perf_counter()
    return read(*values), time.perf_counter() - start


def main() -> None:
    """Write, read, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to write; by default a temporary folder")
    parser.add_argument("--kind", nargs="+", choices=("random", "related"), default=["random", "related"])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["ours"])
    parser.add_argument("--repeat", type=int, default=3, help="readings of the table; the median counts")
    parser.add_argument("--keep", action="store_true", help="leave the files there, and take those that are there")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="ganvert-reading-"))
    folder.mkdir(parents=True, exist_ok=True)
    gigabytes = arguments.images * 4 * SHAPE[0] * SHAPE[1] / 1e9
    print(f"{arguments.images} images, {SHAPE[0]} x {SHAPE[1]} float32 each, {gigabytes:.2f} GB, warm page cache")
    try:
        for kind in arguments.kind:
            files = folder / f"{kind}.files"
            if not files.exists():
                write_files(files, arguments.images, kind)
            expected, slow = timed(read_files, files, arguments.images)
            sizes = [file.stat() for file in files.iterdir()]
            weight = sum(size.st_size for size in sizes)
            print(
                f"{kind}: .pt files {slow:.2f} s ({slow / arguments.images * 1e6:.0f} us an image), "
                f"{weight / 1e9:.3f} GB ({sum(size.st_blocks for size in sizes) * 512 / 1e9:.3f} GB of disk blocks)",
                flush=True,
            )
            for name in arguments.settings:
                path = folder / f"{kind}-{name}.parquet"
                if not path.exists():
                    start = time.perf_counter()
                    write_table(path, arguments.images, kind, SETTINGS[name])
                    print(f"{kind}: Parquet ({name}) written in {time.perf_counter() - start:.1f} s")
                runs = [timed(read_table, path) for _ in range(arguments.repeat)]
                assert all(abs(found - expected) < 1e-6 * arguments.images for found, _ in runs), "they differ"
                fast, size = float(np.median([seconds for _, seconds in runs])), path.stat().st_size
                print(
                    f"{kind}: Parquet ({name}) {fast:.2f} s ({', '.join(f'{seconds:.2f}' for _, seconds in runs)}), "
                    f"{size / 1e9:.3f} GB: {slow / fast:.1f} times as fast, {size / weight:.3f} of the size",
                    flush=True,
                )
            if not arguments.keep:
                shutil.rmtree(files)
    finally:
        if arguments.folder is None and not arguments.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
