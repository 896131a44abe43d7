"""Directions on chosen rows of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from click.testing import Result
from PIL import Image

from ganvert.codes import Code
from ganvert.images import to_pil

Run = Callable[..., Result]


def test_rows_have_amounts_of_their_own(tiny_run: Run, table: list[Code], directions: Path) -> None:
    moves = ("--directions", directions, "--direction", "smile@0:2=2", "--direction", "smile@5:8=-1")
    done = tiny_run("edit", "--codes", "out/codes.parquet", "--image", table[0].image_id, *moves, "--out", "edited")
    assert done.exit_code == 0, done.output
    variables = {name: value.clone() for name, value in table[0].variables.items()}
    variables["ws"][:, 0:2, 0] += torch.tensor(0.5 * 2)
    variables["ws"][:, 5:8, 0] -= torch.tensor(0.5)
    (expected,) = to_pil(table[0].space.generator.synthesize(table[0].synthesis_input(variables)))
    (path,) = Path("edited").glob("*_smile@0-2+2_smile@5-8-1.png")
    assert Image.open(path).convert("RGB").tobytes() == expected.tobytes()
