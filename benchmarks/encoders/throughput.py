"""Images per second of encoding, and of encoding and drawing, by batch size. Baseline: batch 1 of the same round."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
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
from ganvert.inversion.run import targets_of
from ganvert.spaces import make_space


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--draw-up-to", type=int, default=8, help="largest batch drawn (0.7 GB a picture)")
    parser.add_argument("--rounds", type=int, default=5)


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
            ),
            lambda: one_round(bench, targets, batches),
        )
        for number in range(options.rounds)
    ]
    lines: list[Row] = []
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
        {"Pictures a second": lines},
        f"Medians of {len(rounds)} rounds; lowest and highest ratio of a round to its own batch 1. Photographs "
        f"are {bench.generator.resolution} px and on the device already; encoding includes shrinking them. Drawing "
        "stops at tensors: no file is written. With one thread on a CPU, seconds are processor time.",
        {"rounds": rounds},
    )


@torch.no_grad()
def one_round(bench: Bench, targets: Tensor, batches: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return work -> batch size -> seconds of one call."""
    seconds: dict[str, dict[str, float]] = {}
    for encoders in bench.options.encoders:
        preset, context = bench.alone(encoders)
        encoder, space = context.require_encoder(), make_space(preset.space, bench.generator)

        def draw(images: Tensor, encoder: Any = encoder, space: Any = space) -> Tensor:
            code = space.adopt(encoder.encode(images), [0] * len(images))
            return bench.generator.synthesize(space.decode(code))

        for name, work, most in (
            ("encode", encoder.encode, math.inf),
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


def now(device: torch.device) -> float:
    """Return the time when the device has finished its work, in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    # With one thread, processor time: other processes on the machine do not lengthen it.
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()
