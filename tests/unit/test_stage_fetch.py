"""The stage hands its parameters to the library and its errors to the shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganvert import assets
from ganvert.base.errors import AssetError
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


@pytest.mark.parametrize(("told", "photos"), [(True, Path("data/sample_photos")), (False, None)])
def test_photos(calls: list[tuple[Path, Path | None]], told: bool, photos: Path | None, write_params) -> None:
    write_params(fetch={"photos": told})
    fetch.main()
    assert calls == [(Path("data/assets"), photos)]
    assert Path("data/sample_photos").is_dir()


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"fetch": {"photo": True}}, "did you mean 'photos'"),
        ({"fetch": {"photos": 3}}, "fetch.photos: wanted bool"),
        ({"report": {"titel": "a later stage's mistake"}}, "did you mean 'title'"),
        ({"device": "gpu!"}, "device"),
    ],
)
def test_wrong_params_stop_before_work(calls, sections: dict, says: str, write_params) -> None:
    write_params(**sections)
    with pytest.raises(SystemExit, match=says):
        fetch.main()
    assert calls == []


def test_asset_error_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_params) -> None:
    def fail(folder: Path, *, photos: Path | None) -> list[Path]:
        raise AssetError("no network; check it")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(assets, "fetch", fail)
    write_params(fetch={"photos": True})
    with pytest.raises(SystemExit, match="stage fetch: no network; check it"):
        fetch.main()
