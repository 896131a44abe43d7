"""Damaged files by the thousand: each is read or gives a reason, in bounded time and memory.

    python -m benchmarks.fuzz_inputs [photos | archives | weights | tables | params] [--count 20000] [--seed 0]

Small pictures of every format that is read, with profiles, orientations, pages and transparency, or small archives,
tables and lists of every kind are mutated in ways that hit headers and metadata as often as pixels. Weights, tables of
codes, directions and edits, and params.yaml get other shapes, types and values (`benchmarks.fuzz_models`). Child
processes do the reading: one that dies is a finding too. Exit code 1 if there is any finding.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import random
import resource
import signal
import struct
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageCms

from ganvert.base.errors import GanvertError, PhotoError
from ganvert.extraction.sources import SOURCES, identify, kind_of
from ganvert.faces import open_photo

__all__ = ["ARCHIVES", "PHOTOS", "Outcome", "mutations", "outcome_of", "outcome_of_archive", "outcome_of_photo"]

MAX_PIXELS = 4_000_000
SECONDS = 10  # for one picture
BYTES = 3 << 30  # address space of a child
CHUNK = 250
_EDGES = (0, 1, 0x7F, 0x80, 0xFF)
_NUMBERS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


class Outcome(str):
    """What became of a mutated file: `picture`, `listed`, `refused`, the status of a row, or `finding: ...`."""

    @property
    def is_finding(self) -> bool:
        """Whether it was neither read nor refused with a reason."""
        return self.startswith("finding")


def _photos() -> dict[str, bytes]:
    """Return small files of every format, by name."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    picture = Image.fromarray(pixels).resize((56, 40), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    facts: dict[str, Any] = {
        "exif": exif,
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    deep = Image.fromarray((np.asarray(picture.convert("L")).astype(np.uint16)) * 257)
    floats = Image.fromarray(np.asarray(picture.convert("L"), np.float32))
    frames = {"save_all": True, "append_images": [picture.rotate(90), picture.resize((20, 10))]}
    made: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "jpeg": (picture, "JPEG", facts),
        "progressive": (picture, "JPEG", {"progressive": True}),
        "cmyk": (picture.convert("CMYK"), "JPEG", {}),
        "mpo": (picture, "MPO", {"save_all": True, "append_images": [picture]}),
        "png": (picture, "PNG", facts),
        "png16": (deep, "PNG", {}),
        "palette": (picture.quantize(16), "PNG", {"transparency": 3}),
        "apng": (picture, "PNG", {**frames, "default_image": True}),
        "tiff": (picture, "TIFF", facts),
        "tiff pages": (picture, "TIFF", {**frames, "compression": "tiff_lzw"}),
        "tiff float": (floats, "TIFF", {"compression": "tiff_deflate"}),
        "webp": (picture.convert("RGBA"), "WEBP", facts),
        "avif": (picture, "AVIF", facts),
        "gif": (picture, "GIF", frames),
        "bmp": (picture, "BMP", {}),
        "jpeg2000": (picture, "JPEG2000", {}),
        "ppm": (picture, "PPM", {}),
    }
    seeds = {}
    for name, (image, kind, options) in made.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        seeds[name] = buffer.getvalue()
    return seeds


def _archives() -> dict[str, bytes]:
    """Return small archives, tables and lists; their names end as files of their kinds do."""
    pictures = {f"{name}.jpg": name.encode() * 40 for name in ("a", "folder/b", "ü", "long/" * 40 + "c")}
    made = {}
    for method, name in ((zipfile.ZIP_STORED, "stored.zip"), (zipfile.ZIP_DEFLATED, "deflated.zip")):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for inner, data in pictures.items():
                archive.writestr(inner, data)
        made[name] = buffer.getvalue()
    for form, name in ((tarfile.GNU_FORMAT, "gnu.tar"), (tarfile.PAX_FORMAT, "pax.tar")):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form, pax_headers={"comment": "all"}) as tar:
            for inner, data in pictures.items():
                info = tarfile.TarInfo(inner)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        made[name] = buffer.getvalue()
    made["gnu.tar.gz"] = gzip.compress(made["gnu.tar"], mtime=0)
    images, names = list(pictures.values()), list(pictures)
    tables = {
        "plain.parquet": {"image": images, "name": names},
        "nested.parquet": {"image": [{"bytes": data, "path": name} for name, data in pictures.items()]},
    }
    for name, columns in tables.items():
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer, row_group_size=3)
        made[name] = buffer.getvalue()
    lines = io.StringIO()
    csv.writer(lines).writerows([("age", "path"), *((3, name) for name in names)])
    made["list.csv"] = lines.getvalue().encode()
    made["list.txt"] = "\n".join(["# faces", *names]).encode()
    made["list.jsonl"] = "\n".join(json.dumps({"path": name, "age": 3, "tags": [None, {}]}) for name in names).encode()
    return made


