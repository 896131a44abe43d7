"""Which part of a face every pixel of an aligned crop belongs to, and regions made of these parts.

The network is BiSeNet on ResNet-18, trained on CelebAMask-HQ (Lee et al. 2020, arXiv 1907.11922): 19 classes at 512 px.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ganvert import assets
from ganvert.base.errors import AssetError, CheckpointError, NoRegionError
from ganvert.base.registry import lookup
from ganvert.checkpoints.weights import read_weights
from ganvert.faces.remembered import Remembered
from ganvert.networks.bisenet import BiSeNet
from ganvert.networks.blank import Blank

__all__ = [
    "CLASSES",
    "MERGED",
    "PARSER_FILE",
    "PARSER_PX",
    "REGIONS",
    "FaceParser",
    "find_region",
    "find_segments",
    "has_face",
    "load_parser",
    "normalised",
    "region_mask",
]

PARSER_FILE = "bisenet.safetensors"
PARSER_PX = 512  # side of the images that the network was trained on
#: Classes in the order of the network's outputs. Which eye, brow or ear is the left one it does not know reliably.
CLASSES = (
    "background",
    "skin",
    "l_brow",
    "r_brow",
    "l_eye",
    "r_eye",
    "glasses",
    "l_ear",
    "r_ear",
    "earring",
    "nose",
    "mouth",
    "u_lip",
    "l_lip",
    "neck",
    "necklace",
    "cloth",
    "hair",
    "hat",
)
_FACE = ("skin", "l_brow", "r_brow", "l_eye", "r_eye", "glasses", "nose", "mouth", "u_lip", "l_lip")
#: name of a region -> the classes that it is made of
REGIONS: dict[str, tuple[str, ...]] = {
    "background": ("background",),
    "brows": ("l_brow", "r_brow"),
    "cloth": ("cloth",),
    "ears": ("l_ear", "r_ear", "earring"),
    "eyes": ("l_eye", "r_eye"),
    "face": _FACE,
    "glasses": ("glasses",),
    "hair": ("hair",),
    "hat": ("hat",),
    "head": (*_FACE, "l_ear", "r_ear", "earring", "hair", "hat"),
    "lips": ("u_lip", "l_lip"),
    "mouth": ("mouth", "u_lip", "l_lip"),
    "neck": ("neck", "necklace"),
    "nose": ("nose",),
    "person": CLASSES[1:],
    "skin": ("skin", "nose", "l_ear", "r_ear", "neck"),
}
#: Classes that are one segment together: what the generator draws as one thing. SAM (Parmar et al. 2022) merges these;
#: each of the others is a segment of its own.
MERGED = (*(name for name in _FACE if name != "glasses"), "l_ear", "r_ear", "neck")
LEAST = 1e-4  # share of the crop; a single eye has about 1e-3
LEAST_FACE = 0.03  # share of the crop; an aligned face has about 0.3
_REMEMBERED = 64  # images whose labels are cached, a quarter of a megabyte each
# ImageNet's mean and standard deviation of RGB in [0, 1], which the trunk was trained with.
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


class FaceParser:
    """Labels the pixels of aligned crops, each crop independently of all others; runs on the CPU.

    Args:
        folder: of the asset files; None for the default one.

    Raises:
        AssetError: the network's file is missing or damaged.
    """

    def __init__(self, folder: Path | None) -> None:
        path = assets.path(PARSER_FILE, folder)
        with Blank():
            self.network = BiSeNet(len(CLASSES)).eval().requires_grad_(False)
        try:
            # Batch norms count the batches that they were trained on, which a frozen network has no use for.
            counters = {name: value for name, value in self.network.state_dict().items() if not value.ndim}
            self.network.load_state_dict(read_weights(path)[0] | counters)
        except (CheckpointError, RuntimeError) as error:
            raise AssetError(f"{path}: not the face parsing network ({error}); delete it and fetch again") from error
        self._seen = Remembered[np.ndarray](_REMEMBERED)

    def labels(self, image: Image.Image) -> np.ndarray:
        """Return the class of every pixel, uint8 [512, 512], as an index into :data:`CLASSES`.

        Args:
            image: RGB, cut by recipe ``ffhq`` or framed alike, of any square size.
        """
        image = image.convert("RGB")
        if image.size != (PARSER_PX, PARSER_PX):
            image = image.resize((PARSER_PX, PARSER_PX), Image.Resampling.BILINEAR)
        # One photograph has its mask taken for several terms of an objective, and at several sizes.
        return self._seen.get(hashlib.sha256(image.tobytes()).digest(), lambda: self._parse(np.asarray(image)))

    @torch.no_grad()
    def _parse(self, pixels: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float().div(255)
        with torch.autocast("cpu", enabled=False):
            logits = self.network(normalised(x))
            # Corners stay on corners, as in training: the classes' borders come from between the 64 x 64 logits.
            large = F.interpolate(logits, size=(PARSER_PX, PARSER_PX), mode="bilinear", align_corners=True)
        return large[0].argmax(dim=0).to(torch.uint8).numpy()


def normalised(images: Tensor) -> Tensor:
    """Return images [N, 3, h, w] in [0, 1] as the trunk knows them: less ImageNet's mean, over its deviation."""
    return (images - _MEAN.to(images)) / _STD.to(images)


@functools.lru_cache(maxsize=1)
def load_parser(folder: Path | None) -> FaceParser:
    """Return the parser of an asset folder, kept in memory between calls; see :class:`FaceParser`."""
    return FaceParser(folder)


def find_region(labels: np.ndarray, name: str) -> np.ndarray:
    """Return where a region is, bool of the labels' shape; False everywhere if the face does not have it.

    Args:
        labels: indices into :data:`CLASSES`.
        name: of :data:`REGIONS`.

    Raises:
        UnknownNameError: there is no region of that name.
    """
    classes = lookup(REGIONS, name, "region of a face")
    return np.isin(labels, [CLASSES.index(label) for label in classes])


def find_segments(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the segments of a picture, name to bool of the labels' shape; every pixel belongs to one of them.

    The face is one segment (:data:`MERGED`), every other class that occurs another. A picture without a face is one.

    Args:
        labels: indices into :data:`CLASSES`.
    """
    if not has_face(labels):
        return {"picture": np.ones_like(labels, dtype=bool)}
    merged = [CLASSES.index(name) for name in MERGED]
    segments = {"face": np.isin(labels, merged)}
    for number in np.unique(labels).tolist():
        if number not in merged:
            segments[CLASSES[number]] = labels == number
    return segments


def has_face(labels: np.ndarray) -> bool:
    """Return whether the labels show a face of a size that an aligned crop has."""
    return float(find_region(labels, "face").mean()) >= LEAST_FACE


def region_mask(image: Image.Image, name: str, px: int, parser: FaceParser) -> np.ndarray:
    """Return a region of an aligned crop as weights, float32 [px, px] in [0, 1], soft over a pixel at its border.

    Raises:
        UnknownNameError: there is no region of that name.
        NoRegionError: the picture does not show it.
    """
    region = find_region(parser.labels(image), name)
    if region.mean() < LEAST:
        raise NoRegionError(f"mask {name!r}: the picture shows none of it ({', '.join(REGIONS[name])})")
    binary = Image.fromarray(region.astype(np.uint8) * 255)
    return np.asarray(binary.resize((px, px), Image.Resampling.BILINEAR), dtype=np.float32) / 255
