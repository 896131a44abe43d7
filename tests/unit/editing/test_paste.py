"""What an edit must leave of a photograph: its transparency, its greyness, everything outside of the face."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvert.base.errors import AssetError
from ganvert.editing import paste as pasting
from ganvert.editing.paste import PasteOptions, paste_edit
from ganvert.faces import open_photo
from ganvert.faces.parsing import CLASSES
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
    pasted = paste_edit(photo, AFTER, BEFORE, QUAD, PasteOptions(mode=mode)).image  # type: ignore[arg-type]
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
    pasted = paste_edit(photo, AFTER, BEFORE, QUAD, PasteOptions()).image
    assert pasted.mode == ("LA" if mode == "LA" else "L")
    difference = changed(photo.original, pasted)
    assert difference[200, 200] and not difference[:100].any()


def test_colour_stays_colour() -> None:
    photo = open_photo(CASES / "ref_rgb.png")
    pasted = paste_edit(photo, AFTER, BEFORE, QUAD, PasteOptions()).image
    wanted = np.clip(np.asarray(photo.image, int)[200, 200] + [40, -10, 20], 0, 255)
    assert pasted.mode == "RGB" and np.asarray(pasted)[200, 200].tolist() == wanted.tolist()


def test_the_file_says_srgb_and_carries_no_profile() -> None:
    photo = open_photo(CASES / "icc_display_p3.png")
    with Image.open(io.BytesIO(to_png(paste_edit(photo, AFTER, BEFORE, QUAD, PasteOptions()).image))) as written:
        assert written.info == {"srgb": 0}


class FakeParser:
    """Skin in a square of the crop, at another place on the edited picture than on the photograph."""

    def __init__(self, *corners: int | None) -> None:
        self.corners = list(corners)

    def labels(self, image: Image.Image) -> np.ndarray:
        del image
        labels, corner = np.zeros((512, 512), np.uint8), self.corners.pop(0)
        if corner is not None:
            labels[corner : corner + 128, corner : corner + 128] = CLASSES.index("skin")
        return labels


def pasted_along(monkeypatch: pytest.MonkeyPatch, *corners: int | None) -> pasting.Pasted:
    monkeypatch.setattr(pasting, "load_parser", lambda _: FakeParser(*corners))
    return paste_edit(open_photo(CASES / "ref_rgb.png"), AFTER, BEFORE, QUAD, PasteOptions(region="face", feather=0.02))


def test_region_is_that_of_the_photograph_and_of_the_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    pasted = pasted_along(monkeypatch, 128, 256)
    assert (pasted.region, pasted.reason) == ("face", "")
    difference = changed(open_photo(CASES / "ref_rgb.png").image, pasted.image)
    # 512 px of the crop are 200 of the photograph: squares from 150 to 200 and from 200 to 250, soft over 4 px.
    assert difference[152:198, 152:198].all() and difference[202:248, 202:248].all()
    assert not difference[102:142, 102:298].any() and not difference[152:190, 210:298].any()


@pytest.mark.parametrize(("corners", "what"), [((None,), "photograph"), ((128, None), "edited picture")])
def test_without_a_face_it_is_the_square(
    monkeypatch: pytest.MonkeyPatch, corners: tuple[int | None, ...], what: str
) -> None:
    pasted = pasted_along(monkeypatch, *corners)
    assert pasted.region == "square" and f"no face on the {what}: pasted as a square" in pasted.reason
    square = paste_edit(open_photo(CASES / "ref_rgb.png"), AFTER, BEFORE, QUAD, PasteOptions(feather=0.02))
    assert np.array_equal(pasted.image, square.image) and square.reason == ""


def test_missing_network(tmp_path: Path) -> None:
    PasteOptions().check_assets(tmp_path)
    with pytest.raises(AssetError, match=r"bisenet\.safetensors is missing; run `ganvert fetch`"):
        PasteOptions(region="head").check_assets(tmp_path)
