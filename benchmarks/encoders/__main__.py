"""Benchmarks of encoders: alone, as the start of an optimisation, off the usual crop, and what its parts hold.

    python -m benchmarks.encoders COMMAND OUT [--aligned data/aligned.parquet] [--count 4] [--assets data/assets]

COMMAND is one of
    throughput  images per second of encoding, and of encoding and drawing, by batch size; baseline: batch 1 of the
                same round
    quality     reconstructions of each encoder without a step of optimisation; baseline: the picture of w_avg
    start       few steps from the encoder's code; baseline: many steps from w_avg, everything else equal
    basecode    steps that F/Z+ needs from the prediction of an encoder, or its feature map alone, until it is as near
                as the baseline is after all its steps, which starts from the generator's own feature at w_avg
    robust      crops that are moved, rotated and scaled (BDInvert, section 4); baseline: the same crops as they are
    edits       codes of one pass moved along the shipped directions: changes of scores, MobileFaceNet's cosine between
                edit and reconstruction; baseline: the reconstruction
    ablation    small encoders, trained here, that differ in one thing: backbone, identity loss, samples, passes;
                baseline: the first of them
    parts       w_avg with the feature map, or padding, of an encoder (PadInv): what moves, and which colours change;
                baselines: the rows of the same encoder alone, and the photographs of other people

The photographs are the first --count by image id of a table that `align` wrote; training must not have seen them.
Encoders are named by their weights, NAME_ffhq.safetensors in --weights; A+B joins two (later encoders override earlier
ones), and A:SPACE draws the prediction in a space that is not the file's own. Presets are those of the project, with
the changes that the options here name.

OUT gets COMMAND.json, COMMAND.md and COMMAND.png. A photograph that is done is not computed again unless weights or
options differ; after a change of code, use another OUT. Means over photographs have 95 % bootstrap intervals; faces
that the detector does not find are counted as missing. core_s is processor time, summed over threads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from benchmarks.encoders import ablation, basecode, edits, parts, quality, robust, start, throughput
from benchmarks.encoders.bench import Bench
from ganvert.assets.shipped import shipped
from ganvert.base.errors import GanvertError
from ganvert.compute.device import strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.compute.precision import Precision

COMMANDS = {
    "throughput": throughput,
    "quality": quality,
    "start": start,
    "basecode": basecode,
    "robust": robust,
    "edits": edits,
    "ablation": ablation,
    "parts": parts,
}


def main() -> None:
    """Run one benchmark, write its files and print its tables."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("out", type=Path, metavar="OUT")
    shared.add_argument("--aligned", type=Path, default=Path("data/aligned.parquet"))
    shared.add_argument("--count", type=int, default=4, help="photographs, the first by image id")
    shared.add_argument("--assets", type=Path, default=Path("data/assets"))
    shared.add_argument("--generator", type=Path, default=None, help="default: mobile_stylegan of the assets")
    shared.add_argument("--weights", type=Path, default=shipped(""), help="folder of NAME_ffhq.safetensors")
    shared.add_argument("--device", default="cpu")
    shared.add_argument("--threads", type=int, default=None)
    shared.add_argument("--precision", default="auto", choices=get_args(Precision))
    shared.add_argument("--seed", type=int, default=0)
    shared.add_argument("--sheet", type=int, default=8, help="photographs on the sheet")

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.encoders", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, parents=[shared], help=module.__doc__)
        command.set_defaults(run=module.run)
        module.arguments(command)
    options = parser.parse_args()

    strict_math(threads=options.threads)
    keep_freed_memory()
    try:
        options.run(Bench(options))
    except GanvertError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
