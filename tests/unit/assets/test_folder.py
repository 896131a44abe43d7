"""Where assets are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganvert import assets as library
from ganvert.base.errors import AssetError


def test_home_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GANVERT_ASSETS", raising=False)
    assert library.home() == Path.home() / ".cache" / "ganvert"
    (tmp_path / "params.yaml").touch()
    (tmp_path / "dvc.yaml").write_text("stages: {train: {cmd: python train.py}}")  # of another project
    assert library.home() == Path.home() / ".cache" / "ganvert"
    (tmp_path / "dvc.yaml").write_text("stages: {invert: {cmd: python -m stages.invert}}")
    assert library.home() == Path("data/assets")
    monkeypatch.setenv("GANVERT_ASSETS", str(tmp_path / "mine"))
    assert library.home() == tmp_path / "mine"
    with pytest.raises(AssetError, match="ganvert fetch"):
        library.path("a.bin")
    (tmp_path / "a.bin").touch()
    assert library.path("a.bin", tmp_path) == tmp_path / "a.bin"
