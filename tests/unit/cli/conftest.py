"""The program in this process, and photographs for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ganvert.cli import app

Run = Callable[..., Result]


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
