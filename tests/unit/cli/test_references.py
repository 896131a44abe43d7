"""`ganvert blend`, `transfer` and `interpolate --move`: photographs or a table in, sheets and pictures out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from ganvert import faces
from ganvert.base.files import OUTPUT_MARK, file_names
from ganvert.cli import sources
from ganvert.codes import Code
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import make_edit
from ganvert.editing.parts import mean_code
from ganvert.editing.render import draw_edit
from ganvert.faces.detect import Found
from ganvert.images import to_pil

Run = Callable[..., Result]


@pytest.fixture
def run(tiny_run: Run) -> Run:
    return tiny_run


def blended(own: Code, detail: Code) -> Image.Image:
    return draw_edit(make_edit("blend"), EditInputs(code=own, references=[detail]), float(own is not detail))


def transferred(codes: list[Code], target: int, part: str, amount: float) -> Image.Image:
    inputs = EditInputs(code=codes[target], references=codes[:2])
    return draw_edit(make_edit("transfer", {"part": part}), inputs, amount)


def between(start: Code, end: Code, part: str) -> list[bytes]:
    """The pixels of three pictures, both ends included."""
    inputs, edit = EditInputs(code=start, references=[end]), make_edit("interpolate", {"part": part})
    return [draw_edit(edit, inputs, amount).tobytes() for amount in (0, 0.5, 1)]


def good(done: Result) -> None:
    assert done.exit_code == 0, done.output


def bad(done: Result, says: str, code: int) -> None:
    assert done.exit_code == code, done.output
    assert says in " ".join(done.output.split())
    assert "Traceback" not in done.output


def same(file: Path | str, picture: Image.Image) -> bool:
    return Image.open(file).convert("RGB").tobytes() == picture.tobytes()


def cells(file: str, columns: int, px: int, lines: int = 1) -> list[Image.Image]:
    """The pictures on a sheet with captions."""
    sheet = Image.open(file).convert("RGB")
    step = px + 8 + 18 * lines
    rows = (sheet.height - 4) // step
    assert sheet.size == (columns * (px + 4) + 4, rows * step + 4)
    places = [(4 + (px + 4) * column, 4 + step * row) for row in range(rows) for column in range(columns)]
    return [sheet.crop((x, y, x + px, y + px)) for x, y in places]


@pytest.mark.parametrize("command", ["blend", "transfer", "interpolate"])
def test_help_with_an_example(run: Run, command: str) -> None:
    done = run(command, "--help")
    good(done)
    assert "Example" in done.output
    assert f"ganvert {command}" in done.output


def test_blend_photographs(run: Run, table: list[Code]) -> None:
    good(run("blend", "a.png", "b.png", "--out", "blends", "--px", 64))
    names = {"a": 0, "b": 2}
    files = {path.name for path in Path("blends").iterdir()}
    assert files == {OUTPUT_MARK, "sheet.png", *(f"own-{own}_detail-{detail}.png" for own in names for detail in names)}
    sheet = cells("blends/sheet.png", 2, 64, lines=2)
    expected = [blended(table[own], table[detail]) for own in names.values() for detail in names.values()]
    assert [cell.tobytes() for cell in sheet] == [picture.tobytes() for picture in expected]
    assert len({picture.tobytes() for picture in expected}) == 4
    assert same("blends/own-b_detail-a.png", blended(table[2], table[0]))


def test_photographs_with_long_names_give_pictures_of_their_own(run: Run, table: list[Code]) -> None:
    long = ["é" * 125 + name + ".png" for name in "ab"]  # 255 bytes, as many as a name may have
    for name in long:
        Path(name[-5:]).rename(name)
    good(run("blend", *long, "--out", "blends", "--px", 64))
    files = {path.name for path in Path("blends").iterdir()} - {OUTPUT_MARK, "sheet.png"}
    short = file_names(name.removesuffix(".png") for name in long)
    assert files == {f"own-{own}_detail-{detail}.png" for own in short for detail in short}
    assert same(f"blends/own-{short[1]}_detail-{short[0]}.png", blended(table[2], table[0]))


def test_blend_images_of_a_table(run: Run, table: list[Code]) -> None:
    ids = [table[i].image_id for i in (3, 0, 2)]
    good(run("blend", *ids, "--codes", "out/codes.parquet", "--out", "blends", "--px", 32))
    assert len(cells("blends/sheet.png", 3, 32, lines=2)) == 9
    assert same(f"blends/own-{ids[0]}_detail-{ids[2]}.png", blended(table[3], table[2]))


@pytest.mark.parametrize("part", ["own", "detail", "all"])
def test_transfer(run: Run, table: list[Code], part: str) -> None:
    options = ("--part", part, "--amount", 1, "--amount", -0.5, "--px", 64)
    good(run("transfer", "a.png", "painted.png", "b.png", "c.png", "--out", "moved", *options))
    sheet = cells("moved/sheet.png", 3, 64, lines=2)
    for name, i in (("b", 2), ("c", 3)):
        assert same(f"moved/{name}_{part}+1.png", transferred(table, i, part, 1))
    expected = [to_pil(table[i].draw())[0] for i in (0, 1)] + [Image.new("RGB", (64, 64), "white")]
    for i in (2, 3):
        expected.append(to_pil(table[i].draw())[0])
        expected += [transferred(table, i, part, amount) for amount in (1, -0.5)]
    assert [cell.tobytes() for cell in sheet] == [picture.tobytes() for picture in expected]
    ids = [code.image_id for code in table]
    good(run("transfer", *ids[:3], "--codes", "out/codes.parquet", "--part", part, "--out", "other"))
    assert same(f"other/{ids[2]}_{part}+1.png", transferred(table, 2, part, 1))


def test_a_pair_applied_to_its_own_first_photograph(run: Run, table: list[Code]) -> None:
    good(run("transfer", "a.png", "painted.png", "a.png", "--part", "all", "--out", "moved"))
    assert same("moved/a-2_all+1.png", to_pil(table[1].draw())[0])  # numbered: two have one name


def test_the_second_photograph_is_cut_where_the_first_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Landmarks that depend on the picture, as a detector's do, move the crop of one that was painted on."""

    class Detector:
        def __init__(self, folder: Path, *, second_look: bool) -> None:
            pass

        def detect_turned(self, image: Image.Image, upsample: int) -> Found:
            x = 50 + np.asarray(image)[35, 60, 0] % 16
            points = np.tile([x, 45.0], (68, 1))
            points[36:42] += [-10, -8]
            points[42:48] += [10, -8]
            points[48:] += [0, 10]
            points[48, 0], points[54, 0] = x - 6, x + 6
            return Found([points], 0, "hog")

    monkeypatch.setattr(faces, "FaceDetector", Detector)
    paths = [Path("a.png"), Path("painted.png"), Path("b.png")]
    own, other = (sources.crops_of(paths, "ffhq", 64, Path(), same_crop) for same_crop in (False, True))
    assert [a.image_id for a in own] == [b.image_id for b in other]
    equal = [a.image.tobytes() == b.image.tobytes() for a, b in zip(own, other, strict=True)]
    assert equal == [True, False, True]
    # Away from the paint it is the first photograph's crop.
    first, second = (np.asarray(crop.image, dtype=int) for crop in other[:2])
    assert (first != second).any()
    assert (first[-8:] == second[-8:]).all()
    Image.new("RGB", (50, 50)).save("small.png")
    done = run("transfer", "a.png", "small.png", "b.png", "--same-crop", "--out", "x")
    bad(done, "not the same picture", 2)


