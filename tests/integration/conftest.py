"""Fixtures of the tests that start Prefect servers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PICTURES = 6  # beside them one that is unreadable, and one that is there twice


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, tiny_generator_file: Path) -> Path:
    """A folder with params.yaml, a 64 px generator and photographs, one of them unreadable and one there twice."""
    root = tmp_path_factory.mktemp("extraction")
    (root / "photos").mkdir()
    numbers = np.random.default_rng(0)
    for i in range(PICTURES):
        picture = Image.fromarray(numbers.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        picture.resize((70, 80)).save(root / "photos" / f"{i}.png")
    (root / "photos" / "bad.png").write_bytes(b"no picture")
    (root / "photos" / "zz.png").write_bytes((root / "photos" / "0.png").read_bytes())
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    loss = {"loss": "mse", "weight": 1.0, "resolution": None}
    few = {"inverter": "optimise", "space": "w", "init": "mean", "steps": 2, "lr": 0.05, "objective": [loss]}
    params |= {"device": "cpu", "generator": {"path": str(tiny_generator_file), "label": None}}
    params["align"] |= {"recipe": "center", "photos": ["photos"]}
    params["invert"] |= {"methods": {}, "options": {"few": few, "long": {**few, "steps": 1_000_000}}}
    params["invert"]["methods"] = {"few": str(tiny_generator_file)}
    params["train_encoder"]["encoders"] = {}
    params["discover"] = {"methods": {"ganspace": {"components": 2}}}
    params["edit"] |= {"method": "few", "edits": {}}
    params["evaluate"] |= {"metrics": ["mse_64"], "attributes": []}
    params["extract"] |= {"metrics": ["mse_64"]}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return root
