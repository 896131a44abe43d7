"""Masks and second pictures: files in the folder of inputs, one for all images or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ganvert.base.errors import InputError, ParamsError, PhotoError
from ganvert.faces.photo import open_photo

__all__ = ["check_input_name", "input_files", "open_inputs"]


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
    if folder is None or not folder.is_dir():
        where = "no folder of inputs was given" if folder is None else f"there is no folder {folder}"
        raise InputError(f"the objective names {name!r}, but {where}; make one that holds it")
    path = folder / name
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: there is neither such a picture nor a folder of pictures named IMAGE_ID.png")
    if not image_ids:
        raise InputError(f"{path}: is a folder of pictures named IMAGE_ID.png, but the images have no ids")
    files = [path / f"{image_id}.png" for image_id in image_ids]
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: there is no such picture; wanted one for every image")
    return files


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