@pytest.mark.parametrize("move", ["all", "own", "detail"])
def test_interpolate_a_part(run: Run, table: list[Code], move: str) -> None:
    ids, options = [code.image_id for code in table], ("--count", 3, "--px", 64, "--move", move)
    ends = ("--first", ids[3], "--second", ids[2])
    good(run("interpolate", "out/codes.parquet", *ends, *options, "--out", "strip.png"))
    assert [cell.tobytes() for cell in cells("strip.png", 3, 64)] == between(table[3], table[2], move)
    good(run("interpolate", "c.png", "b.png", *options, "--out", "photos.png"))
    assert Path("photos.png").read_bytes() == Path("strip.png").read_bytes()
    mean = dataclasses.replace(table[0], variables=mean_code(table[0].space))
    good(run("interpolate", "c.png", *options, "--from-mean", "--out", "mean.png"))
    assert [cell.tobytes() for cell in cells("mean.png", 3, 64)] == between(mean, table[3], move)
    good(run("interpolate", "out/codes.parquet", "--from-mean", *options, "--out", "mean.png"))
    assert [cell.tobytes() for cell in cells("mean.png", 3, 64)] == between(mean, table[0], move)


@pytest.mark.parametrize(
    ("named", "place", "ends"), [("--first", 0, (0, 1)), ("--first", 1, (1, 0)), ("--second", 0, (1, 0))]
)
def test_an_end_that_is_not_named_is_another_image(
    run: Run, table: list[Code], named: str, place: int, ends: tuple[int, int]
) -> None:
    options = (named, table[place].image_id, "--count", 3, "--px", 64)
    good(run("interpolate", "out/codes.parquet", *options, "--out", "strip.png"))
    start, end = (table[i] for i in ends)
    assert [cell.tobytes() for cell in cells("strip.png", 3, 64)] == between(start, end, "all")


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("blend", "a.png"), "two photographs", 2),
        (("blend", "a.png", "none.png"), "none.png: there is no such photograph", 2),
        (("blend", "a.png", "photos"), "photos: there is no such photograph", 2),
        (("transfer", "a.png", "b.png", "c.png", "--part", "owm"), "Did you mean 'own'", 2),
        (("transfer", "a.png", "b.png", "c.png", "--recipe", "centre"), "Did you mean 'center'", 2),
        (("transfer", "a.png", "b.png", "c.png", "--amount", "nan"), "amount: wanted a number", 2),
        (("interpolate", "a.png"), "two photographs", 2),
        (("interpolate", "a.png", "b.png", "--from-mean"), "one photograph", 2),
        (("interpolate", "a.png", "b.png", "--first", "x"), "for tables", 2),
        (("interpolate", "a.parquet", "--first", "x", "--from-mean"), "starts from no image", 2),
        (("interpolate", "a.parquet", "b.parquet"), "one table", 2),
        (("interpolate", "none.parquet"), "none.parquet", 2),
    ],
)
def test_mistakes_exit_with_one_line(run: Run, arguments: tuple[str, ...], says: str, code: int) -> None:
    bad(run(*arguments, "--out", "x"), says, code)
    assert not Path("x").exists()


