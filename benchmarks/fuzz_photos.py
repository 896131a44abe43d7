"""Damaged photographs by the thousand: every one ends as a picture or as a reason, in bounded time and memory.

    python -m benchmarks.fuzz_photos [--count 20000] [--seed 0]

Small pictures of every format that is read, with profiles, orientations, pages and transparency, are mutated in ways
that hit headers and metadata as often as pixels. Child processes do the reading: one that dies is a finding too.
Exit code 1 if there is any finding.
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from ganvert.base.errors import PhotoError
from ganvert.faces import open_photo

__all__ = ["SEEDS", "Outcome", "mutations", "outcome_of"]

MAX_PIXELS = 4_000_000
SECONDS = 10  # for one picture
BYTES = 3 << 30  # address space of a child
CHUNK = 250
_EDGES = (0, 1, 0x7F, 0x80, 0xFF)
_NUMBERS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


class Outcome(str):
    """What became of a mutated file: `picture`, the status of a row, or `finding: ...`."""

    @property
    def is_finding(self) -> bool:
        """Whether it is neither a picture nor a row."""
        return self.startswith("finding")


def _seeds() -> dict[str, bytes]:
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


#: Small files of every format that is read, by name.
SEEDS = _seeds()


def mutations(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and damaged bytes without end; equal seeds give equal files."""
    draw = random.Random(seed)
    names = sorted(SEEDS)
    number = 0
    while True:
        name = names[number % len(names)]
        data = bytearray(SEEDS[name])
        for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
            _mutate(data, draw)
        yield f"{name}, {seed}:{number}", bytes(data)
        number += 1


def _mutate(data: bytearray, draw: random.Random) -> None:
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
        other = draw.choice(sorted(SEEDS))
        start = draw.randrange(len(SEEDS[other]))
        data[place : place + length] = SEEDS[other][start : start + length]
    else:
        del data[max(place, draw.randrange(len(data))) :]


def outcome_of(data: bytes) -> Outcome:
    """Read a damaged file."""

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    start = time.monotonic()
    try:
        photo = open_photo(data, MAX_PIXELS, "x")
        sound = photo.image.mode == "RGB" and photo.size == photo.original.size and not photo.image.info
        result = "picture" if sound else f"finding: {photo}"
    except PhotoError as error:
        result = error.status
    except BaseException as error:
        result = f"finding: {type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if time.monotonic() - start >= SECONDS:  # the alarm's own error may have become a reason
        result = "finding: too slow"
    return Outcome(result)


def _chunk(seed: int) -> list[tuple[str, Outcome]]:
    return [(name, outcome_of(data)) for name, data in islice(mutations(seed), CHUNK)]


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def main() -> None:
    """Run the fuzz."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz_photos", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts, findings = Counter[str](), 0
    for first in range(options.seed, options.seed + -(-options.count // CHUNK)):
        try:
            with ProcessPoolExecutor(1, get_context("spawn"), _limit) as child:
                results = child.submit(_chunk, first).result()
        except BrokenProcessPool:
            results = [(f"one of the {CHUNK} of seed {first}", Outcome("finding: the process died"))]
        for name, outcome in results:
            counts[outcome] += 1
            if outcome.is_finding:
                findings += 1
                print(f"{name}: {outcome}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{counts.total()} files: {dict(counts.most_common())}; peak memory of a child {peak:.0f} MiB")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
