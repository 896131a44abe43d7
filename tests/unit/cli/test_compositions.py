"""`ganvert diffuse`, `crossover` and `inpaint`: photographs and masks in, sheets and pictures out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from ganvert.cli.sources import crops_of
from ganvert.editing.compose import box_mask, crossover, diffusion, invert_composed, paint_mask
from ganvert.faces.align import cut_quad
from ganvert.generators import load_generator
from ganvert.images import from_pil, to_pil
from ganvert.inversion.presets import read_preset
from ganvert.inversion.run import make_context

from .conftest import PAD

Run = Callable[..., Result]


@pytest.fixture
def run(tiny_run: Run) -> Run:
    """Pictures are 120 x 90 px, their crops 64 x 64."""
    mask = Image.new("L", (120, 90))
    mask.paste(255, (40, 20, 70, 60))
    mask.save("mask.png")
    Image.new("L", (64, 64), 255).save("white.png")
    Image.new("L", (50, 50)).save("small.png")
    return tiny_run


@pytest.fixture
def crops(run: Run) -> dict[str, Image.Image]:
    found = crops_of([Path(f"{name}.png") for name in "abc"], "center", 64, Path(), same_crop=False)
    return dict(zip("abc", [crop.image for crop in found], strict=True))


def good(done: Result) -> None:
    assert done.exit_code == 0, done.output


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=int)


def drawn(composed, generator_file: Path) -> np.ndarray:
    generator = load_generator(generator_file)
    preset = read_preset("mine", PAD)
    code = invert_composed(composed, "x", preset, make_context(preset, generator, None, None))
    return np.asarray(to_pil(code.draw())[0], dtype=int)


def test_diffuse(run: Run, crops: dict[str, Image.Image], tiny_generator_file: Path) -> None:
    good(run("diffuse", "a.png", "b.png", "--onto", "c.png", "--out", "out", "--px", 64))
    assert {path.name for path in Path("out").iterdir()} >= {"a_onto-c.png", "b_onto-c.png", "sheet.png"}
    for name in "ab":
        expected = drawn(diffusion(crops[name], crops["c"], box_mask(64)), tiny_generator_file)
        np.testing.assert_array_equal(pixels(f"out/{name}_onto-c.png"), expected)
    assert Image.open("out/sheet.png").size == (3 * 68 + 4, 2 * (64 + 8 + 36) + 4)


def test_diffuse_with_several_crops(run: Run, crops: dict[str, Image.Image], tiny_generator_file: Path) -> None:
    good(run("diffuse", "a.png", "--onto", "b.png", "--crop", 60, "--crop", 90, "--centre", "128,128", "--out", "out"))
    for side in (60, 90):
        expected = drawn(diffusion(crops["a"], crops["b"], box_mask(64, side, (128, 128))), tiny_generator_file)
        np.testing.assert_array_equal(pixels(f"out/a_onto-b_{side}.png"), expected)


def test_crossover(run: Run, crops: dict[str, Image.Image], tiny_generator_file: Path) -> None:
    good(run("crossover", "a.png", "b.png", "c.png", "--mask", "white.png", "--out", "out"))
    for name in "bc":  # under a white mask nothing of them is left
        expected = drawn(crossover(crops["a"], crops[name], box_mask(64, 256, (128, 128))), tiny_generator_file)
        np.testing.assert_array_equal(pixels(f"out/{name}_with-a.png"), expected)
    assert Path("out/sheet.png").exists()


def test_a_painted_copy_is_cut_where_the_photograph_is(
    run: Run, crops: dict[str, Image.Image], tiny_generator_file: Path
) -> None:
    good(run("crossover", "painted.png", "a.png", "--same-crop", "--mask", "mask.png", "--blur", 0, "--out", "out"))
    painted, mask = (Image.open(f"{name}.png").convert("RGB") for name in ("painted", "mask"))
    quad = np.array([[15, 0], [15, 90], [105, 90], [105, 0]]) - 0.5
    weights = from_pil([cut_quad(mask, quad, 64)])[:, :1].add(1).div(2)
    (copy,) = crops_of([Path("painted.png")], "center", 64, Path(), same_crop=False)
    assert painted.size == (120, 90)
    expected = drawn(crossover(copy.image, crops["a"], weights, 0), tiny_generator_file)
    assert np.abs(pixels("out/a_with-painted.png") - expected).max() <= 1
    done = run("crossover", "small.png", "a.png", "--same-crop", "--mask", "mask.png", "--out", "other")
    assert done.exit_code == 2 and "no copy of it" in " ".join(done.output.split())
    done = run("crossover", "painted.png", "a.png", "b.png", "--same-crop", "--mask", "mask.png", "--out", "other")
    assert done.exit_code == 2 and "a copy of one photograph, got 2" in " ".join(done.output.split())


def test_paint_needs_no_mask(run: Run, crops: dict[str, Image.Image], tiny_generator_file: Path) -> None:
    good(run("crossover", "painted.png", "a.png", "--same-crop", "--blur", 0, "--out", "out"))
    (copy,) = crops_of([Path("painted.png")], "center", 64, Path(), same_crop=False)
    mask = paint_mask(copy.image, crops["a"])
    assert 0 < mask.mean() < 1
    expected = drawn(crossover(copy.image, crops["a"], mask, 0), tiny_generator_file)
    assert np.abs(pixels("out/a_with-painted.png") - expected).max() <= 1


def test_inpaint(run: Run) -> None:
    """A mask drawn over the photograph: what is around the hole stays, and what was in it does not count."""
    with Image.open("a.png") as picture:
        picture.paste("red", (40, 20, 70, 60))
        picture.save("scratched.png")
    good(run("inpaint", "a.png", "scratched.png", "--mask", "mask.png", "--out", "out", "--feather", 0.02))
    first, second = pixels("out/a_inpainted.png"), pixels("out/scratched_inpainted.png")
    np.testing.assert_array_equal(first[22:58, 42:68], second[22:58, 42:68])
    before, inside = pixels("a.png"), np.zeros((90, 120), bool)
    inside[20:60, 40:70] = True
    changed = np.abs(first - before).max(axis=2) > 0
    edge = np.zeros_like(inside)
    edge[18:62, 38:72] = True
    assert not changed[~edge].any()
    assert changed[22:58, 42:68].mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("diffuse", "a.png", "--out", "out"), "Missing option '--onto'", 2),
        (("diffuse", "a.png", "--onto", "none.png", "--out", "out"), "--onto: none.png: there is no such file", 2),
        (("diffuse", "a.png", "--onto", "b.png", "--crop", 300, "--out", "out"), "wanted a square inside", 2),
        (("diffuse", "a.png", "--onto", "b.png", "--crop", 9, "--crop", 9, "--out", "out"), "different sizes", 2),
        (("diffuse", "a.png", "--onto", "b.png", "--centre", "5", "--out", "out"), "wanted X,Y of 256", 2),
        (("crossover", "a.png", "--mask", "hair", "--out", "out"), "Missing argument 'rest'", 2),
        (
            ("crossover", "a.png", "b.png", "--mask", "hiar", "--out", "out"),
            "regions of faces are background, brows",
            2,
        ),
        (("crossover", "a.png", "b.png", "--mask", "mask.png", "--blur", 1, "--out", "out"), "wanted 0 to 0.25", 2),
        (("crossover", "a.png", "b.png", "--out", "out"), "wanted where PART is seen; only a painted copy", 2),
        (("crossover", "a.png", "a.png", "--same-crop", "--out", "out"), "differs nowhere from its picture", 1),
        (("crossover", "a.png", "b.png", "--same-crop", "--out", "out"), "a.png differs from b.png on", 2),
        (("inpaint", "a.png", "--mask", "small.png", "--out", "out"), "wanted 120 x 90 or 64 x 64 px", 2),
        (("inpaint", "a.png", "--mask", "hat", "--out", "out"), "mask 'hat': the picture shows none of it", 1),
        (("inpaint", "a.png", "--mask", "white.png", "--out", "out"), "the hole is the whole picture", 1),
        (("inpaint", "a.png", "--mask", "mask.png", "--feather", 2, "--out", "out"), "wanted 0 to 0.5", 2),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    run: Run, arguments: tuple[object, ...], says: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = run(*arguments)
    assert done.exit_code == code, done.output
    assert says in " ".join(done.output.split())
    assert "Traceback" not in done.output and not Path("out/sheet.png").exists()


def test_methods_that_fit_no_codes_are_refused(run: Run) -> None:
    done = run("inpaint", "a.png", "--mask", "mask.png", "--out", "out", method="encoder")
    assert done.exit_code == 1
    assert "predicts codes of whole pictures; wanted one that fits them" in " ".join(done.output.split())
