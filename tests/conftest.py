"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganvert.assets import fetch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of fetched assets ($GANVERT_ASSETS or data/assets), the sample photos beside it; missing ones are fetched."""
    folder = Path(os.environ.get("GANVERT_ASSETS") or ROOT / "data" / "assets")
    fetch(folder, photos=folder.parent / "sample_photos")
    return folder
