"""What an edit must leave of a photograph: its transparency, its greyness, everything outside of the face."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvert.editing.paste import PasteOptions, paste_edit
from ganvert.faces import open_photo
from ganvert.images import to_png

CASES = Path(__file__).parents[2] / "cases"
QUAD = np.array([[100.0, 100], [100, 299], [299, 299], [299, 100]])
BEFORE, AFTER = Image.new("RGB", (64, 64), (100, 100, 100)), Image.new("RGB", (64, 64), (140, 90, 120))


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    """Pixels [h, w] that differ."""
    return (np.asarray(before) != np.asarray(after)).reshape(before.height, before.width, -1).any(axis=2)


@pytest.mark.parametrize("mode", ["difference", "replace"])
@pytest.mark.parametrize("name", ["rgba.png", "rgba_hidden_noise.png"])
def test_transparency_is_kept_and_colours_below_it_are_the_files(name: str, mode: str) -> None:
    photo = open_photo(CASES / name)
    pasted = paste_edit(photo, AFTER, BEFORE, QUAD, PasteOptions(mode=mode))  # type: ignore[arg-type]
    with Image.open(CASES / name) as file:
        assert pasted.mode == "RGBA" and np.array_equal(pasted.getchannel("A"), file.getchannel("A"))
        difference = changed(file, pasted)
    assert difference[150:250, 150:250].any()
    difference[100:300, 100:300] = False
    assert not difference.any()
    with Image.open(io.BytesIO(to_png(pasted))) as again:  # as the command writes it
        assert np.array_equal(again, pasted)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "P", "1"])
def test_grey_stays_grey(tmp_path: Path, mode: str) -> None:
    with Image.open(CASES / "ref_rgb.png") as file:
        file.convert("L").convert(mode).save(tmp_path / "grey.png")
    photo = open_photo(tmp_path / "grey.png")
    pasted = paste_edit(photo, AFTER, BEFORE, QUAD, PasteOptions())
    assert pasted.mode == ("LA" if mode == "LA" else "L")
    difference = changed(photo.original, pasted)
    assert difference[200, 200] and not difference[:100].any()


def test_colour_stays_colour() -> None:
    photo = open_photo(CASES / "ref_rgb.png")
    pasted = paste_edit(photo, AFTER, BEFORE, QUAD, PasteOptions())
    wanted = np.clip(np.asarray(photo.image, int)[200, 200] + [40, -10, 20], 0, 255)
    assert pasted.mode == "RGB" and np.asarray(pasted)[200, 200].tolist() == wanted.tolist()


def test_the_file_says_srgb_and_carries_no_profile() -> None:
    photo = open_photo(CASES / "icc_display_p3.png")
    with Image.open(io.BytesIO(to_png(paste_edit(photo, AFTER, BEFORE, QUAD, PasteOptions())))) as written:
        assert written.info == {"srgb": 0}
