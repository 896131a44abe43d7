"""The program in this process, and photographs for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from ganvert.cli import app
from ganvert.cli.sources import crops_of
from ganvert.codes import Code, read_codes, write_codes
from ganvert.directions import Direction, save_directions
from ganvert.generators import load_generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.presets import read_preset
from ganvert.inversion.run import invert_crops, make_context, seeds_for

Run = Callable[..., Result]
MSE = {"loss": "mse", "resolution": 64}
PAD = {"inverter": "optimise", "space": "pad/wplus", "init": "mean", "steps": 2, "lr": 0.2, "objective": [MSE]}


@pytest.fixture(scope="session")
def run(assets: Path) -> Run:
    """Run a command line."""
    environment = {"GANVERT_ASSETS": str(assets)}
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


@pytest.fixture(scope="session")
def photos(assets: Path) -> tuple[Path, Path]:
    """Two photographs with a face."""
    folder = assets.parent / "sample_photos"
    return folder / "biden.jpg", folder / "obama.jpg"


@pytest.fixture
def tiny_run(
    assets: Path, tiny_generator_file: Path, tmp_path: Path, write_params: Any, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """The command in a folder with four small pictures and two presets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANVERT_ASSETS", str(assets))
    write_params(invert={"options": {"mine": PAD, "plain": {**PAD, "space": "wplus"}}})
    for name, step in (("a", 9), ("b", 5), ("c", 14)):
        waves = 127 + 90 * np.sin(np.indices((90, 120)).sum(0) / step)[..., None] * [1, 0.5, -0.7]
        Image.fromarray(waves.astype(np.uint8)).save(f"{name}.png")
    with Image.open("a.png") as picture:
        picture.paste("black", (40, 30, 80, 40))
        picture.save("painted.png")

    def run(*arguments: object, method: str = "mine") -> Result:
        options = ["--generator", str(tiny_generator_file), "--device", "cpu"]
        options += ["--method", method, *([] if "--recipe" in arguments else ["--recipe", "center"])]
        return CliRunner().invoke(app, [*map(str, arguments), *options])

    return run


@pytest.fixture
def table(tiny_run: Run, tiny_generator_file: Path) -> list[Code]:
    """Codes of a.png, painted.png, b.png and c.png as out/codes.parquet."""
    generator = load_generator(tiny_generator_file)
    preset = read_preset("mine", PAD)
    context = make_context(preset, generator, None, None)
    paths = [Path(f"{name}.png") for name in ("a", "painted", "b", "c")]
    crops = crops_of(paths, "center", generator.resolution, Path(), same_crop=False)
    inversion = invert_crops(crops, preset, context, seed=0)
    image_ids = [crop.image_id for crop in crops]
    write_codes(Path("out/codes.parquet"), preset, inversion, image_ids, seeds_for(crops, "mine", 0), context)
    return list(read_codes(Path("out/codes.parquet"), generator))


@pytest.fixture
def directions(tiny_run: Run, tiny_generator: MobileStyleGAN) -> Path:
    """A table of the directions smile, of all rows, and age, of the first four, for the small generator."""
    vectors = np.eye(16)[:2]
    found = [Direction("smile", "w", "test", vectors[0], 0.5, 0, 8), Direction("age", "w", "test", vectors[1], 2, 0, 4)]
    path = Path("directions.parquet")
    save_directions(path, found, {"generator": tiny_generator.fingerprint()})
    return path
