"""Random changes of training images: moved ones teach alignment, spoilt ones what photographs look like."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import ParamsError, ShapeError
from ganvert.base.seeds import item_seed
from ganvert.compute.random import normal
from ganvert.generators.base import check_shape
from ganvert.images import area_resize, as_drawn

__all__ = ["Augment", "augment"]

#: Every change has random numbers of its own, so that switching one on or off leaves the others as they are.
_DRAWS = (
    "mirror",
    *("shift_x", "shift_y", "turn", "zoom"),
    *("brightness", "contrast", "saturation", "temperature", "hue"),
    *("grey", "blur", "resample", "noise"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment:
    """params.yaml: data.augment. Zero (or false) is off; the default changes nothing.

    The first four move both the image that the encoder sees and the one that its reconstruction is compared with. The
    others spoil only what it sees, so that it learns to reconstruct the clean image.

    Attributes:
        mirror: mirror each image with probability one half.
        translate: largest shift along each axis, as a fraction of the side; the border is reflected.
        rotate: largest angle, degrees either way.
        scale: a side grows or shrinks by up to this fraction: 0.25 is 0.8 to 1.25 times.
        colour: strength s of changed light: brightness, contrast and saturation by factors of e^-s to e^s, a quarter of
            that between red and blue, and hue by up to s / 4 radians. At most 1; 0.3 is a bad camera.
        grey: fraction of images that lose their colour.
        blur: largest standard deviation of a Gaussian, in px of an image of 256 px.
        resample: largest factor by which an image is shrunk and enlarged again; 0, or from 1 on.
        noise: largest standard deviation of white noise, on the scale of [-1, 1].
        degrade_target: spoil the target in the same way: the encoder then reconstructs what it sees.
    """

    mirror: bool = False
    translate: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    colour: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    resample: float = 0.0
    noise: float = 0.0
    degrade_target: bool = False

    def __post_init__(self) -> None:
        # Shifts of half a side and turns of 180 degrees reach everything; a colour of 1 is e = 2.7 times the light.
        for name, most in (("translate", 0.5), ("rotate", 180.0), ("scale", 1.0), ("colour", 1.0), ("grey", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ParamsError(f"{name} must be from 0 to {most:g}, got {getattr(self, name)}")
        for name in ("blur", "noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ParamsError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.resample != 0 and not 1 <= self.resample < math.inf:
            raise ParamsError(f"resample is a factor from 1 on, or 0 for none; got {self.resample}")

    @property
    def moves(self) -> bool:
        """Whether images are moved: the code that a sample was drawn from then no longer belongs to it."""
        return self.mirror or max(self.translate, self.rotate, self.scale) > 0

    @property
    def spoils(self) -> bool:
        """Whether the encoder sees a worse image than the photograph."""
        return max(self.colour, self.grey, self.blur, self.noise) > 0 or self.resample > 1


@torch.no_grad()
def augment(images: Tensor, seeds: Sequence[int], options: Augment) -> tuple[Tensor, Tensor]:
    """Change images at random.

    Args:
        images: [N, 3, p, p], RGB about [-1, 1].
        seeds: one per image, N of them; pass another one each time the same image is used.
        options: which changes, and how strong.

    Returns:
        The encoder's inputs and the targets of its reconstructions, [N, 3, p, p] each, in [-1, 1]. Those of image i
        depend on ``images[i]`` and ``seeds[i]`` alone, to the bit.

    Raises:
        ShapeError: images of another shape, or not one seed for each.
    """
    check_shape(images, (None, 3, images.shape[-1], images.shape[-1]), "images")
    if len(images) != len(seeds):
        raise ShapeError(f"seeds: wanted one for each of {len(images)} images, got {len(seeds)}")
    clamped = images.clamp(-1, 1)
    if not (options.moves or options.spoils) or not len(seeds):
        return clamped, clamped
    seen, targets = [], []
    # One by one: convolutions may sum in another order in batches of another size.
    for image, seed in zip(clamped.split(1), seeds, strict=True):
        draw = _draws(seed)
        moved = _moved(image, draw, options)
        spoilt = _spoilt(moved, draw, seed, options)
        seen.append(spoilt)
        targets.append(spoilt if options.degrade_target else moved)
    return torch.cat(seen), torch.cat(targets)


def _draws(seed: int) -> dict[str, float]:
    """Return one number in [0, 1) for every name, the same on every machine."""
    source = torch.Generator("cpu").manual_seed(item_seed("augment", seed))
    return dict(zip(_DRAWS, torch.rand(len(_DRAWS), generator=source, dtype=torch.float64).tolist(), strict=True))


def _either_way(number: float) -> float:
    """Map [0, 1) to [-1, 1)."""
    return 2 * number - 1


def _moved(image: Tensor, draw: dict[str, float], options: Augment) -> Tensor:
    if options.mirror and draw["mirror"] < 0.5:
        image = image.flip(3)
    if max(options.translate, options.rotate, options.scale) == 0:
        return image  # resampling would blur it
    shift = options.translate * _either_way(draw["shift_x"]), options.translate * _either_way(draw["shift_y"])
    angle = math.radians(options.rotate) * _either_way(draw["turn"])
    # A power, not a sum: as many images shrink by a factor as grow by it.
    return _affine(image, shift, angle, (1 + options.scale) ** _either_way(draw["zoom"]))


def _affine(image: Tensor, shift: tuple[float, float], angle: float, zoom: float) -> Tensor:
    """Rotate anticlockwise and enlarge about the centre, then shift right and down.

    Args:
        image: [1, 3, p, p] in [-1, 1].
        shift: along x and y, fractions of the side.
        angle: radians.
        zoom: factor on lengths.

    Returns:
        [1, 3, p, p] in [-1, 1], sampled bicubically.
    """
    # grid_sample takes the inverse map, from new to old positions, on axes from -1 to 1 with y downwards.
    c, s = math.cos(angle) / zoom, math.sin(angle) / zoom
    # The axes are 2 long, so a fraction of the side counts twice. Rows of `back`: rotation @ (new - shift) / zoom.
    x, y = 2 * shift[0], 2 * shift[1]
    back = [[c, -s, s * y - c * x], [s, c, -s * x - c * y]]
    # Pixels are areas (corners not aligned), and reflected: black borders would give the shift away.
    grid = F.affine_grid(image.new_tensor([back]), list(image.shape), align_corners=False)
    moved = F.grid_sample(image, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return moved.clamp(-1, 1)  # bicubic interpolation overshoots at edges


def _spoilt(image: Tensor, draw: dict[str, float], seed: int, options: Augment) -> Tensor:
    """Spoil an image in the order in which it happens to a photograph: light, lens, size, sensor."""
    px = image.shape[-1]
    if options.colour:
        image = _recoloured(image, draw, options.colour)
    if draw["grey"] < options.grey:
        image = as_drawn(image, 1, px)
    if options.blur:
        # In px of a 256 px image, so that the same options look the same at any size.
        image = _blurred(image, draw["blur"] * options.blur * px / 256)
    if options.resample:
        # The factor is log-uniform from 1 to `resample`.
        image = area_resize(area_resize(image, max(round(px * options.resample ** -draw["resample"]), 1)), px)
    if options.noise:
        noise = normal([item_seed("augment", seed, "noise")], image.shape[1:]).to(image)
        image = image + draw["noise"] * options.noise * noise
    return image.clamp(-1, 1)


def _recoloured(image: Tensor, draw: dict[str, float], strength: float) -> Tensor:
    """Change the light of an image [1, 3, p, p]; see :class:`Augment`."""

    def amount(name: str) -> float:
        return strength * _either_way(draw[name])

    light = (image + 1) / 2
    warm = amount("temperature") / 4
    # Light multiplies: factors e^a and e^-a undo each other. Warm is more red and less blue.
    light = light * light.new_tensor([warm, 0.0, -warm]).add(amount("brightness")).exp()[None, :, None, None]
    light = _about(light.mean(), light, math.exp(amount("contrast")))
    light = _about(light.mean(dim=1, keepdim=True), light, math.exp(amount("saturation")))
    # About the axis of greys, which keeps greys grey and the sum of the channels.
    turned = torch.einsum("ij,njhw->nihw", _hue_turn(amount("hue") / 4).to(light), light)
    return turned * 2 - 1


def _about(centre: Tensor, values: Tensor, factor: float) -> Tensor:
    return centre + factor * (values - centre)


def _hue_turn(angle: float) -> Tensor:
    """Return the rotation [3, 3] of RGB about the axis of greys (Rodrigues' formula)."""
    c, s, third = math.cos(angle), math.sin(angle) / math.sqrt(3), (1 - math.cos(angle)) / 3
    return torch.tensor(
        [[c + third, third - s, third + s], [third + s, c + third, third - s], [third - s, third + s, c + third]]
    )


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """Blur [1, 3, p, p] by a Gaussian, reflected at the border; the kernel ends at three standard deviations."""
    # Reflection needs a border narrower than the image.
    radius = min(math.ceil(3 * sigma), image.shape[-1] - 1)
    if radius < 1:
        return image
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    weights = (kernel / kernel.sum()).to(image).expand(3, 1, 1, -1)
    wide = F.pad(image, (radius, radius, radius, radius), mode="reflect")
    # A Gaussian is separable: rows, then columns.
    return F.conv2d(F.conv2d(wide, weights, groups=3), weights.transpose(2, 3), groups=3)
