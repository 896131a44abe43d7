"""Same man near, other man far, nobody None."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvert.assets import fetch
from ganvert.base.errors import AssetError
from ganvert.faces.align import align
from ganvert.faces.detect import FaceDetector
from ganvert.faces.identity import IDENTITY_FILE, SAME_PERSON, IdentityEmbedder, distance
from ganvert.faces.photo import open_photo


@pytest.fixture(scope="module")
def people(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image.Image]:
    folder = assets.parent / "sample_photos"
    if not (folder / "obama2.jpg").exists():
        folder = tmp_path_factory.mktemp("sample_photos")
        fetch(assets, photos=folder)
    return {name: open_photo(folder / f"{name}.jpg").image for name in ("obama", "obama2", "biden")}


@pytest.mark.slow
def test_who_is_who(assets: Path, detector: FaceDetector, people: dict[str, Image.Image]) -> None:
    embedder = IdentityEmbedder(assets)
    obama, obama2, biden, nobody = embedder.embed([*people.values(), Image.new("RGB", (200, 200))])
    assert nobody is None and obama is not None and obama2 is not None and biden is not None
    assert obama.shape == (128,) and obama.dtype == np.float64
    assert distance(obama, obama2) < SAME_PERSON < distance(obama, biden)
    assert distance(obama, obama) == 0
    # The aligned crop of a photo, at the size that metrics use, is still found and still him.
    landmarks = detector.detect(people["obama"])[0]
    (crop,) = embedder.embed([align(people["obama"], landmarks, 256).crop])
    assert crop is not None and distance(crop, obama) < 0.3


def test_missing_or_damaged_model(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=IDENTITY_FILE):
        IdentityEmbedder(tmp_path)
    (tmp_path / IDENTITY_FILE).write_bytes(b"broken")
    with pytest.raises(AssetError, match="fetch again"):
        IdentityEmbedder(tmp_path)
