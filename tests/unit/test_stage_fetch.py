"""The stage hands its parameters to the library and its errors to the shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganvert import assets
from ganvert.errors import AssetError
from stages import fetch


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Path | None]]:
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[Path, Path | None]] = []

    def record(folder: Path, *, photos: Path | None) -> list[Path]:
        seen.append((folder, photos))
        return []

    monkeypatch.setattr(assets, "fetch", record)
    return seen


@pytest.mark.parametrize(("told", "photos"), [("true", Path("data/sample_photos")), ("false", None)])
def test_photos(calls: list[tuple[Path, Path | None]], told: str, photos: Path | None) -> None:
    Path("params.yaml").write_text(f"fetch: {{photos: {told}}}\n")
    fetch.main()
    assert calls == [(Path("data/assets"), photos)]
    assert Path("data/sample_photos").is_dir()


@pytest.mark.parametrize("section", ["fetch: {photo: true}", "fetch: {photos: 3}", "align: {}"])
def test_wrong_params_stop_before_work(calls: list[tuple[Path, Path | None]], section: str) -> None:
    Path("params.yaml").write_text(section)
    with pytest.raises(SystemExit, match="fetch"):
        fetch.main()
    assert calls == []


def test_asset_error_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path, *, photos: Path | None) -> list[Path]:
        raise AssetError("no network; check it")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(assets, "fetch", fail)
    Path("params.yaml").write_text("fetch: {photos: true}\n")
    with pytest.raises(SystemExit, match="stage fetch: no network; check it"):
        fetch.main()
