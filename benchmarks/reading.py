"""Reading the codes of many images: one Parquet table against one .pt file an image.

    python benchmarks/reading.py [--images 100000] [--folder DIR] [--kind random related] [--settings ours zstd ...]

Writes synthetic W+ codes (16 x 512 float32 an image) both ways, in pieces, then reads everything back: the table with
``ganvert.tables.batches`` and with Arrow's own reader, the files one by one with ``torch.load(weights_only=True)``.
All end as numpy arrays; the sums of the images' last numbers must agree. Each way runs in a process of its own, because
Arrow counts its peak memory per process. The page cache is warm: the files have just been written (for a cold one, run
with --keep, drop the caches as root, and run again). ``random`` codes are independent normal numbers; ``related`` ones
resemble real ones: a mean code and 64 common directions, rows of an image alike.

--settings names how the vectors are stored: as ganvert does, or one of the other ways that were tried.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ganvert import tables
from ganvert.tables import writer

SHAPE = (16, 512)
PIECE = 500
VECTORS = "ws.list.element"
#: What overrides the storage options of tables.Writer.
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
    """Write the table as ganvert does, with other settings where some are given."""
    table, ours = tables.codes_table({"ws": SHAPE}), writer.storage_options
    fixed = dict.fromkeys(("method", "space", "status", "reason", "generator", "encoder", "config"), "ok")
    first = 0
    changed = patch.object(writer, "storage_options", lambda schema: ours(schema) | settings)
    with changed, tables.Writer(path, table) as out:
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
            torch.save(code.clone(), folder / f"{i:08}.pt")  # a view would store its whole piece
        first += len(codes)


def read_table(path: Path) -> float:
    """Read every code as float arrays [rows, 16, 512]; return the sum of the last numbers."""
    return sum_of_last(tables.batches(path, "codes", ["ws"], 256))


def read_with_arrow(path: Path) -> float:
    """Do the same with Arrow's own reader of Parquet."""
    return sum_of_last(pq.ParquetFile(path).iter_batches(256, columns=["ws"]))


def sum_of_last(batches: Iterable[pa.RecordBatch]) -> float:
    """Return the sum of the codes' last numbers."""
    total = 0.0
    for batch in batches:
        codes = tables.array(batch, "ws").reshape(-1, *SHAPE)
        total += float(codes[:, -1, -1].sum(dtype=np.float64))
    return total


def read_files(folder: Path) -> float:
    """Do the same with one file an image."""
    total = 0.0
    for file in sorted(folder.iterdir()):
        code = torch.load(file, weights_only=True).numpy()
        total += float(code[-1, -1])
    return total


@dataclasses.dataclass(frozen=True)
class Reading:
    """Result of a reading function, seconds of its runs, and the most memory that Arrow held in one."""

    total: float
    seconds: tuple[float, ...]
    mebibytes: float

    def text(self) -> str:
        """Return the figures as one line."""
        runs = ", ".join(f"{seconds:.2f}" for seconds in self.seconds)
        return f"{np.median(self.seconds):.2f} s ({runs}), {self.mebibytes:.0f} MiB"


def measure(read: Callable[[Path], float], path: Path, repeat: int) -> Reading:
    """Run a reading function `repeat` times in a process of its own, so that the peak of Arrow's memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (read, path, repeat))


def _measure(read: Callable[[Path], float], path: Path, repeat: int) -> Reading:
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        total = read(path)
        seconds.append(time.perf_counter() - start)
    return Reading(total, tuple(seconds), pa.default_memory_pool().max_memory() / 2**20)


def main() -> None:
    """Write, read, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to write; by default a temporary folder")
    parser.add_argument("--kind", nargs="+", choices=("random", "related"), default=["random", "related"])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["ours"])
    parser.add_argument("--repeat", type=int, default=3, help="readings of the table; the median counts")
    parser.add_argument("--keep", action="store_true", help="keep the files, and use those that exist")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="ganvert-reading-"))
    folder.mkdir(parents=True, exist_ok=True)
    gigabytes = args.images * 4 * SHAPE[0] * SHAPE[1] / 1e9
    print(f"{args.images} images, {SHAPE[0]} x {SHAPE[1]} float32 each, {gigabytes:.2f} GB of numbers, warm page cache")
    try:
        for kind in args.kind:
            compare(kind, folder, args)
    finally:
        if args.folder is None and not args.keep:
            shutil.rmtree(folder)


def compare(kind: str, folder: Path, args: argparse.Namespace) -> None:
    """Write codes of one kind as files and as tables, read both, print the figures."""
    files = folder / f"{kind}.files"
    if not files.exists():
        write_files(files, args.images, kind)
    slow = measure(read_files, files, 1)
    sizes = [file.stat() for file in files.iterdir()]
    weight = sum(size.st_size for size in sizes)
    print(
        f"{kind}: .pt files {slow.text()}, {slow.seconds[0] / args.images * 1e6:.0f} us an image, "
        f"{weight / 1e9:.3f} GB ({sum(size.st_blocks for size in sizes) * 512 / 1e9:.3f} GB of disk blocks)",
        flush=True,
    )
    for name in args.settings:
        path = folder / f"{kind}-{name}.parquet"
        if not path.exists():
            start = time.perf_counter()
            write_table(path, args.images, kind, SETTINGS[name])
            print(f"{kind}: Parquet ({name}) written in {time.perf_counter() - start:.1f} s")
        size = path.stat().st_size
        print(f"{kind}: Parquet ({name}) {size / 1e9:.3f} GB, {size / weight:.3f} of the files")
        for reader, read in (("ganvert", read_table), ("Arrow", read_with_arrow)):
            fast = measure(read, path, args.repeat)
            assert abs(fast.total - slow.total) < 1e-6 * args.images, "the codes differ"
            factor = slow.seconds[0] / np.median(fast.seconds)
            print(f"{kind}: Parquet ({name}) by {reader} {fast.text()}: {factor:.1f} times as fast", flush=True)
    if not args.keep:
        shutil.rmtree(files)


if __name__ == "__main__":
    main()
