"""Changes of pictures: exact where there is a closed form, and each picture's own affair."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import ParamsError, ShapeError
from ganvert.compute.random import normal
from ganvert.training import augment as module
from ganvert.training.augment import Augment, augment

ALL = Augment(mirror=True, translate=0.1, rotate=15, scale=0.2, colour=0.3, grey=0.3, blur=3, resample=4, noise=0.1)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Smooth ones with details."""
    coarse = F.interpolate(normal(range(6), (3, 4, 4)), size=32, mode="bilinear")
    return (0.4 * coarse + 0.1 * normal(range(6, 12), (3, 32, 32))).clamp(-1, 1)


def test_nothing_is_changed_by_default(images: Tensor) -> None:
    for seen in augment(images, range(6), Augment()):
        assert torch.equal(seen, images)
    assert torch.equal(augment(3 * images, range(6), Augment())[0], (3 * images).clamp(-1, 1))
    assert augment(images[:0], [], ALL)[0].shape == (0, 3, 32, 32)


def test_each_picture_depends_on_its_own_seed_alone(images: Tensor) -> None:
    state = torch.random.get_rng_state()
    seen, target = augment(images, range(6), ALL)
    assert torch.equal(torch.random.get_rng_state(), state)
    order = [4, 0, 5, 2]
    for together, alone in zip((seen, target), augment(images[order], order, ALL), strict=True):
        assert torch.equal(together[order], alone)
    assert not torch.equal(seen, augment(images, range(1, 7), ALL)[0])
    for changed in (seen, target):
        assert changed.shape == images.shape and float(changed.abs().max()) <= 1


def test_switching_one_change_on_leaves_the_others_alone(images: Tensor) -> None:
    _, target = augment(images, range(6), Augment(mirror=True, rotate=15, translate=0.1))
    _, also = augment(images, range(6), Augment(mirror=True, rotate=15, translate=0.1, blur=2, noise=0.1))
    assert torch.equal(target, also)


def test_mirrored_exactly_every_other_time(images: Tensor) -> None:
    seen, target = augment(images[:1].expand(400, -1, -1, -1), range(400), Augment(mirror=True))
    assert torch.equal(seen, target)
    flipped = [torch.equal(image, images[0].flip(2)) for image in seen]
    assert all(turned or torch.equal(image, images[0]) for turned, image in zip(flipped, seen, strict=True))
    assert 160 < sum(flipped) < 240


def test_a_quarter_turn_and_whole_pixels(images: Tensor) -> None:
    """Where new pixels fall onto old ones, there is nothing to interpolate."""
    turned = module._affine(images[:1], (0, 0), math.pi / 2, 1)
    torch.testing.assert_close(turned, images[:1].rot90(1, (2, 3)), rtol=0, atol=1e-4)  # anticlockwise
    shifted = module._affine(images[:1], (4 / 32, -2 / 32), 0, 1)
    torch.testing.assert_close(shifted[..., :-2, 4:], images[:1, :, 2:, :-4], rtol=0, atol=1e-4)
    torch.testing.assert_close(shifted[..., :-2, :4], images[:1, :, 2:, :4].flip(3), rtol=0, atol=1e-4)  # reflected
    both = module._affine(images[:1], (4 / 32, -2 / 32), math.pi / 2, 1)
    torch.testing.assert_close(both[..., :-2, 4:], turned[..., 2:, :-4], rtol=0, atol=1e-4)


def test_zoom_of_a_straight_ramp() -> None:
    at = (torch.arange(32) + 0.5) / 16 - 1
    ramp = (0.5 * at).expand(1, 3, 32, 32)
    large = module._affine(ramp, (0, 0), 0, 2.0)
    torch.testing.assert_close(large, ramp / 2, rtol=0, atol=2e-3)  # torch's bicubic kernel bends ramps a little
    small = module._affine(ramp, (0, 0), 0, 0.5)
    torch.testing.assert_close(small[..., 10:22], (2 * ramp)[..., 10:22], rtol=0, atol=2e-3)


