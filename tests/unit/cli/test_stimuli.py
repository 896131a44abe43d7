"""`ganvert stimuli`: a picture a cell and a row for each, amounts that reach a score."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from ganvert.base.files import OUTPUT_MARK
from ganvert.codes import Code
from ganvert.directions import load_directions
from ganvert.editing import stimulus_set
from ganvert.editing.amounts import Percentile
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits.shift import Shift
from ganvert.editing.population import Population
from ganvert.editing.render import draw_edit
from ganvert.faces import ATTRIBUTES
from ganvert.images import to_pil

Run = Callable[..., Result]


class Scorer:
    """A face in every picture, whose smile is its mean shade."""

    def __init__(self, folder: Path) -> None:
        pass

    def score(self, images: list[Image.Image]) -> list[dict[str, float | None]]:
        return [{**dict.fromkeys(ATTRIBUTES, 0.5), "smile": float(np.asarray(image).mean())} for image in images]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stimulus_set, "AttributeScorer", Scorer)
    monkeypatch.setattr(stimulus_set, "asset_metrics", lambda *_: [lambda images, _: torch.tensor([0.25])])


def rows_of(folder: str) -> list[dict[str, Any]]:
    with Path(folder, "stimuli.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_picture_and_a_row_for_every_cell(tiny_run: Run, table: list[Code], directions: Path, measured: None) -> None:
    image = ("--codes", "out/codes.parquet", "--image", table[0].image_id, "--recipe", "ffhq")
    moves = ("--directions", directions, "--direction", "smile=-1:1:3", "--direction", "age=2")
    done = tiny_run("stimuli", *image, *moves, "--size", 48, "--oval", "--out", "out/stimuli")
    assert done.exit_code == 0, done.output
    person, rows = table[0].image_id, rows_of("out/stimuli")
    files = [f"{person}_smile_-1.png", f"{person}_smile_+0.png", f"{person}_smile_+1.png", f"{person}_age_+2.png"]
    assert [row["file"] for row in rows] == files
    extra = {OUTPUT_MARK, "stimuli.csv", "methods.txt", "sheet.png"}
    assert {path.name for path in Path("out/stimuli").iterdir()} == {*files, *extra}
    assert [(row["direction"], float(row["amount"])) for row in rows] == [
        *(("smile", amount) for amount in (-1, 0, 1)),
        ("age", 2),
    ]
    unedited = float(np.asarray(to_pil(table[0].draw())[0]).mean())
    assert all(float(row["before_smile"]) == pytest.approx(unedited) for row in rows)
    assert float(rows[1]["after_smile"]) == pytest.approx(unedited)
    assert len({row["after_smile"] for row in rows}) == 4
    assert {(row["identity"], row["identity_photo"]) for row in rows} == {("0.25", "")}  # no photograph is known
    assert {row["method"] for row in rows} == {"mine"}
    assert all(len(row["generator"]) == len(row["directions"]) == 64 for row in rows)
    with Image.open(f"out/stimuli/{files[0]}") as picture:
        assert picture.size == (48, 48)
        assert picture.getpixel((0, 0)) == (128, 128, 128)
    text = Path("out/stimuli/methods.txt").read_text()
    assert "smile (test in W, rows 0 to 7) and age (test in W, rows 0 to 3)" in text


def test_targets_are_reached(tiny_run: Run, table: list[Code], directions: Path, measured: None) -> None:
    images = [("--image", table[i].image_id) for i in (0, 2)]
    common = ("--codes", "out/codes.parquet", *images[0], *images[1], "--recipe", "ffhq", "--directions", directions)
    smile = load_directions(directions)["smile", "w"]
    inputs = EditInputs(code=table[0], directions=[(smile, 1.0)])
    ends = [float(np.asarray(draw_edit(Shift(), inputs, amount)).mean()) for amount in (-4, 4)]
    middle, span = round(sum(ends) / 2, 3), abs(ends[1] - ends[0])
    done = tiny_run("stimuli", *common, "--target", f"smile={middle},9999", "--out", "solved")
    assert done.exit_code == 0, done.output
    rows = rows_of("solved")
    assert [row["person"] for row in rows] == [table[i].image_id for i in (0, 0, 2, 2)]
    assert rows[0]["file"] == f"{table[0].image_id}_smile_to_{middle:g}.png"
    assert rows[0]["reached"] == "1"
    assert abs(float(rows[0]["after_smile"]) - middle) <= 0.0125 * span
    assert {row["reached"] for row in rows[1::2]} == {"0"}


def test_pictures_of_other_things_are_not_measured(tiny_run: Run, table: list[Code], directions: Path) -> None:
    done = tiny_run("stimuli", "a.png", "b.png", "--directions", directions, "--direction", "age=1", "--out", "x")
    assert done.exit_code == 0, done.output
    rows = rows_of("x")
    assert [row["file"] for row in rows] == ["a_age_+1.png", "b_age_+1.png"]
    assert not any(name.startswith(("before_", "after_")) for name in rows[0])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "wanted --direction smile=-2:2:5, or --target"),
        (("--target", "smile=1"), "wanted a recipe that aligns"),
        (("--target", "age=1", "--recipe", "ffhq", "--direction", "smiel=1"), "Did you mean 'smile'"),
        (("--direction", "smile=1", "--direction", "smile=2"), "every direction once"),
        (("--direction", "smile=1", "--oval", "--background", "blau"), "wanted a colour"),
    ],
)
def test_mistakes_before_any_work(
    tiny_run: Run, directions: Path, arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stimulus_set, "make_stimuli", lambda *_, **__: pytest.fail("drawn"))
    done = tiny_run("stimuli", "a.png", "--directions", directions, *arguments, "--out", "x")
    assert done.exit_code == 2, done.output
    assert says in " ".join(done.output.split())
    assert not Path("x").exists()


def test_percentiles_and_checks_stand_in_the_table(
    tiny_run: Run, table: list[Code], directions: Path, measured: None
) -> None:
    image = ("--codes", "out/codes.parquet", "--image", table[0].image_id, "--recipe", "ffhq")
    options = (*image, "--directions", directions, "--out", "out/stimuli")
    done = tiny_run("stimuli", *options, "--direction", "smile=p90,30")
    assert done.exit_code == 0, done.output
    first, far = rows_of("out/stimuli")
    assert first["file"].endswith("_smile_p90.png") and (first["percentile"], far["percentile"]) == ("90.0", "")
    smile = load_directions(directions)["smile", "w"]
    wanted = Population(table[0].space.generator).amount(Percentile(90), smile, table[0])
    assert float(first["amount"]) == pytest.approx(wanted, abs=1e-5)
    assert float(far["sigmas"]) > 6 and "standard deviations from the samples" in far["check"]
    assert "at percentile 90 (n = 1)" in Path("out/stimuli/methods.txt").read_text()
    done = tiny_run("stimuli", *options, "--target", "smile=p90")
    assert done.exit_code == 2 and "wanted scores, got a percentile" in " ".join(done.output.split())
