"""Composed pictures: what is inverted, and that nothing but the mask tells it from a plain inversion."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganvert.base.errors import ParamsError, ShapeError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.editing.compose import (
    Composed,
    box_mask,
    crossover,
    diffusion,
    inpainting,
    invert_composed,
    paint_mask,
    preset_for_parts,
)
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import from_pil, to_pil
from ganvert.inversion.presets import Batch, Context, read_preset
from ganvert.inversion.run import Crop, invert_crops

PX = 64
MSE = {"loss": "mse", "resolution": PX}
PLAIN: dict[str, Any] = {
    "inverter": "optimise",
    "space": "wplus",
    "init": "mean",
    "steps": 6,
    "lr": 0.1,
    "objective": [MSE, {"loss": "l1", "resolution": 32, "weight": 0.3}],
}


@pytest.fixture(scope="module")
def pictures(tiny_generator: MobileStyleGAN) -> list[Image.Image]:
    return to_pil(tiny_generator.synthesize(ws=tiny_generator.map(normal([1, 2], (16,)))))


@pytest.fixture(scope="module")
def context(tiny_generator: MobileStyleGAN) -> Context:
    return Context(generator=tiny_generator)


def test_the_box_is_idinvert_s() -> None:
    """Rows and columns of the release's diffuse.py: 145 +- 55 and 125 +- 55 of 256."""
    expected = torch.zeros(1, 1, 256, 256)
    expected[..., 90:200, 70:180] = 1
    assert torch.equal(box_mask(256), expected)
    assert torch.equal(box_mask(1024), expected.repeat_interleave(4, 2).repeat_interleave(4, 3))
    assert box_mask(256, 256, (128, 128)).min() == 1


@pytest.mark.parametrize(("side", "centre"), [(0, (125, 145)), (110, (50, 145)), (110, (125, 202)), (257, (128, 128))])
def test_a_box_outside_the_picture_is_refused(side: int, centre: tuple[int, int]) -> None:
    with pytest.raises(ParamsError, match="crop: wanted a square inside the picture of 256 px"):
        box_mask(64, side, centre)


def test_a_full_mask_is_plain_inversion(pictures: list[Image.Image], context: Context) -> None:
    target, around = pictures
    preset = read_preset("mine", PLAIN)
    whole = diffusion(target, around, box_mask(PX, 256, (128, 128)))
    plain = invert_crops([Crop("x", target)], preset, context, seed=0)
    assert torch.equal(invert_composed(whole, "x", preset, context).variables["ws"], plain.variables["ws"])


def test_what_is_outside_the_mask_does_not_count(pictures: list[Image.Image], context: Context) -> None:
    target, around = pictures
    preset, mask = read_preset("mine", PLAIN), box_mask(PX)
    one = invert_composed(diffusion(target, around, mask), "x", preset, context)
    other = invert_composed(diffusion(target, Image.new("RGB", (PX, PX), "red"), mask), "x", preset, context)
    assert torch.equal(one.variables["ws"], other.variables["ws"])
    other = invert_composed(diffusion(around, around, mask), "x", preset, context)
    assert not torch.equal(one.variables["ws"], other.variables["ws"])


def test_surroundings_may_count_too(pictures: list[Image.Image]) -> None:
    mask = box_mask(PX)
    assert torch.equal(diffusion(*pictures, mask).mask, mask)
    assert torch.equal(diffusion(*pictures, mask, 0.25).mask, torch.where(mask > 0, 1.0, 0.25))
    with pytest.raises(ParamsError, match="around: wanted 0 to 1"):
        diffusion(*pictures, mask, 1.5)


def test_diffusion_fits_the_crop(pictures: list[Image.Image], context: Context) -> None:
    """The picture inside the crop comes nearer to the target than the context is."""
    target, around = pictures
    composed = diffusion(target, around, mask := box_mask(PX))
    found = invert_composed(composed, "x", read_preset("mine", {**PLAIN, "steps": 30}), context).draw()

    def error(image: torch.Tensor) -> float:
        return float(((image - from_pil([target])) * mask).square().mean())

    assert error(found) < 0.5 * error(from_pil([around]))


def test_crossover_minimises_the_paper_s_objective(pictures: list[Image.Image]) -> None:
    """(G - c)^2 and M (G - x)^2 + (1 - M) (G - y)^2 have one gradient: they differ by a constant."""
    x, y = (from_pil([picture]) for picture in pictures)
    mask = torch.rand(1, 1, PX, PX, generator=torch.Generator().manual_seed(0)).mul(255).round().div(255)
    composed = crossover(*pictures, mask, blur=0)
    assert composed.mask is None
    c = from_pil([composed.picture])
    torch.testing.assert_close(c, mask * x + (1 - mask) * y, atol=1.1 / 127.5, rtol=0)
    c, constants = mask * x + (1 - mask) * y, []
    for seed in (3, 4):
        image = normal([seed], (3, PX, PX))
        both = mask * (image - x).square() + (1 - mask) * (image - y).square()
        constants.append(both - (image - c).square())
    torch.testing.assert_close(*constants, atol=1e-4, rtol=1e-4)