def test_mistakes_with_tables(run: Run, table: list[Code]) -> None:
    bad(run("blend", "x", "y", "--codes", "out/codes.parquet", "--out", "x"), "has no image 'x', 'y'", 2)
    options = ("--codes", "out/codes.parquet", "--same-crop", "--out", "x")
    bad(run("transfer", *(code.image_id for code in table[:3]), *options), "made before", 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("blend", "a.png", "b.png"),
        ("transfer", "a.png", "painted.png", "b.png"),
        ("interpolate", "a.png", "b.png", "--move", "detail"),
    ],
)
def test_codes_without_parts_are_refused_before_any_work(
    run: Run, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "crops_of", lambda *_: pytest.fail("photographs were read"))
    bad(run(*arguments, "--out", "x", method="plain"), "such as pad/wplus or f16/wplus", 1)


def test_interpolation_as_an_animation(run: Run, table: list[Code]) -> None:
    good(run("interpolate", "c.png", "b.png", "--count", 5, "--px", 32, "--out", "between.gif"))
    with Image.open("between.gif") as film:
        assert (film.format, film.size, film.n_frames) == ("GIF", (32, 32), 8)  # there and back
    bad(run("interpolate", "c.png", "b.png", "--out", "between.mov"), "ends in .png, .gif or .mp4", 2)


def test_mix_contents_by_styles(run: Run, table: list[Code]) -> None:
    arguments = ("mix", "a.png", "c.png", "--style", "b.png", "--rows", "2:6", "--amount", 0.5, "--px", 64)
    good(run(*arguments, "--out", "mixed", method="plain"))
    files = {path.name for path in Path("mixed").iterdir()}
    assert files == {OUTPUT_MARK, "sheet.png", "a_style-b.png", "c_style-b.png"}
    cell = cells("mixed/sheet.png", 3, 64, lines=2)
    assert cell[0].getextrema() == ((255, 255),) * 3  # the corner is blank
    assert [same(f"mixed/{name}_style-b.png", cell[i]) for i, name in ((4, "a"), (5, "c"))] == [True, True]


def test_mix_images_of_a_table(run: Run, table: list[Code]) -> None:
    ids = [code.image_id for code in table]
    good(run("mix", ids[0], "--style", ids[2], "--codes", "out/codes.parquet", "--out", "mixed"))
    expected = draw_edit(make_edit("mix"), EditInputs(code=table[0], references=[table[2]]), 1.0)
    assert same(f"mixed/{ids[0]}_style-{ids[2]}.png", expected)


def test_mix_within_a_mask(run: Run, table: list[Code]) -> None:
    Path("data/inputs").mkdir(parents=True)
    half = Image.new("L", (64, 64))
    half.paste(255, (0, 0, 32, 64))
    half.save("data/inputs/left.png")
    ids = [code.image_id for code in table]
    arguments = ("mix", ids[0], "--style", ids[2], "--rows", "3:7", "--codes", "out/codes.parquet", "--out", "mixed")
    good(run(*arguments, "--local", "left.png"))
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :32] = 1
    inputs = EditInputs(code=table[0], references=[table[2]], mask=mask)
    expected = draw_edit(make_edit("local_mix", {"first_row": 3, "last_row": 7}), inputs, 1.0)
    assert same(f"mixed/{ids[0]}_style-{ids[2]}.png", expected)
    done = run(*arguments, "--local", "mouth", "--out", "none")
    bad(done, f"ganvert: {ids[0]}: mask 'mouth': the picture shows none of it", 1)
    assert not Path("none").exists()
    says = f"--local: {Path('data/inputs/mund')}: there is no such picture; regions of faces are"
    bad(run(*arguments, "--local", "mund"), says, 2)


@pytest.mark.parametrize(("rows", "says"), [("4", "FIRST:END"), ("a:b", "FIRST:END"), ("7:30", "rows 0:8")])
def test_rows_to_mix(run: Run, rows: str, says: str) -> None:
    bad(run("mix", "a.png", "--style", "b.png", "--rows", rows, "--out", "x"), says, 2)
    assert not Path("x").exists()
