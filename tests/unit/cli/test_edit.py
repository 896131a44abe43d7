"""`ganvert edit` and `grid`: photographs or codes in, pictures, sheets and animations out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from PIL import Image

from ganvert import tables
from ganvert.base.files import OUTPUT_MARK
from ganvert.cli import sources
from ganvert.codes import Code
from ganvert.compute.random import normal
from ganvert.directions import load_directions
from ganvert.editing.amounts import Percentile
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits.local import Local
from ganvert.editing.edits.shift import Shift
from ganvert.editing.population import Population
from ganvert.editing.render import draw_edit
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.faces.align import align, cut_quad
from ganvert.images import contact_sheet, to_pil

Run = Callable[..., Result]
TABLE = ("--codes", "out/codes.parquet")


@pytest.mark.slow
def test_edit_changes_the_face_and_nothing_far_from_it(run, photos: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "edited.png"
    done = run("edit", photos[0], "--direction", "smile=2", "--method", "encoder", "--out", out)
    assert done.exit_code == 0, done.output
    assert "ears and hair may show double" in done.stderr  # the encoder's face is another one
    assert done.stdout.splitlines()[-1] == str(out)
    before, after = Image.open(photos[0]).convert("RGB"), Image.open(out)
    assert after.size == before.size
    assert after.getpixel((2, 2)) == before.getpixel((2, 2))
    assert after.tobytes() != before.tobytes()


def test_an_unknown_direction_names_the_known_ones_before_any_work(run, tmp_path: Path) -> None:
    done = run("edit", "no-such.jpg", "--direction", "smiel=1", "--method", "w", "--out", tmp_path / "x.png")
    assert done.exit_code == 2
    assert "Did you mean 'smile'" in done.output


def moved(code: Code, table: Path, **amounts: float) -> Image.Image:
    known = load_directions(table)
    moves = [(known[name, "w"], amount) for name, amount in amounts.items()]
    return draw_edit(Shift(), EditInputs(code=code, directions=moves), 1.0)


def same(file: Path | str, picture: Image.Image) -> bool:
    return Image.open(file).convert("RGB").tobytes() == picture.tobytes()


def names_in(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()} - {OUTPUT_MARK}


def test_codes_are_edited_in_every_combination_and_not_inverted(
    tiny_run: Run, table: list[Code], directions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources.Sources, "_inverted", lambda *_: pytest.fail("inverted again"))
    two = ("--image", table[2].image_id, "--image", table[0].image_id)
    moves = ("--directions", directions, "--direction", "smile=-1,2", "--direction", "age=0:1:2")
    done = tiny_run("edit", *TABLE, *two, *moves, "--px", 64, "--out", "edited")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "8 pictures of 2 photographs are in edited"
    cells = [(smile, age) for smile in (-1, 2) for age in (0, 1)]
    for code in (table[0], table[2]):
        pictures = [moved(code, directions, smile=smile, age=age) for smile, age in cells]
        for (smile, age), picture in zip(cells, pictures, strict=True):
            assert same(f"edited/{code.image_id}_smile{smile:+}_age{age:+}.png", picture)
        captions = ["code", "", *(f"smile{smile:+}\nage{age:+}" for smile, age in cells)]
        lead = [to_pil(code.draw())[0], Image.new("RGB", (64, 64), "white")]
        assert same(f"edited/{code.image_id}_sheet.png", contact_sheet([*lead, *pictures], 2, 64, captions))
    assert len(names_in("edited")) == 10


def test_photographs_are_pasted_and_named_after_the_files(tiny_run: Run, table: list[Code], directions: Path) -> None:
    """Codes of a table, looked up by the photographs, give what inverting them again gives."""
    Path("some").mkdir()
    for name in ("a", "b"):
        shutil.copy(f"{name}.png", "some")
    moves = ("--directions", directions, "--direction", "smile=-1:1:3")
    for out, options in (("new", ()), ("known", TABLE)):
        done = tiny_run("edit", "some", *options, *moves, "--out", out)
        assert done.exit_code == 0, done.output
        assert names_in(out) == {
            f"{name}_{kind}.png" for name in "ab" for kind in ("smile-1", "smile+0", "smile+1", "sheet")
        }
    for path in Path("new").glob("*.png"):
        assert path.read_bytes() == Path("known", path.name).read_bytes()
    assert same("new/a_smile+0.png", Image.open("a.png"))  # what the reconstruction lacks is in both pictures
    assert not same("new/a_smile+1.png", Image.open("a.png"))
    # The sheet shows faces, however small they are in the photographs.
    aligned = align(Image.open("a.png"), None, 64, "center")
    steps = ["smile-1", "smile+0", "smile+1"]
    faces = [cut_quad(Image.open(f"new/a_{step}.png"), aligned.quad, 256) for step in steps]
    lead = [aligned.crop, to_pil(table[0].draw())[0]]
    assert same("new/a_sheet.png", contact_sheet([*lead, *faces], 5, 256, ["photograph", "code", *steps]))


def test_one_photograph_into_one_file(tiny_run: Run, table: list[Code], directions: Path) -> None:
    moves = ("--directions", directions, "--direction")
    assert tiny_run("edit", "a.png", *moves, "smile=1", "--crop", "--out", "one.png").exit_code == 0
    assert same("one.png", moved(table[0], directions, smile=1))
    image = (*TABLE, "--image", table[0].image_id)
    assert tiny_run("edit", *image, *moves, "smile=-1:1:3", "--px", 64, "--out", "strip.png").exit_code == 0
    pictures = [moved(table[0], directions, smile=amount) for amount in (-1, 0, 1)]
    assert same("strip.png", contact_sheet(pictures, 3, 64, ["smile-1", "smile+0", "smile+1"]))
    assert tiny_run("edit", *image, *moves, "smile=-1:1:3", "--px", 64, "--out", "there.gif").exit_code == 0
    with Image.open("there.gif") as film:
        assert (film.format, film.size, film.n_frames) == ("GIF", (64, 64), 4)  # there and back


def test_photographs_that_cannot_be_used(tiny_run: Run, table: list[Code], directions: Path) -> None:
    moves = ("--directions", directions, "--direction", "smile=1", "--out", "edited")
    Path("broken.png").write_bytes(b"\x89PNG")
    Image.new("RGB", (80, 80)).save("other.png")
    done = tiny_run("edit", "a.png", "broken.png", *moves)
    assert done.exit_code == 3, done.output
    assert "not used: broken.png" in done.stderr
    assert names_in("edited") == {"a_smile+1.png"}
    done = tiny_run("edit", "a.png", "other.png", *TABLE, *moves)
    assert done.exit_code == 3
    assert "other.png: has no code in out/codes.parquet, which has those of" in done.stderr
    assert tiny_run("edit", "broken.png", *moves).exit_code == 2


def test_images_of_a_table_are_named_after_their_photographs(
    tiny_run: Run, table: list[Code], directions: Path
) -> None:
    rows = [
        {"photo_id": code.image_id[:16] + 48 * "0", "path": f"photos/{name}.jpg", "status": "ok", "reason": ""}
        | dict.fromkeys(("width", "height", "exif_orientation", "mode", "faces", "detector"))
        for code, name in zip(table, ("ann", "painted", "bob", "eve"), strict=True)
    ]
    tables.write(Path("out/photos.parquet"), tables.PHOTOS, rows)
    moves = ("--directions", directions, "--direction", "smile=1", "--out", "edited")
    assert tiny_run("edit", *TABLE, "--image", "bob", "--image", table[0].image_id, *moves).exit_code == 0
    assert names_in("edited") == {"ann_smile+1.png", "bob_smile+1.png"}
    assert tiny_run("mix", "ann", table[3].image_id, "--style", "bob", *TABLE, "--out", "mixed").exit_code == 0
    assert names_in("mixed") == {"ann_style-bob.png", "eve_style-bob.png", "sheet.png"}
    done = tiny_run("mix", "ann", "--style", "bob", *TABLE, "--local", "mouth", "--out", "mixed")
    assert "ganvert: ann: mask 'mouth': the picture shows none of it" in done.output
    for ends, out in ((("bob", "ann"), "names.png"), ((table[2].image_id, table[0].image_id), "ids.png")):
        way = ("--first", ends[0], "--second", ends[1], "--count", 2, "--px", 32, "--out", out)
        assert tiny_run("interpolate", "out/codes.parquet", *way).exit_code == 0
    assert Path("names.png").read_bytes() == Path("ids.png").read_bytes()
    done = tiny_run("edit", *TABLE, "--image", "bib", *moves)
    assert done.exit_code == 2
    names = "ann, painted, bob, eve"
    assert done.output.strip().endswith(f"out/codes.parquet: has no image 'bib'; it has {names}")
    done = tiny_run("interpolate", "out/codes.parquet", "--first", "bib", "--out", "way.png")
    assert done.exit_code == 2
    assert done.output.strip().endswith(f"--first: out/codes.parquet has no image 'bib'; it has {names}")


def test_grid(tiny_run: Run, table: list[Code], directions: Path) -> None:
    moves = ("--directions", directions, "--direction", "age=-1,1", "--direction", "smile=0:2:3", "--px", 32)
    assert tiny_run("grid", "b.png", *moves, "--out", "grid.png").exit_code == 0
    cells = [(age, smile) for age in (-1, 1) for smile in (0, 1, 2)]
    pictures = [moved(table[2], directions, age=age, smile=smile) for age, smile in cells]
    captions = [f"age{age:+}\nsmile{smile:+}" for age, smile in cells]
    assert same("grid.png", contact_sheet(pictures, 3, 32, captions))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("edit", "--direction", "smile=1", "--out", "x"), "wanted photographs, or codes"),
        (("edit", "a.png", "--image", "x", "--direction", "smile=1", "--out", "x"), "give --codes"),
        (("edit", "a.png", "b.png", "--direction", "smile=1", "--out", "x.png"), "is for one photograph, got 2"),
        (("edit", "a.png", "--direction", "smile=1", "--out", "x.jpg"), "ends in .png, .gif or .mp4, or a folder"),
        (("edit", "a.png", "--direction", "smile=1", "--out", "x.mov"), "ends in .png, .gif or .mp4, or a folder"),
        (("edit", "a.png", "--direction", "smile=1", "--out", "a.png"), "is an input"),
        (("edit", "a.png", "--direction", "smile=1", "--out", "."), "results do not go there"),
        (("edit", "none", "--direction", "smile=1", "--out", "x"), "no such photograph or folder"),
        (("edit", "a.png", "--direction", "age=1:2", "--out", "x"), "wanted NAME=AMOUNTS"),
        (("grid", "a.png", "--direction", "smile=1", "--out", "x"), "wanted two"),
    ],
)
def test_mistakes_exit_with_one_line_before_any_work(
    tiny_run: Run, directions: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources.Sources, "_inverted", lambda *_: pytest.fail("inverted"))
    before = sorted(Path().iterdir())
    done = tiny_run(*arguments, "--directions", directions)
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.output.split())
    assert sorted(Path().iterdir()) == before


def test_percentiles_are_amounts_of_each_image(tiny_run: Run, table: list[Code], directions: Path) -> None:
    moves = ("--directions", directions, "--direction")
    done = tiny_run("edit", *TABLE, *moves, "smile=p90,1", "--out", "edited")
    assert done.exit_code == 0, done.output
    people, smile = Population(table[0].space.generator), load_directions(directions)["smile", "w"]
    for code in table:
        amount = people.amount(Percentile(90), smile, code)
        assert same(f"edited/{code.image_id}_smile_p90.png", moved(code, directions, smile=amount))
    for wrong, says in (("smile=p101", "from p0 to p100"), ("smile=p", "a percentile such as p90")):
        done = tiny_run("edit", *TABLE, *moves, wrong, "--out", "edited")
        assert done.exit_code == 2 and says in " ".join(done.output.split())


def test_amounts_beyond_those_that_were_tested_are_named(
    tiny_run: Run, table: list[Code], directions: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image, moves = (*TABLE, "--image", table[0].image_id), ("--directions", directions, "--direction")
    done = tiny_run("edit", *image, *moves, "smile=-4,4,p99", "--out", "edited")
    assert done.exit_code == 0 and "expect broken faces" not in caplog.text
    done = tiny_run("edit", *image, *moves, "smile=-9,1,4.5", "--out", "edited")
    assert done.exit_code == 0  # drawn all the same
    assert "smile=-9,4.5: faces usually stay whole from -4 to 4; expect broken faces beyond" in caplog.text


def test_local_changes_a_region_alone(tiny_run: Run, table: list[Code], directions: Path) -> None:
    Path("data/inputs").mkdir(parents=True)
    half = Image.new("L", (64, 64))
    half.paste(255, (0, 0, 32, 64))
    half.save("data/inputs/left.png")
    image, moves = (*TABLE, "--image", table[0].image_id), ("--directions", directions, "--direction", "age=3")
    done = tiny_run("edit", *image, *moves, "--local", "left.png", "--local-point", 16, "--out", "one.png")
    assert done.exit_code == 0, done.output
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :32] = 1
    inputs = EditInputs(code=table[0], directions=[(load_directions(directions)["age", "w"], 3.0)], mask=mask)
    assert same("one.png", draw_edit(Local(point=16), inputs, 1.0))
    # Waves are no face.
    done = tiny_run("edit", *image, *moves, "--local", "mouth", "--out", "two.png")
    assert done.exit_code == 2 and f"not used: {table[0].image_id}: mask 'mouth'" in done.output
    assert "two.png" not in done.stdout and not Path("two.png").exists()
    done = tiny_run("edit", *image, *moves, "--local", "mund", "--out", "two.png")
    assert done.exit_code == 2
    assert f"--local: {Path('data/inputs/mund')}: there is no such picture; regions of faces are" in done.output


def test_realign_reads_the_photograph_again(
    tiny_run: Run, table: list[Code], directions: Path, write_params: Callable[..., None]
) -> None:
    generator = table[0].space.generator
    options = {"size": 32, "width": 4, "widths": [[4, 4, 4], [4, 4, 4, 4]]}
    heads: dict[str, dict[str, Any]] = {"single": {}, "consultation": options}
    encoder = Encoder(EncoderSpec(space="c32/wplus", backbone="ir18", heads=heads, input_px=32), generator)
    with torch.no_grad():
        for i, parameter in enumerate(encoder.parameters()):
            parameter.add_(0.05 * normal([i], parameter.shape)[0])
    encoder.save(Path("hfgi.safetensors"), "a test")
    write_params(invert={"options": {"pass": {"inverter": "feed_forward", "space": "c32/wplus"}}})
    given = ("edit", "b.png", "--encoder", "hfgi.safetensors", "--crop", "--directions", directions, "--direction")
    for out, move in (("plain", ()), ("realigned", ("--realign",))):
        done = tiny_run(*given, "age=0,2", *move, "--out", out, method="pass")
        assert done.exit_code == 0, done.output
    plain, realigned = (
        [Image.open(path).tobytes() for path in sorted(Path(folder).glob("*_age*.png"))]
        for folder in ("plain", "realigned")
    )
    assert len(plain) == 2 and [one == other for one, other in zip(plain, realigned, strict=True)] == [True, False]
    for codes, method, code, says in (
        (TABLE, "pass", 2, "without --codes and --local"),
        (("b.png", "--encoder", "hfgi.safetensors"), "encoder", 1, "its codes have no modulation"),
    ):
        moves = ("--directions", directions, "--direction", "age=2", "--realign")
        done = tiny_run("edit", *codes, *moves, "--out", "x", method=method)
        assert done.exit_code == code and says in " ".join(done.output.split())
