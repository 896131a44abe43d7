"""`ganvert invert` and `ganvert extract`: what they write, print and keep, and how they exit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import Result
from PIL import Image

from ganvert import tables
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.generators import load_generator

# --- the default generator, two faces and a photograph without one, inverted once ---


@pytest.fixture(scope="module")
def encoder(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small encoder of the real generator: untrained, but its prediction depends on the picture."""
    generator = load_generator(assets / "mobile_stylegan.safetensors")
    spec = EncoderSpec(backbone="residual", heads={"dense": {"code": 8, "norm": False}}, input_px=8)
    made = Encoder(spec, generator)
    with torch.no_grad():
        for name, value in made.heads.named_parameters():
            value.mul_(0 if name.endswith("bias") else 3)
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    made.save(path, "a test")
    return path


@pytest.fixture(scope="module")
def faces(
    run, photos: tuple[Path, Path], encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Result, Path]:
    """How the run ended, and its folder."""
    folder = tmp_path_factory.mktemp("faces")
    Image.new("RGB", (300, 300), "grey").save(folder / "grey.png")
    inputs = (*photos, folder / "grey.png")
    done = run("invert", *inputs, "--method", "encoder", "--encoder", encoder, "--out", folder / "out")
    return done, folder / "out"


@pytest.mark.slow
def test_codes_scores_and_pictures_of_every_face(faces: tuple[Result, Path]) -> None:
    done, out = faces
    codes = pq.read_table(out / "codes.parquet").to_pylist()
    assert [(row["method"], row["status"], len(row["ws"])) for row in codes] == [("encoder", "ok", 16 * 512)] * 2
    scores = pq.read_table(out / "scores.parquet")
    assert scores.column_names == ["image_id", "method", "metric", "value", "status"]
    measured = {row["metric"] for row in scores.to_pylist() if row["value"] is not None}
    assert measured >= {"lpips_vgg_256", "mse_256", "psnr_256", "ssim_256"}
    for name in ("biden", "obama"):
        assert Image.open(out / f"{name}_crop.png").size == (1024, 1024)
        assert Image.open(out / f"{name}_encoder.png").size == (1024, 1024)
        assert Image.open(out / f"{name}_compare.png").width > 1024
    assert len(list(out.glob("*.png"))) == 6
    assert "biden.jpg" in done.output and "lpips_vgg_256" in done.output
    assert done.stdout.splitlines()[-1].endswith(f"pictures of 2 faces are in {out}")


@pytest.mark.slow
def test_a_photograph_without_a_face_is_reported_and_exits_3(faces: tuple[Result, Path]) -> None:
    done, out = faces
    assert done.exit_code == 3, done.output
    assert "grey.png: no face found" in done.output
    status = pq.read_table(out / "photos.parquet").column("status").to_pylist()
    assert sorted(status) == ["no_face", "ok", "ok"]
    lost = [row for row in pq.read_table(out / "scores.parquet").to_pylist() if row["status"] == "no_face"]
    assert {row["metric"] for row in lost} >= {"lpips_vgg_256", "identity_dlib"}
    assert {row["value"] for row in lost} == {None}


@pytest.mark.slow
def test_interpolate_draws_the_way_between_two_photographs(run, faces: tuple[Result, Path], tmp_path: Path) -> None:
    table = faces[1] / "codes.parquet"
    done = run("interpolate", table, "--count", 3, "--px", 64, "--out", tmp_path / "strip.png")
    assert done.exit_code == 0, done.output
    strip = np.asarray(Image.open(tmp_path / "strip.png"), dtype=float)
    ends = [
        np.asarray(Image.open(file).resize((64, 64), Image.Resampling.LANCZOS), dtype=float)
        for file in (faces[1] / "biden_encoder.png", faces[1] / "obama_encoder.png")
    ]
    first, middle, last = (strip[4:68, 4 + 68 * i : 68 + 68 * i] for i in range(3))
    assert abs(first - ends[0]).mean() < 2
    assert abs(last - ends[1]).mean() < 2
    assert abs(middle - ends[0]).mean() > 5
    assert abs(middle - ends[1]).mean() > 5
    done = run("interpolate", table, "--first", "nobody", "--out", tmp_path / "no.png")
    assert done.exit_code == 2
    assert "has no image 'nobody'" in done.output