#: Small files of every format that is read, by name.
PHOTOS = _photos()
#: Small archives, tables and lists; their names end as files of their kinds do.
ARCHIVES = _archives()


def mutations(seed: int, seeds: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield damaged files without end, each with the name of what it was; equal numbers give equal files."""
    draw = random.Random(seed)
    names = sorted(seeds)
    number = 0
    while True:
        name = names[number % len(names)]
        data = bytearray(seeds[name])
        for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
            _mutate(data, draw, seeds)
        yield name, bytes(data)
        number += 1


def _mutate(data: bytearray, draw: random.Random, seeds: Mapping[str, bytes]) -> None:
    """Damage the bytes in one way; half of the places are near the start, where headers lie."""
    if not data:
        return
    place = draw.randrange(min(len(data), 200) if draw.random() < 0.5 else len(data))
    length = draw.choice((1, 2, 4, 8, 64))
    kind = draw.randrange(7)
    if kind == 0:
        data[place] ^= 1 << draw.randrange(8)
    elif kind == 1:
        data[place] = draw.choice(_EDGES)
    elif kind == 2:
        number = struct.pack(draw.choice("<>") + "L", draw.choice(_NUMBERS))
        data[place : place + 4] = number
    elif kind == 3:
        del data[place : place + length]
    elif kind == 4:
        data[place:place] = data[place : place + length]
    elif kind == 5:
        other = seeds[draw.choice(sorted(seeds))]
        start = draw.randrange(len(other))
        data[place : place + length] = other[start : start + length]
    else:
        del data[max(place, draw.randrange(len(data))) :]


def outcome_of_photo(data: bytes) -> Outcome:
    """Open a damaged photograph."""

    def read() -> str:
        photo = open_photo(data, MAX_PIXELS, "x")
        sound = photo.image.mode == "RGB" and photo.size == photo.original.size and not photo.image.info
        return "picture" if sound else f"finding: {photo}"

    return _outcome(read)


def outcome_of_archive(name: str, data: bytes) -> Outcome:
    """List a damaged archive, table or list, and read every member."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        kind = SOURCES[kind_of(path)]

        def read() -> str:
            source = kind(str(kind.prepare(path, Path(folder))))
            try:
                for entry in source.members():
                    try:
                        identify(source, entry.locator, entry.image_id)
                    except PhotoError as error:
                        str(error)
            finally:
                source.close()
            return "listed"

        return _outcome(read)


def outcome_of(read: Callable[[Path], str]) -> Outcome:
    """Read a case of `benchmarks.fuzz_models`."""
    with tempfile.TemporaryDirectory() as folder:
        return _outcome(lambda: read(Path(folder)))


def _outcome(read: Callable[[], str]) -> Outcome:
    """Return what came of reading a file."""

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    start = time.monotonic()
    try:
        result = read()
    except PhotoError as error:
        result = error.status
    except GanvertError:
        result = "refused"
    except BaseException as error:
        result = f"finding: {type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if time.monotonic() - start >= SECONDS:  # the alarm's own error may have become a reason
        result = "finding: too slow"
    return Outcome(result)


def _chunk(kind: str, seed: int) -> list[tuple[str, Outcome]]:
    if kind not in ("photos", "archives"):
        from benchmarks.fuzz_models import CASES  # imports everything, which the others do not need

        return [
            (f"{name}, {seed}:{number}", outcome_of(read))
            for number, (name, read) in enumerate(islice(CASES[kind](seed), CHUNK))
        ]
    seeds = PHOTOS if kind == "photos" else ARCHIVES
    return [
        (
            f"{name}, {seed}:{number}",
            outcome_of_photo(data) if kind == "photos" else outcome_of_archive(name, data),
        )
        for number, (name, data) in enumerate(islice(mutations(seed, seeds), CHUNK))
    ]


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def main() -> None:
    """Run the fuzz."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz_inputs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "kind", choices=("photos", "archives", "weights", "tables", "params"), nargs="?", default="photos"
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts, findings = Counter[str](), 0
    for first in range(options.seed, options.seed + -(-options.count // CHUNK)):
        try:
            with ProcessPoolExecutor(1, get_context("spawn"), _limit) as child:
                results = child.submit(_chunk, options.kind, first).result()
        except BrokenProcessPool:
            results = [(f"one of the {CHUNK} of seed {first}", Outcome("finding: the process died"))]
        for name, outcome in results:
            counts[outcome] += 1
            if outcome.is_finding:
                findings += 1
                print(f"{name}: {outcome}", flush=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{counts.total()} files: {dict(counts.most_common())}; peak memory of a child "
        f"{used.ru_maxrss / 1024:.0f} MiB, {used.ru_utime + used.ru_stime:.0f} CPU seconds"
    )
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
