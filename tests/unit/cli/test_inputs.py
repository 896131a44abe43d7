"""What stands among photographs, and names that are hard to show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from ganvert.cli.invert import _print_scores


def test_names_in_brackets_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    scores = [{"image_id": "a", "metric": "psnr_64", "value": 1.0, "status": "ok"}]
    _print_scores(scores, {"a": "photos/[red]me[].jpg"})
    assert "[red]me[].jpg" in capsys.readouterr().out


def test_results_are_not_written_among_the_photographs(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.new("RGB", (64, 64)).save("photos/a.png")
    for command in ("invert", "extract"):
        done = run(command, "photos", "--method", "encoder", "--recipe", "center", "--out", "photos")
        assert done.exit_code == 2 and "photos: holds photos" in done.output
    assert [path.name for path in Path("photos").iterdir()] == ["a.png"]
