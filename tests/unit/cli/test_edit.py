"""`ganvert edit`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.mark.slow
def test_edit_changes_the_face_and_nothing_far_from_it(run, photos: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "edited.png"
    done = run("edit", photos[0], "--direction", "smile=2", "--method", "encoder", "--out", out)
    assert done.exit_code == 0, done.output
    assert "ears and hair may show double" in done.stderr  # the encoder's face is another one
    assert done.stdout.splitlines()[-1] == str(out)
    before, after = Image.open(photos[0]).convert("RGB"), Image.open(out)
    assert after.size == before.size
    assert after.getpixel((2, 2)) == before.getpixel((2, 2))
    assert after.tobytes() != before.tobytes()


def test_an_unknown_direction_names_the_known_ones_before_any_work(run, tmp_path: Path) -> None:
    done = run("edit", "no-such.jpg", "--direction", "smiel=1", "--method", "w", "--out", tmp_path / "x.png")
    assert done.exit_code == 2
    assert "Did you mean 'smile'" in done.output
