"""Masks and second pictures: files in the folder of inputs, one for all images or one for each; masks also by region.

A mask whose name is that of a region, such as ``hair``, is what face parsing finds on each image; ``./hair`` is a
folder of that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganvert.base.errors import InputError, NoRegionError, ParamsError, PhotoError
from ganvert.faces.parsing import REGIONS, load_parser, region_mask
from ganvert.faces.photo import open_photo
from ganvert.images import from_pil

__all__ = ["check_input_name", "check_inputs", "input_files", "is_region", "masks_of", "open_inputs"]


def is_region(name: str) -> bool:
    """Return whether a mask of this name is a region of each face, rather than a file."""
    return name in REGIONS


def check_inputs(names: Sequence[str], folder: Path | None) -> None:
    """Raise InputError for a name that is neither a region nor in the folder of inputs, before any work."""
    for name in names:
        if not is_region(name):
            _place(folder, name)


def masks_of(
    name: str, pictures: Sequence[Image.Image], image_ids: Sequence[str], folder: Path | None, assets: Path | None
) -> Tensor:
    """Return how much each pixel counts, float32 [1 or N, 1, px, px] in [0, 1].

    Args:
        name: a region of faces, or a mask in the folder of inputs: white is 1, black 0.
        pictures: aligned crops of one size.
        image_ids: their ids, or none.
        folder: of inputs.
        assets: folder of the assets; None for the default one.

    Raises:
        InputError: there is no such file, or it does not fit.
        NoRegionError: a picture does not show the region.
        AssetError: the parsing network has not been fetched.
    """
    px = pictures[0].width
    if not is_region(name):
        files = open_inputs(input_files(folder, name, image_ids), px)
        return from_pil([mask.convert("L") for mask in files])[:, :1].add(1).div(2)
    parser, masks = load_parser(assets), []
    for i, picture in enumerate(pictures):
        try:
            masks.append(region_mask(picture, name, px, parser))
        except NoRegionError as error:
            raise NoRegionError(f"{image_ids[i] if image_ids else f'image {i}'}: {error}") from error
    return torch.from_numpy(np.stack(masks))[:, None]


def check_input_name(name: str, field: str) -> None:
    """Raise ParamsError unless `name` stays inside the folder of inputs."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ParamsError(f"{field}: wanted the name of a file or folder inside the folder of inputs, got {name!r}")


def input_files(folder: Path | None, name: str, image_ids: Sequence[str]) -> list[Path]:
    """Find the masks or pictures of a name.

    Args:
        folder: the folder of inputs; None where none was given.
        name: a picture for all images, or a folder that holds IMAGE_ID.png for each.
        image_ids: the images.

    Returns:
        One path for all images, or one per image in the order of `image_ids`.

    Raises:
        InputError: there is no folder of inputs, a file is missing, or the images of a folder of pictures have no ids.
    """
    path = _place(folder, name)
    if path.is_file():
        return [path]
    if not image_ids:
        raise InputError(f"{path}: is a folder of pictures named IMAGE_ID.png, but the images have no ids")
    files = [path / f"{image_id}.png" for image_id in image_ids]
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: there is no such picture; wanted one for every image")
    return files


def _place(folder: Path | None, name: str) -> Path:
    """Return the file or folder of a name; InputError if there is none."""
    # A bare word was probably meant as a region.
    regions = "" if Path(name).suffix else f"; regions of faces are {', '.join(REGIONS)}"
    if folder is None or not folder.is_dir():
        where = "no folder of inputs was given" if folder is None else f"there is no folder {folder}"
        raise InputError(f"the objective names {name!r}, but {where}; make one that holds it{regions}")
    path = folder / name
    if not path.exists():
        raise InputError(
            f"{path}: there is neither such a picture nor a folder of pictures named IMAGE_ID.png{regions}"
        )
    return path


def open_inputs(files: Sequence[Path], size: int) -> list[Image.Image]:
    """Read RGB pictures, which must have `size` x `size` px and no alpha channel.

    Raises:
        InputError: a file is not such a picture.
    """
    return [_open(file, size) for file in files]


def _open(file: Path, size: int) -> Image.Image:
    try:
        photo = open_photo(file)
    except PhotoError as error:
        raise InputError(str(error)) from error
    if photo.size != (size, size):
        width, height = photo.size
        raise InputError(f"{file}: wanted {size} x {size} px, the size of the generator, got {width} x {height}")
    if photo.original.has_transparency_data:  # white or black behind it would be a guess
        raise InputError(f"{file}: wanted a picture without transparency; save it without an alpha channel")
    return photo.image
