"""Images per second of encoding, and of encoding and drawing, by batch size. Baseline: batch 1 of the same round.

With --photos, of alignment too. With --precision bfloat16 encoders run under autocast, and a second table says how far
their predictions are from those in float32.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.encoders.bench import (
    ENCODERS,
    Bench,
    Row,
    kept,
)
from ganvert.base.errors import InputError
from ganvert.faces import AlignOptions, FaceDetector, align_photos
from ganvert.inversion.run import targets_of
from ganvert.spaces import make_space


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--draw-up-to", type=int, default=8, help="largest batch drawn (0.7 GB a picture)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=Path, help="folder of photographs that are aligned, one after the other")


def run(bench: Bench) -> None:
    """Measure rounds over encoders and batch sizes; a ratio never compares two rounds."""
    options = bench.options
    batches = sorted({1, *options.batches})
    targets = targets_of(bench.crops, bench.generator)
    rounds = [
        kept(
            bench.out / "throughput" / f"round-{number}.json",
            bench.key(
                bench.crops[0],
                encoders=options.encoders,
                batches=batches,
                most=options.draw_up_to,
                count=len(bench.crops),
                device=str(targets.device),
                threads=torch.get_num_threads(),
                photos=str(options.photos),
                precision=bench.speed.precision,
            ),
            lambda: one_round(bench, targets, batches),
        )
        for number in range(options.rounds)
    ]
    lines: list[Row] = []
    fast = bench.speed.precision == "bfloat16"
    for work in rounds[0]:
        for batch in rounds[0][work]:
            per_picture = np.array([facts[work][batch] for facts in rounds]) / int(batch)
            ratio = np.array([facts[work]["1"] for facts in rounds]) / per_picture
            lines.append(
                {
                    "what": work,
                    "batch": int(batch),
                    "pictures a second": float(np.median(1 / per_picture)),
                    "times batch 1": float(np.median(ratio)),
                    "lowest": float(ratio.min()),
                    "highest": float(ratio.max()),
                }
            )
    bench.report(
        "throughput",
        {"Pictures a second": lines} | ({"Difference from float32": differences(bench, targets)} if fast else {}),
        f"Medians of {len(rounds)} rounds; lowest and highest ratio of a round to its own batch 1. Photographs "
        f"are {bench.generator.resolution} px and on the device already; encoding includes shrinking them. Drawing "
        "stops at tensors: no file is written. Alignment reads, detects and crops, and takes no batches. With one "
        f"thread on a CPU, seconds are processor time. Encoders in {bench.speed.precision}; alignment and drawing in "
        "float32.",
        {"rounds": rounds},
    )


@torch.no_grad()
def one_round(bench: Bench, targets: Tensor, batches: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return work -> batch size -> seconds of one call."""
    seconds: dict[str, dict[str, float]] = {}
    if bench.options.photos:
        seconds["align"] = {"1": seconds_to_align(bench)}
    for encoders in bench.options.encoders:
        preset, context = bench.alone(encoders)
        encode, space = encoding(bench, context.require_encoder()), make_space(preset.space, bench.generator)

        def draw(images: Tensor, encode: Any = encode, space: Any = space) -> Tensor:
            code = space.adopt(encode(images), [0] * len(images))
            return bench.generator.synthesize(space.decode(code))

        for name, work, most in (
            ("encode", encode, math.inf),
            ("encode, draw", draw, bench.options.draw_up_to),
        ):
            work(targets[:1])  # the first call also allocates
            times = seconds.setdefault(f"{encoders}: {name}", {})
            for batch in batches:
                if batch <= most:
                    images = targets[torch.arange(batch, device=targets.device) % len(targets)]
                    start = now(targets.device)
                    work(images)
                    times[str(batch)] = now(targets.device) - start
    return seconds


def encoding(bench: Bench, encoder: Any) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return what encodes images [N, 3, h, h] at the precision that was asked for."""

    def encode(images: Tensor) -> dict[str, Tensor]:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bench.speed.precision == "bfloat16"):
            prediction = encoder.encode(images)
        return {name: part.float() for name, part in prediction.items()}

    return encode


@torch.no_grad()
def differences(bench: Bench, targets: Tensor) -> list[Row]:
    """Return, for each part of a prediction, the length of its difference from float32's as a share of its own."""
    lines: list[Row] = []
    for encoders in bench.options.encoders:
        encoder = bench.alone(encoders)[1].require_encoder()
        exact, other = encoder.encode(targets[:1]), encoding(bench, encoder)(targets[:1])
        for name, part in exact.items():
            share = float((other[name] - part).norm() / part.norm())
            lines.append({"encoder": encoders, "part": name, "relative difference": share})
    return lines


def seconds_to_align(bench: Bench) -> float:
    """Return the mean seconds of reading a photograph, finding its face and cutting the crop."""
    paths = sorted(path for path in bench.options.photos.iterdir() if path.is_file())
    if not paths:
        raise InputError(f"--photos: {bench.options.photos} holds no file; wanted a folder of photographs")
    options, detector = (
        AlignOptions(resolution=bench.generator.resolution),
        FaceDetector(bench.assets, second_look=True),
    )
    align_photos(paths[:1], Path(), options, detector)  # the first call also loads
    start = now(torch.device("cpu"))
    align_photos(paths, Path(), options, detector)
    return (now(torch.device("cpu")) - start) / len(paths)


def now(device: torch.device) -> float:
    """Return the time when the device has finished its work, in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    # With one thread, processor time: other processes on the machine do not lengthen it.
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()
