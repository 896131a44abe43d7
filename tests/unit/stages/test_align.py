"""The align stage: what it reads, what it writes, how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import skimage
from PIL import Image

from ganvert import tables
from stages import align


@pytest.fixture()
def project(tmp_path: Path, assets: Path, monkeypatch: pytest.MonkeyPatch, write_params) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "photos").mkdir(parents=True)
    (tmp_path / "data" / "assets").symlink_to(assets)
    write_params(align={"photos": ["data/photos"], "resolution": 64})
    return tmp_path


@pytest.mark.slow
def test_writes_both_tables(project: Path) -> None:
    astronaut = Path(skimage.__file__).parent / "data" / "astronaut.png"
    (project / "data" / "photos" / "astronaut.png").write_bytes(astronaut.read_bytes())
    align.main()
    (photo,) = tables.read(project / "data" / "photos.parquet", tables.PHOTOS).to_pylist()
    (crop,) = tables.read(project / "data" / "aligned.parquet", tables.ALIGNED).to_pylist()
    assert photo["path"] == crop["path"] == "data/photos/astronaut.png"
    assert photo["photo_id"] == crop["photo_id"] and crop["resolution"] == 64 and crop["recipe"] == "ffhq"


@pytest.mark.slow
def test_no_face_anywhere_stops_after_the_reasons_are_written(project: Path) -> None:
    Image.new("RGB", (50, 50)).save(project / "data" / "photos" / "black.png")
    with pytest.raises(SystemExit, match="none of 1 photos could be aligned"):
        align.main()
    assert tables.read(project / "data" / "photos.parquet", tables.PHOTOS).to_pylist()[0]["status"] == "no_face"
    assert not (project / "data" / "aligned.parquet").exists()


def test_empty_folder_and_bad_parameter(project: Path, write_params) -> None:
    with pytest.raises(SystemExit, match="no photos in data/photos"):
        align.main()
    write_params(align={"recipee": "ffhq"})
    with pytest.raises(SystemExit, match="did you mean 'recipe'"):
        align.main()
