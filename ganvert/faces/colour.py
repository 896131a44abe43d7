"""Colours of a photograph as sRGB, by the ICC profile that the file brings."""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageCms

__all__ = ["to_srgb"]

# The modes that a profile of each colour space is for.
_MODES = {"RGB": ("RGB",), "GRAY": ("L",), "CMYK": ("CMYK",)}
_IDENTITY = 1  # grey levels; a profile that moves no colour by more is sRGB itself, rounded


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert a picture to sRGB.

    Without a profile RGB and grey are taken for sRGB, and CMYK is converted as Pillow does. A profile that is broken or
    made for another kind of picture is ignored. Profiles are applied with perceptual intent and black point
    compensation, as image editors do.

    Args:
        image: of any mode without transparency and of 8 bits a channel.
        profile: the file's ICC profile.

    Returns:
        RGB, or L for a grey picture.
    """
    grey = image.mode in ("1", "L")
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "CMYK", "LAB"):
        image = image.convert("RGB")
    converted = _by_profile(image, profile) or image
    if converted.mode == "LAB":
        lab = ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")
        converted = _applied(lab, converted)
    return converted.convert("L" if grey else "RGB")


def _by_profile(image: Image.Image, profile: bytes | None) -> Image.Image | None:
    """Return the picture as the profile says; None where there is nothing to do or no way to do it."""
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space == "RGB" and image.mode == "L":  # its three channels are equal
            image = image.convert("RGB")
        if image.mode not in _MODES.get(space, ()):
            return None
        transform = ImageCms.buildTransform(
            source,
            _srgb(),
            image.mode,
            "RGB",
            ImageCms.Intent.PERCEPTUAL,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if image.mode == "L":  # 256 values: exactly, where lcms would interpolate
            exact = ImageCms.buildTransform(source, _srgb(), "L", "RGB", flags=ImageCms.Flags.NOOPTIMIZE)
            return image.point(
                list(_applied(exact, Image.fromarray(np.arange(256, dtype=np.uint8)[None])).convert("L").tobytes())
            )
        # Most profiles are sRGB's own: the pixels then stay as they are, bit for bit.
        if image.mode == "RGB" and _difference(_applied(transform, _lattice())) <= _IDENTITY:
            return None
        return _applied(transform, image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # a broken profile
        return None


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is None for a conversion in place only
    return converted


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.cache
def _lattice() -> Image.Image:
    """Return a picture of colours all over the cube."""
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    return Image.fromarray(cube.reshape(len(steps) ** 2, len(steps), 3))


def _difference(converted: Image.Image) -> int:
    """Return the largest distance, in grey levels of a channel, of the lattice from what became of it."""
    return int(np.abs(np.asarray(converted, dtype=int) - np.asarray(_lattice(), dtype=int)).max())