def test_the_blur_of_a_crossover(pictures: list[Image.Image]) -> None:
    white, black = Image.new("RGB", (PX, PX), "white"), Image.new("RGB", (PX, PX), "black")
    mask = torch.zeros(1, 1, PX, PX)
    mask[..., PX // 2 :] = 1
    row = np.asarray(crossover(white, black, mask, 0.1).picture)[0, :, 0] / 255
    centres = (np.arange(PX) + 0.5 - PX / 2) / (0.1 * PX * 2**0.5)
    from scipy.special import erf

    np.testing.assert_allclose(row, (1 + erf(centres)) / 2, atol=0.01)
    with pytest.raises(ParamsError, match=r"blur: wanted 0 to 0\.25"):
        crossover(white, black, mask, 0.3)


def test_nothing_of_the_hole_remains(pictures: list[Image.Image], context: Context) -> None:
    hole, wider = box_mask(PX, 60), box_mask(PX, 76)
    covered = pictures[0].copy()
    covered.paste("red", (0, 0, PX, PX), Image.fromarray((wider[0, 0].numpy() * 255).astype(np.uint8)))
    whole, empty = inpainting(pictures[0], hole), inpainting(covered, hole)
    assert whole.picture.tobytes() == empty.picture.tobytes()
    assert whole.mask is not None and torch.equal(whole.mask, 1 - box_mask(PX, 84))  # wider by 3 px on each side
    # The filling lies between the colours around it.
    inside = from_pil([whole.picture])[hole.expand(1, 3, -1, -1) > 0]
    around = from_pil([pictures[0]])
    assert around.min() <= inside.min() and inside.max() <= around.max()
    with pytest.raises(UnsupportedError, match="the hole is the whole picture"):
        inpainting(pictures[0], torch.ones(1, 1, PX, PX))


def test_one_colour_is_filled_with_itself() -> None:
    grey = Image.new("RGB", (PX, PX), (90, 120, 30))
    assert inpainting(grey, box_mask(PX)).picture.tobytes() == grey.tobytes()


def test_methods_for_parts() -> None:
    held = {**PLAIN, "init": "encoder", "regularise": {"encoder": 2.0, "delta": 0.1}}
    free = preset_for_parts(read_preset("mine", held))
    assert free.options.regularise == {"delta": 0.1} and free.options.init == "encoder"
    chain = read_preset("mine", {"inverter": "chain", "stages": [held, {**PLAIN, "init": "previous"}]})
    assert [stage.options.regularise for stage in preset_for_parts(chain).stages] == [{"delta": 0.1}, {}]
    with pytest.raises(UnsupportedError, match="predicts codes of whole pictures; wanted one that fits them"):
        preset_for_parts(read_preset("mine", {"inverter": "feed_forward"}))
    tune = {"inverter": "tune", "steps": 1, "lr": 0.1, "objective": [MSE]}
    with pytest.raises(UnsupportedError, match="tunes the generator"):
        preset_for_parts(read_preset("mine", {"inverter": "chain", "stages": [PLAIN, tune]}))


def test_masks_of_a_batch(tiny_generator: MobileStyleGAN) -> None:
    """An image's mask goes with it, whatever is inverted beside it, and stands for as much at every size."""
    images = tiny_generator.synthesize(ws=tiny_generator.map(normal([5, 6], (16,))))
    crops = [Crop(name, picture) for name, picture in zip("ab", to_pil(images), strict=True)]
    masked = [crops[0], dataclasses.replace(crops[1], mask=box_mask(128))]
    preset, context = read_preset("mine", PLAIN), Context(generator=tiny_generator, side_by_side=2)
    both = invert_crops(masked, preset, context, seed=0).variables["ws"]
    alone = [invert_crops([crop], preset, context, seed=0).variables["ws"] for crop in masked]
    torch.testing.assert_close(both, torch.cat(alone), atol=1e-5, rtol=1e-4)
    plain = invert_crops(crops, preset, context, seed=0).variables["ws"]
    torch.testing.assert_close(both[:1], plain[:1], atol=1e-5, rtol=1e-4)
    assert (both[1] - plain[1]).abs().max() > 1e-2
    with pytest.raises(ShapeError, match="masks: wanted"):
        Batch(targets=images, seeds=[1, 2], masks=torch.ones(1, 1, PX, PX))


def test_a_composed_picture_needs_no_mask(pictures: list[Image.Image], context: Context) -> None:
    preset = read_preset("mine", PLAIN)
    plain = invert_crops([Crop("x", pictures[0])], preset, context, seed=0)
    code = invert_composed(Composed(pictures[0]), "x", preset, context)
    assert torch.equal(code.variables["ws"], plain.variables["ws"])


def test_paint_is_where_copies_differ() -> None:
    """Widened by a hundredth of the side, here 1 px; rounding of a JPEG is no paint."""
    picture = Image.new("RGB", (100, 100), (120, 130, 140))
    painted = Image.new("RGB", (100, 100), (126, 124, 140))
    painted.paste("red", (20, 30, 40, 35))
    expected = torch.zeros(1, 1, 100, 100)
    expected[..., 29:36, 19:41] = 1
    assert torch.equal(paint_mask(painted, picture), expected)
    with pytest.raises(UnsupportedError, match="differs nowhere"):
        paint_mask(picture, picture)
