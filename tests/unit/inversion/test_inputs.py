"""Masks by name: regions of the face beside files, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganvert.base.errors import InputError, NoRegionError, ParamsError
from ganvert.faces.parsing import CLASSES
from ganvert.inversion import inputs
from ganvert.inversion.inputs import check_inputs, masks_of
from ganvert.inversion.objective import Term


class FakeParser:
    """Hair on as many rows of the 512 as the picture's red says."""

    def labels(self, image: Image.Image) -> np.ndarray:
        labels = np.zeros((512, 512), np.uint8)
        labels[: np.asarray(image)[0, 0, 0]] = CLASSES.index("hair")
        return labels


@pytest.fixture(autouse=True)
def fake_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "load_parser", lambda _: FakeParser())


def picture(rows: int) -> Image.Image:
    return Image.new("RGB", (64, 64), (rows, 0, 0))


def test_a_region_is_each_pictures_own() -> None:
    masks = masks_of("hair", [picture(64), picture(128)], ["a", "b"], None, None)
    assert masks.shape == (2, 1, 64, 64) and masks.dtype == torch.float32
    for mask, rows in zip(masks, (8, 16), strict=True):  # of 64 instead of 512
        assert mask[0, : rows - 1].min() == 1 and mask[0, rows + 1 :].max() == 0
    with pytest.raises(NoRegionError, match="b: mask 'hair': the picture shows none of it"):
        masks_of("hair", [picture(64), picture(0)], ["a", "b"], None, None)


def test_a_file_is_as_before_and_a_folder_of_a_regions_name_can_be_meant(tmp_path: Path) -> None:
    (tmp_path / "hair").mkdir()
    for name, grey in (("mask.png", 255), ("hair/a.png", 51)):
        Image.new("L", (64, 64), grey).save(tmp_path / name)
    assert masks_of("mask.png", [picture(0)], ["a"], tmp_path, None).unique().tolist() == [1]
    assert masks_of("./hair", [picture(0)], ["a"], tmp_path, None).unique().tolist() == pytest.approx([0.2])


def test_unknown_names_are_refused_with_the_regions(tmp_path: Path) -> None:
    check_inputs(["hair", "eyes"], None)
    for folder in (None, tmp_path):
        with pytest.raises(InputError, match=r"hiar.*regions of faces are background, brows, .*hair"):
            check_inputs(["hiar"], folder)
    with pytest.raises(InputError, match=r"neither such a picture nor a folder of pictures named IMAGE_ID\.png$"):
        check_inputs(["hiar.png"], tmp_path)
    with pytest.raises(ParamsError, match="'hair' is a region of faces"):
        Term(loss="mse", picture="hair")
