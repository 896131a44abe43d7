"""The picture of docs/directions.md: directions of every finder on two sample photographs.

    python -m benchmarks.finder_pictures OUT.jpg [--codes data/codes/balanced.parquet] [--count 2] [FINDER ...]

Run it in the project's folder after `make repro`, whose codes it moves. A row is a finder's direction, with its amount;
columns are each photograph at minus the amount, as it is, and at the amount. Directions are found here, from the
shipped scores. Core-seconds of each finder are printed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from benchmarks.directions import samples_of
from benchmarks.editing_pictures import LARGEST, save_jpeg
from ganvert import assets
from ganvert.base import params
from ganvert.codes import read_codes
from ganvert.compute.device import strict_math
from ganvert.directions import DIRECTIONS, Direction, FinderInputs
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import make_edit
from ganvert.editing.render import draw_edit
from ganvert.faces.parsing import load_parser
from ganvert.generators import load_generator
from ganvert.images import contact_sheet, to_pil

PX = 150


class Shown(NamedTuple):
    """What is shown of a finder.

    Attributes:
        options: as under `discover.methods` of params.yaml.
        amounts: direction to the largest amount.
    """

    options: dict[str, Any]
    amounts: dict[str, float]


SHOWN = {
    "interfacegan": Shown({"attributes": {"smile": {}}, "spaces": ["w"]}, {"smile": 2}),
    "ganspace": Shown({"components": 2}, {"ganspace_0": 2, "ganspace_1": 2}),
    "sefa": Shown({"components": 2, "groups": {"coarse": {"last_row": 4}}}, {"sefa_coarse_1": 2}),
    "stylespace": Shown(
        {"attributes": {"smile": {"region": "mouth"}}, "regions": ["hair"], "components": 1},
        {"stylespace_smile_0": 10, "stylespace_hair_0": 25},
    ),
    "lowrank": Shown({"regions": {"mouth": {"part": "mouth"}}, "components": 1}, {"lowrank_mouth_0": 3}),
    "random": Shown({"count": 1, "stds": [0.2]}, {"random_0.2_0": 1}),
}


def found(finder: str, inputs: FinderInputs) -> dict[str, Direction]:
    """Return name to direction, those of W where the finder has them in several spaces."""
    entry = DIRECTIONS[finder]
    options = params.build(entry.options, SHOWN[finder].options, finder)
    return {each.name: each for each in entry.find(inputs, options) if each.space in ("w", "s")}


def main() -> None:
    """Find, draw and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("finders", nargs="*", metavar="FINDER")
    parser.add_argument("--codes", type=Path, default=Path("data/codes/balanced.parquet"))
    parser.add_argument("--count", type=int, default=2, help="photographs, the first of the table")
    arguments = parser.parse_args()
    strict_math(threads=1)
    generator = load_generator(assets.home() / "mobile_stylegan.safetensors")
    codes = list(read_codes(arguments.codes, generator))[: arguments.count]
    inputs = FinderInputs(samples=samples_of(generator), generator=generator, parser=load_parser(assets.home()))
    unedited = {code.image_id: to_pil(code.draw())[0] for code in codes}
    pictures: list[Image.Image] = []
    captions: list[str] = []
    for finder in arguments.finders or SHOWN:
        start = time.process_time()
        directions = found(finder, inputs)
        print(f"{finder}: {time.process_time() - start:.0f} core-seconds: {', '.join(directions)}", flush=True)
        for name, amount in SHOWN[finder].amounts.items():
            for code in codes:
                moved = EditInputs(code=code, directions=[(directions[name], 1.0)])
                ends = [draw_edit(make_edit("shift"), moved, end) for end in (-amount, amount)]
                pictures += [ends[0], unedited[code.image_id], ends[1]]
                captions += [f"{name} {-amount:+g}", "", f"{amount:+g}"]
    save_jpeg(contact_sheet(pictures, 3 * len(codes), PX, captions), arguments.out, LARGEST)


if __name__ == "__main__":
    main()