def test_what_is_spoilt_and_what_is_moved(images: Tensor) -> None:
    for name, value in (("colour", 0.3), ("grey", 1.0), ("blur", 4.0), ("resample", 4.0), ("noise", 0.1)):
        options = Augment(**{name: value})
        assert options.spoils and not options.moves
        seen, target = augment(images, range(6), options)
        assert torch.equal(target, images) and not torch.equal(seen, images), name
        seen, target = augment(images, range(6), Augment(**{name: value}, degrade_target=True))
        assert torch.equal(target, seen)
    for name, value in (("translate", 0.1), ("rotate", 10.0), ("scale", 0.1)):
        options = Augment(**{name: value})
        assert options.moves and not options.spoils
        seen, target = augment(images, range(6), options)
        assert torch.equal(target, seen) and not torch.equal(seen, images), name


def test_grey_pictures(images: Tensor) -> None:
    seen, _ = augment(images, range(6), Augment(grey=1.0))
    assert torch.equal(seen[:, 0], seen[:, 1]) and torch.equal(seen[:, 0], seen[:, 2])
    many, _ = augment(images[:1].expand(400, -1, -1, -1), range(400), Augment(grey=0.25))
    assert 70 < sum(torch.equal(image[0], image[1]) for image in many) < 130


def test_blur_is_gaussian() -> None:
    point = torch.zeros(1, 3, 33, 33)
    point[:, :, 16, 16] = 1
    blurred = module._blurred(point, 2.0)
    torch.testing.assert_close(blurred.sum(dim=(2, 3)), torch.ones(1, 3))
    at = torch.arange(33) - 16.0
    spread = float((blurred[0, 0] * at[:, None] ** 2).sum())
    assert spread == pytest.approx(4.0, rel=0.03)  # less what is cut off at three sigma
    torch.testing.assert_close(module._blurred(torch.full((1, 3, 9, 9), 0.3), 5.0), torch.full((1, 3, 9, 9), 0.3))
    assert torch.equal(module._blurred(point, 0.0), point)


def test_noise_has_the_strength_that_was_asked_for(images: Tensor) -> None:
    zeros = torch.zeros(64, 3, 16, 16)
    seen, _ = augment(zeros, range(64), Augment(noise=0.1))
    strengths = seen.flatten(1).std(dim=1)
    assert 0.08 < float(strengths.max()) < 0.11 and float(strengths.min()) < 0.02
    assert float(strengths.mean()) == pytest.approx(0.05, abs=0.015)


def test_light(images: Tensor) -> None:
    """Greys stay grey under contrast, saturation and hue; turning the hue keeps a picture's lightness."""
    middle = dict.fromkeys(module._DRAWS, 0.5)
    torch.testing.assert_close(module._recoloured(images, middle, 0.8), images)
    grey = images[:, :1].expand(-1, 3, -1, -1)
    for name in ("contrast", "saturation", "hue"):
        changed = module._recoloured(grey, {**middle, name: 0.9}, 0.8)
        torch.testing.assert_close(changed[:, 0], changed[:, 2])
    turned = module._recoloured(images, {**middle, "hue": 0.9}, 0.8)
    torch.testing.assert_close(turned.mean(dim=1), images.mean(dim=1))
    assert float((turned - images).abs().max()) > 0.01
    bright = module._recoloured(images, {**middle, "brightness": 1.0}, 0.3)
    torch.testing.assert_close(bright + 1, (images + 1) * math.exp(0.3))
    warm = module._recoloured(images, {**middle, "temperature": 1.0}, 0.4) + 1
    wanted = (images + 1) * torch.tensor([math.exp(0.1), 1.0, math.exp(-0.1)])[:, None, None]
    torch.testing.assert_close(warm, wanted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("translate", 0.6), ("rotate", -1.0), ("scale", 1.5), ("colour", 2.0), ("grey", 1.1), ("blur", -1.0)),
        *(("noise", math.inf), ("resample", 0.5), ("resample", math.nan), ("colour", math.nan)),
    ],
)
def test_refusals(name: str, value: float) -> None:
    with pytest.raises(ParamsError, match=name):
        Augment(**{name: value})


def test_shapes(images: Tensor) -> None:
    with pytest.raises(ShapeError, match="one for each of 6"):
        augment(images, range(5), ALL)
    for wrong in (images[:, :1], images[..., :16]):
        with pytest.raises(ShapeError, match="images"):
            augment(wrong, range(6), ALL)
