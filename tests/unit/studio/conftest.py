"""A studio around a tiny generator, whose crops are the middle squares of pictures."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from ganvert.cli import app
from ganvert.directions import Direction, save_directions
from ganvert.generators import load_generator
from ganvert.studio.models import Models
from ganvert.studio.session import Session, Sessions

MSE = {"loss": "mse", "resolution": 64}


def steps(count: int) -> dict[str, Any]:
    return {"inverter": "optimise", "space": "wplus", "init": "mean", "steps": count, "lr": 0.05, "objective": [MSE]}


@pytest.fixture(scope="session")
def tiny_directions(tiny_generator_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two named directions and a numbered one; of smile, which holds age, also one that holds nothing."""
    generator = load_generator(tiny_generator_file)
    numbers = np.random.default_rng(0)
    found = []
    figures: dict[str, Any] = {
        "smile": {"score": "s", "leak": {"age": 0.0}, "step": 1.5},
        "grin": {"score": "s", "leak": {}},
        "age": {"range": [-4, 4]},
    }
    for name in ("smile", "age", "ganspace_0", "grin"):
        vector = numbers.normal(size=generator.w_dim)
        vector /= np.linalg.norm(vector)
        found.append(
            Direction(
                name=name,
                space="w",
                method="random",
                vector=vector,
                unit=1.0,
                first_row=0,
                last_row=generator.num_ws,
                quality=figures.get(name, {}),
            )
        )
    path = tmp_path_factory.mktemp("directions") / "directions.parquet"
    save_directions(path, found, {"generator": generator.fingerprint()})
    return path


@pytest.fixture
def studio_project(tmp_path: Path, write_params: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a method of few steps, and one that nobody waits for."""
    monkeypatch.chdir(tmp_path)
    options = {"first": steps(2), "balanced": steps(8), "long": steps(1_000_000)}
    write_params(invert={"options": {**options, "padded": {**steps(2), "space": "pad/wplus"}}})
    return tmp_path


@pytest.fixture
def sessions(studio_project: Path, tiny_generator_file: Path, tiny_directions: Path, assets: Path) -> Sessions:
    generator = load_generator(tiny_generator_file)
    return Sessions(Models(generator, tiny_directions, assets, recipe="center", first="first"))


@pytest.fixture(scope="session")
def photograph() -> Callable[..., bytes]:
    """Return a function that makes a PNG file of waves, of a width of 120 px."""

    def make(step: float = 9) -> bytes:
        waves = 127 + 90 * np.sin(np.indices((90, 120)).sum(0) / step)[..., None] * [1, 0.5, -0.7]
        buffer = io.BytesIO()
        Image.fromarray(waves.astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    return make


@pytest.fixture
def session(sessions: Sessions, photograph: Callable[..., bytes]) -> Session:
    """A session with a photograph."""
    session = sessions.of(None)
    session.open(photograph(), "waves.png")
    return session


@pytest.fixture
def tiny_run_in(monkeypatch: pytest.MonkeyPatch, assets: Path) -> Callable[..., Result]:
    """Return a function that runs a command line of `ganvert` in a folder."""

    def run(folder: Path, line: str) -> Result:
        monkeypatch.chdir(folder)
        name, *words = shlex.split(line)
        assert name == "ganvert"
        return CliRunner().invoke(app, [*words, "--device", "cpu"], env={"GANVERT_ASSETS": str(assets)})

    return run
