"""The `ganvert` command: what it writes, what it says, how it exits."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ganvert.base.preset_files import ENCODERS, METHODS, Presets
from ganvert.cli import app
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.generators import load_generator


@pytest.fixture
def run(assets, monkeypatch):
    monkeypatch.setenv("GANVERT_ASSETS", str(assets))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def photo(assets) -> Path:
    return assets.parent / "sample_photos/biden.jpg"


@pytest.fixture(scope="module")
def encoder(assets, tmp_path_factory) -> Path:
    """Weights of a small encoder of the real generator: it knows nothing, but says something else of every picture."""
    generator = load_generator(assets / "mobile_stylegan.safetensors")
    spec = EncoderSpec(backbone="residual", heads={"dense": {"code": 8, "norm": False}}, input_px=8)
    made = Encoder(spec, generator)
    with torch.no_grad():
        for name, value in made.heads.named_parameters():
            value.mul_(0 if name.endswith("bias") else 3)
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    made.save(path, "a test")
    return path


@pytest.mark.parametrize(
    "command", ["invert", "edit", "interpolate", "sample", "describe", "import", "methods", "fetch"]
)
def test_every_command_has_help_with_an_example(run, command):
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "Example" in done.output
    assert f"ganvert {command}" in done.output


@pytest.mark.parametrize("kind", [METHODS, ENCODERS])
def test_methods_lists_every_preset(run, kind):
    done = run("methods", *(["--encoders"] if kind is ENCODERS else []))
    assert done.exit_code == 0
    listed = {line.split("│")[1].strip() for line in done.output.splitlines() if line.startswith("│")}
    assert listed - {""} == set(Presets(kind))


def test_methods_shows_a_preset_whole_and_as_a_file_of_its_own(run, tmp_path, monkeypatch):
    done = run("methods", "cpu_fwplus_pn")
    assert done.exit_code == 0
    assert done.output.splitlines()[:2] == ["# presets/cpu_fwplus_pn.yaml", "# presets/cpu_fwplus.yaml"]
    whole = Presets(METHODS).resolve("cpu_fwplus_pn")
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/mine.yaml").write_text(done.output)
    monkeypatch.chdir(tmp_path)
    mine = Presets(METHODS).resolve("mine")
    assert (mine.options, mine.description) == (whole.options, whole.description)
    done = run("methods", "wplsu")
    assert done.exit_code == 1
    assert "unknown method 'wplsu'" in done.output and "Did you mean 'wplus'" in done.output


def test_invert_writes_codes_scores_and_pictures(run, photo, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/face.jpg").write_bytes(photo.read_bytes())
    done = run("invert", tmp_path / "in", "--method", "w", "--steps", 3, "--seed", 1, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    codes = pq.read_table(tmp_path / "out/codes.parquet").to_pylist()
    assert [(row["method"], row["steps"], len(row["w"])) for row in codes] == [("w", 3, 512)]
    scores = pq.read_table(tmp_path / "out/scores.parquet")
    assert scores.column_names == ["image_id", "method", "metric", "value", "status"]
    assert {"lpips_vgg_256", "mse_256", "identity_dlib"} <= set(scores.column("metric").to_pylist())
    image_id = codes[0]["image_id"]
    assert Image.open(tmp_path / f"out/{image_id}_w.png").size == (1024, 1024)


def test_interpolate_draws_the_way_between_two_photographs(run, photo, encoder, tmp_path):
    other = photo.with_name("obama.jpg")
    done = run("invert", photo, other, "--method", "encoder", "--encoder", encoder, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    table = tmp_path / "out/codes.parquet"
    done = run("interpolate", table, "--count", 3, "--px", 64, "--out", tmp_path / "strip.png")
    assert done.exit_code == 0, done.output
    strip = np.asarray(Image.open(tmp_path / "strip.png"), dtype=float)
    ends = [
        np.asarray(Image.open(file).resize((64, 64), Image.Resampling.LANCZOS), dtype=float)
        for file in (tmp_path / f"out/{row['image_id']}_encoder.png" for row in pq.read_table(table).to_pylist())
    ]
    first, middle, last = (strip[4:68, 4 + 68 * i : 68 + 68 * i] for i in range(3))
    assert abs(first - ends[0]).mean() < 2
    assert abs(last - ends[1]).mean() < 2
    assert abs(middle - ends[0]).mean() > 5
    assert abs(middle - ends[1]).mean() > 5
    done = run("interpolate", table, "--first", "nobody", "--out", tmp_path / "no.png")
    assert done.exit_code == 2
    assert "has no image 'nobody'" in done.output


def test_a_photo_without_a_face_beside_a_good_one_is_reported_and_exits_3(run, photo, encoder, tmp_path):
    Image.new("RGB", (300, 300), "grey").save(tmp_path / "grey.png")
    told = ("--method", "encoder", "--encoder", encoder)
    done = run("invert", photo, tmp_path / "grey.png", *told, "--out", tmp_path / "out")
    assert done.exit_code == 3, done.output
    assert "grey.png" in done.output
    assert len(pq.read_table(tmp_path / "out/codes.parquet")) == 1
    status = pq.read_table(tmp_path / "out/photos.parquet").column("status").to_pylist()
    assert sorted(status) == ["no_face", "ok"]
    scores = pq.read_table(tmp_path / "out/scores.parquet").to_pylist()
    assert {row["status"] for row in scores if row["value"] is None} == {"no_face"}


def test_edit_changes_the_face_and_nothing_far_from_it(run, photo, tmp_path):
    out = tmp_path / "edited.png"
    done = run("edit", photo, "--direction", "smile=2", "--method", "encoder", "--out", out)
    assert done.exit_code == 0, done.output
    before, after = Image.open(photo).convert("RGB"), Image.open(out)
    assert after.size == before.size
    assert after.getpixel((2, 2)) == before.getpixel((2, 2))
    assert after.tobytes() != before.tobytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("invert", "no-such.jpg", "--out", "x"), "no-such.jpg"),
        (("invert", "params.yaml", "--method", "wplsu", "--out", "x"), "did you mean 'wplus'"),
        (("edit", "a.jpg", "--direction", "smile", "--out", "x.png"), "NAME=AMOUNT"),
        (("edit", "a.jpg", "--direction", "smile=1", "--out", "x.jpg"), ".png"),
        (("describe", "no-such.safetensors"), "no-such.safetensors"),
        (("import", "no-such.pkl", "x.safetensors"), "no-such.pkl"),
        (("invert", "a.jpg", "--recipe", "centre", "--out", "x"), "did you mean 'center'"),
        (("sample", "--out", "x.png", "--device", "tpu!"), "device"),
    ],
)
def test_mistakes_exit_non_zero_with_one_line(run, arguments, says):
    done = run(*arguments)
    assert done.exit_code in (1, 2)
    assert says.lower() in done.output.lower()
    assert "Traceback" not in done.output


def test_an_unknown_direction_names_the_known_ones_before_any_work(run, photo, tmp_path):
    done = run("edit", photo, "--direction", "smiel=1", "--out", tmp_path / "x.png")
    assert done.exit_code == 1
    assert "Did you mean 'smile'" in done.output


def test_sample_draws_the_same_sheet_for_the_same_seed(run, tmp_path):
    sheets = []
    for name in ("a.png", "b.png"):
        done = run("sample", "--count", 1, "--seed", 5, "--px", 64, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        sheets.append((tmp_path / name).read_bytes())
    assert sheets[0] == sheets[1]


def test_describe_a_generator_and_a_table(run, assets, tmp_path):
    done = run("describe", assets / "mobile_stylegan.safetensors")
    assert done.exit_code == 0
    assert "1024 px" in done.output
    assert "16" in done.output
    table = Path(__file__).parents[2] / "ganvert/weights/scores_ffhq.parquet"
    assert "3000" in run("describe", table).output


def test_import_and_describe_a_generator(run, tiny_generator_file, tmp_path):
    out = tmp_path / "mine.safetensors"
    done = run("import", tiny_generator_file, out)
    assert done.exit_code == 0, done.output
    assert "64 px" in done.output
    assert run("import", tiny_generator_file, out).exit_code == 2
    assert run("import", tiny_generator_file, out, "--force").exit_code == 0
    assert "8 rows of 16" in run("describe", out).output


def test_a_small_generator_of_other_things_than_faces(run, tiny_generator_file, encoder, tmp_path):
    Image.effect_noise((90, 120), 60).save(tmp_path / "noise.png")
    told = ("--generator", tiny_generator_file, "--recipe", "center", "--no-preview", "--steps", 2)
    done = run("invert", tmp_path / "noise.png", "--method", "wplus", *told, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    scores = pq.read_table(tmp_path / "out/scores.parquet").to_pylist()
    assert [row["metric"] for row in scores] == ["lpips_vgg_64", "mse_64", "psnr_64", "ssim_64"]
    done = run("invert", tmp_path / "noise.png", *told, "--encoder", encoder, "--out", tmp_path / "other")
    assert done.exit_code == 1
    assert "choose a method that starts without an encoder" in " ".join(done.output.split())