def test_an_encoder_of_another_generator_is_refused(
    run, noise: Path, tiny_generator_file: Path, encoder: Path, tmp_path: Path
) -> None:
    small = ("--generator", tiny_generator_file, "--recipe", "center", "--encoder", encoder)
    done = run("invert", noise, *small, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "choose a method that starts without an encoder" in " ".join(done.output.split())


# --- a small generator of other things than faces ---


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A folder of three pictures."""
    folder = tmp_path / "noise"
    folder.mkdir()
    for i, (width, height) in enumerate([(90, 120), (64, 64), (100, 70)]):
        pixels = np.random.default_rng(i).normal(128, 40 + 20 * i, (height, width)).clip(0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def small(run, tiny_generator_file: Path):
    """Run a command on pictures with the small generator, two steps each."""
    options = ("--generator", tiny_generator_file, "--recipe", "center", "--no-preview", "--steps", 2)
    return lambda command, *arguments: run(command, *arguments, *options, "--method", "wplus")


def shards(out: Path) -> dict[str, int]:
    """Finished shards and their inodes, which change when one is written again."""
    return {path.name: path.stat().st_ino for path in out.glob(".work/*/shards/*")}


@pytest.mark.slow
def test_metrics_of_a_small_generator_and_those_asked_for(small, noise: Path, tmp_path: Path) -> None:
    done = small("invert", noise / "0.png", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    scores = tables.read(tmp_path / "out/scores.parquet", tables.SCORES).to_pylist()
    assert [row["metric"] for row in scores] == ["lpips_vgg_64", "mse_64", "psnr_64", "ssim_64"]
    (code,) = tables.read(tmp_path / "out/codes.parquet", "codes").to_pylist()
    assert (code["method"], code["steps"]) == ("wplus", 2)
    done = small("invert", noise / "0.png", "--metric", "mse_32", "--metric", "ssim_64", "--out", tmp_path / "other")
    assert done.exit_code == 0, done.output
    scores = tables.read(tmp_path / "other/scores.parquet", tables.SCORES).to_pylist()
    assert [row["metric"] for row in scores] == ["mse_32", "ssim_64"]


def test_the_precision_that_was_asked_for_stands_in_the_codes(small, noise: Path, tmp_path: Path) -> None:
    done = small("invert", noise / "0.png", "--metric", "mse_64", "--precision", "bfloat16", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert pq.read_schema(tmp_path / "out/codes.parquet").metadata[b"precision"] == b"bfloat16"


@pytest.mark.slow
def test_every_photograph_is_stored_alone_and_never_inverted_again(small, noise: Path, tmp_path: Path) -> None:
    out, last = tmp_path / "out", noise / "2.png"
    shutil.move(last, tmp_path)
    assert small("invert", noise, "--metric", "mse_64", "--out", out).exit_code == 0
    first = shards(out)
    assert len(first) == 2
    shutil.move(tmp_path / "2.png", last)
    (out / "codes.parquet").unlink()  # as if the run had been killed before its end
    done = small("invert", noise, "--metric", "mse_64", "--out", out)
    assert done.exit_code == 0, done.output
    assert len(shards(out)) == 3 and first.items() <= shards(out).items()
    assert len(tables.read(out / "codes.parquet", "codes")) == 3


@pytest.mark.slow
def test_pictures_are_named_after_the_photographs_and_leave_with_them(small, noise: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (noise / "sub").mkdir()
    shutil.move(noise / "1.png", noise / "sub/0.png")  # two of one name
    out.mkdir()
    (out / "mine.png").write_bytes(b"not of the command")
    done = small("invert", noise, "--metric", "mse_64", "--out", out)
    assert done.exit_code == 0, done.output
    kinds = ("crop", "wplus", "compare")
    assert {path.name for path in out.glob("*.png")} == {
        "mine.png", *(f"{name}_{kind}.png" for name in ("0", "0-2", "2") for kind in kinds)
    }  # fmt: skip
    assert "sub/0.png" in done.output
    (noise / "2.png").unlink()
    assert small("invert", noise, "--metric", "mse_64", "--out", out).exit_code == 0
    assert {path.name for path in out.glob("*.png")} == {
        "mine.png", *(f"{name}_{kind}.png" for name in ("0", "0-2") for kind in kinds)
    }  # fmt: skip


@pytest.mark.slow
def test_a_batch_is_stored_together_and_gives_the_same_codes(small, noise: Path, tmp_path: Path) -> None:
    traces = []
    for batch, count in ((1, 3), (2, 2)):
        out = tmp_path / f"batch{batch}"
        done = small("invert", noise, "--batch", batch, "--metric", "mse_64", "--out", out)
        assert done.exit_code == 0, done.output
        assert len(shards(out)) == count
        traces.append([row["trace"] for row in tables.rows(out / "codes.parquet", "codes", ["trace"])])
    # Not the codes themselves: the first step of Adam has the sign of the gradient, which rounding decides near zero.
    np.testing.assert_allclose(*traces, rtol=1e-3)


@pytest.mark.slow
def test_invert_and_extract_find_the_same_codes(small, noise: Path, tmp_path: Path) -> None:
    for command in (("invert",), ("extract", "--workers", 1)):
        done = small(*command, noise, "--metric", "mse_64", "--out", tmp_path / command[0])
        assert done.exit_code == 0, done.output
    for table in ("codes", "scores", "photos"):
        ours, theirs = (pq.read_table(tmp_path / f"{command}/{table}.parquet") for command in ("invert", "extract"))
        assert ours.equals(theirs)
    with Image.open(tmp_path / "extract/sample.png") as sheet:  # each of the three beside what its code draws
        assert sheet.size[0] >= 6 * 256
    assert "3 photographs computed, 0 done before, 0 cannot be used" in done.output
    last = done.stdout.splitlines()[-1]
    assert last == f"photos.parquet, codes.parquet, scores.parquet, sample.png: in {tmp_path / 'extract'}"


def test_no_usable_photograph_ends_with_the_reason_and_without_codes(small, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    out = tmp_path / "out"
    done = small("invert", tmp_path / "broken.jpg", "--out", out)
    assert done.exit_code == 2, done.output
    assert "no photograph could be used" in done.output
    assert not (out / "codes.parquet").exists()
    assert tables.read(out / "photos.parquet", tables.PHOTOS).column("status").to_pylist() == ["unreadable"]
    assert {row["value"] for row in tables.read(out / "scores.parquet", tables.SCORES).to_pylist()} == {None}


def test_an_extraction_without_any_code_leaves_the_reasons_alone(small, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    out = tmp_path / "out"
    kept = ("--crops", "--reconstructions", "--metric", "mse_64", "--workers", 1)
    for _ in range(2):  # also where all shards are done
        done = small("extract", tmp_path / "broken.jpg", *kept, "--out", out)
        assert done.exit_code == 2, done.output
        assert "no photograph could be used" in done.output and "broken.jpg" in done.output
        assert {path.name for path in out.iterdir()} == {".work", "photos.parquet"}
    assert tables.read(out / "photos.parquet", tables.PHOTOS).column("status").to_pylist() == ["unreadable"]
