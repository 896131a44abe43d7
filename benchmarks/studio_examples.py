"""The examples on the cards of `ganvert studio`: a sample photograph, and beside it what a method finds of it.

    for METHOD in fast, balanced, best: ganvert invert data/sample_photos/biden.jpg --method METHOD --out WORK/METHOD
    python -m benchmarks.studio_examples WORK

Writes ganvert/studio/examples/METHOD.jpg, at most 15 KB each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from benchmarks.editing_pictures import save_jpeg
from ganvert.studio.times import EXPECTED

OUT = Path("ganvert/studio/examples")
#: The photograph whose identity distances are nearest to the means that the cards name.
PHOTOGRAPH = "biden"
PX, LARGEST = 240, 15_000


def main() -> None:
    """Make the examples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    OUT.mkdir(exist_ok=True)
    for method in EXPECTED:
        pair = Image.new("RGB", (2 * PX, PX))
        for place, name in enumerate(("crop", method)):
            with Image.open(work / method / f"{PHOTOGRAPH}_{name}.png") as file:
                pair.paste(file.convert("RGB").resize((PX, PX), Image.Resampling.LANCZOS), (place * PX, 0))
        save_jpeg(pair, OUT / f"{method}.jpg", LARGEST)


if __name__ == "__main__":
    main()
