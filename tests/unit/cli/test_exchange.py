"""Files of other tools from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganvert.codes import read_codes, write_codes
from ganvert.compute.random import normal
from ganvert.directions import load_directions
from ganvert.encoders import load_encoder
from ganvert.exchange import import_directions
from ganvert.exchange.encoder_files.bdinvert import CONVS
from ganvert.generators import load_generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import from_pil
from ganvert.inversion.contract import Inversion
from ganvert.inversion.presets import read_preset
from ganvert.inversion.run import make_context

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "checkpoints"


def test_codes_there_and_back(run, tiny_generator_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", normal([0, 1], (8, 16)).numpy())
    (tmp_path / "names.txt").write_text("ann.jpg\nbob.jpg\n")
    table, generator = tmp_path / "codes.parquet", ("--generator", tiny_generator_file)
    done = run("import-codes", tmp_path / "codes.npy", *generator, "--names", tmp_path / "names.txt", "--out", table)
    assert (done.exit_code, done.output) == (0, f"{table}: 2 codes in wplus\n")
    done = run("export-codes", table, *generator, "--as", "npz", "--out", tmp_path / "projected")
    assert done.exit_code == 0
    again = np.concatenate([np.load(tmp_path / f"projected/{name}.npz")["w"] for name in ("ann", "bob")])
    assert np.array_equal(again, np.load(tmp_path / "codes.npy"))
    done = run("export-codes", table, *generator, "--as", "hdf5", "--out", tmp_path / "x")
    assert done.exit_code == 2
    assert "huggingface" in done.output


def test_directions_there_and_back(
    run, tiny_generator_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_directions, "SAMPLES", 50)
    vector = np.arange(1.0, 17)[None]
    np.save(tmp_path / "v.npy", vector)
    table, generator = tmp_path / "directions.parquet", ("--generator", tiny_generator_file)
    arguments = ("directions", "import", tmp_path / "v.npy", *generator, "--space", "w", "--out", table)
    done = run(*arguments, "--name", "tilt", "--unit", "own", "--rows", "2:5")
    assert done.exit_code == 0, done.output
    assert "tilt in w, rows 2 to 4" in done.output
    out = tmp_path / "tilt.npy"
    done = run("directions", "export", "tilt", *generator, "--directions", table, "--as", "npy", "--out", out)
    assert done.exit_code == 0, done.output
    rows = np.load(out)
    assert rows.shape == (1, 8, 16)
    np.testing.assert_allclose(rows[0, 2:5], np.repeat(vector, 3, axis=0), rtol=1e-6)
    assert not rows[0, :2].any()
    assert not rows[0, 5:].any()
    done = run(*arguments, "--name", "other", "--rows", "2-5")
    assert done.exit_code == 2
    done = run(*arguments, "--name", "other", "--unit", "sigma")
    assert done.exit_code == 2
    assert "fit, own or a number" in done.output


def test_a_generator_and_its_tuned_copy(run, tmp_path: Path) -> None:
    source, out = GOLDEN / "A2_ada_skip_w64_map8.pkl", tmp_path / "g.pt"
    done = run("export-generator", source, "--as", "rosinality", "--out", out)
    assert done.exit_code == 0, done.output
    assert "loaded again, it differs by" in done.output
    generator = load_generator(source)
    assert torch.equal(load_generator(out).w_avg, generator.w_avg)
    objective = [{"loss": "mse", "resolution": 64}]
    options = {"inverter": "optimise", "space": "w", "init": "mean", "steps": 1, "lr": 0.1, "objective": objective}
    preset = read_preset("mine", options)
    context = make_context(preset, generator, None, None)
    variables = {"w": generator.w_avg.repeat(2, 1)}
    weights = [{"synthesis.b8.conv1.bias": normal([4], generator.synthesis["b8"].conv1.bias.shape)[0]}, {}]
    trace, best = torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64)
    inversion = Inversion("w", variables, [], trace, best, ["ok"] * 2, [""] * 2, weights)
    table = tmp_path / "codes.parquet"
    write_codes(table, preset, inversion, ["ann", "bob"], [0, 0], context)
    arguments = ("export-generator", source, "--as", "nvlabs-safetensors", "--out", tmp_path / "ann.safetensors")
    done = run(*arguments, "--codes", table, "--image", "ann")
    assert done.exit_code == 0, done.output
    changed = load_generator(tmp_path / "ann.safetensors").state_dict()["synthesis.b8.conv1.bias"]
    expected = generator.synthesis["b8"].conv1.bias + weights[0]["synthesis.b8.conv1.bias"].half()
    assert torch.equal(changed, expected)
    for more, says in (
        (["--image", "ann"], "one of them is missing"),
        (["--codes", table, "--image", "bob"], "has no generator of its own"),
        (["--codes", table, "--image", "eve"], "has no image 'eve'"),
    ):
        done = run(*arguments, "--force", *more)
        assert done.exit_code == 2
        assert says in done.output


@pytest.mark.slow
def test_an_imported_encoder_inverts(
    run, tiny_run, write_params, tiny_generator: MobileStyleGAN, tiny_generator_file: Path
) -> None:
    """The base-code encoder of BDInvert, with random weights: its prediction is what the table of codes holds."""
    widths = [3, 128, 128, 128, 256, 256, 256, 512, 512, 512, 512, 16]
    state = {}
    for i, place in enumerate(CONVS):
        shape = (widths[i + 1], widths[i], 3, 3)
        state[f"model.{place}.weight"] = normal([i], shape)[0] * (2 / (9 * widths[i])) ** 0.5
        state[f"model.{place}.bias"] = torch.zeros(shape[0])
        if place != 33:
            parts = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
            state |= {f"model.{place + 1}.{part}": torch.full(shape[:1], value) for part, value in parts.items()}
    torch.save({"encoder": state}, "basecode.pth")
    done = run("import", "basecode.pth", "ours.safetensors", "--generator", tiny_generator_file, "--feature-px", 8)
    assert done.exit_code == 0, done.output
    write_params(invert={"options": {"base": {"inverter": "feed_forward", "space": "f8/wplus"}}})
    done = tiny_run("invert", "a.png", "--encoder", "ours.safetensors", "--out", "base", method="base")
    assert done.exit_code == 0, done.output
    (code,) = read_codes(Path("base/codes.parquet"), tiny_generator)
    crop = from_pil([Image.open("base/a_crop.png")])
    encoder = load_encoder(Path("ours.safetensors"), tiny_generator)
    torch.testing.assert_close(code.variables["f"], encoder.encode(crop)["f8"], rtol=0, atol=1e-4)
    assert code.draw().isfinite().all()


def test_a_direction_of_rated_photographs(run, tiny_generator_file: Path, tmp_path: Path) -> None:
    codes = normal(range(60), (8, 16))
    np.save(tmp_path / "codes.npy", codes.numpy())
    names = [f"person{i:02}" for i in range(60)]
    (tmp_path / "names.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    generator, table = ("--generator", tiny_generator_file), tmp_path / "codes.parquet"
    arguments = ("--names", tmp_path / "names.txt", "--out", table)
    assert run("import-codes", tmp_path / "codes.npy", *generator, *arguments).exit_code == 0
    ratings = tmp_path / "ratings.csv"
    along = codes[:, 2:5].mean(dim=1)[:, 3].tolist()
    lines = [f"{name}.jpg,kind,{value}" for name, value in zip(names, along, strict=True)]
    lines += [f"{name}.jpg,tall,{i % 7}" for i, name in enumerate(names)]
    ratings.write_text("\n".join(["image,trait,value", *lines]))
    out = tmp_path / "mine.parquet"
    arguments = ("directions", "find", "--codes", table, "--scores", ratings, *generator, "--out", out)
    done = run(*arguments, "--trait", "kind", "--condition", "tall", "--rows", "2:5")
    assert done.exit_code == 0, done.output
    assert "kind in w from 60 photographs; held out: accuracy" in done.output
    found = load_directions(out)["kind", "w"]
    assert (found.first_row, found.last_row) == (2, 5) and found.vector.argmax() == 3
    again = run(*arguments, "--trait", "kind")
    assert again.exit_code == 2 and "has a direction" in again.output
    missing = run(*arguments, "--trait", "shy")
    assert missing.exit_code == 2 and "known: kind, tall" in missing.output
