"""What params.yaml names by a file: photographs of the run, their crops, and masks."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from ganvert import tables
from ganvert.base.errors import InputError
from ganvert.images import from_png
from ganvert.inversion.inputs import is_region, masks_of

__all__ = ["ALIGNED", "INPUTS", "crops_of", "find_images", "mask_of"]

ALIGNED = Path("data/aligned.parquet")
INPUTS = Path("data/inputs")
ASSETS = Path("data/assets")


def find_images(names: Sequence[str]) -> list[str]:
    """Return the image ids of photographs of the run.

    Args:
        names: image ids, paths of photographs as the table `aligned` has them (`set.zip!x/a.jpg` for one of an
            archive), or file names alone.

    Raises:
        InputError: no aligned photograph has the name, or several faces have it.
    """
    if not names:
        return []
    ids: dict[str, list[str]] = {}  # every name to the images that it may mean
    for row in tables.rows(ALIGNED, tables.ALIGNED, ["image_id", "path"], 4096):
        path = row["path"]
        for name in {row["image_id"], path, Path(path).name, Path(path.rpartition("!")[2]).name}:
            ids.setdefault(name, []).append(row["image_id"])
    for name in names:
        if name not in ids:
            close = difflib.get_close_matches(name, ids, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise InputError(f"{ALIGNED}: wanted a photograph of the run, there is no {name!r}.{hint}")
        if len(ids[name]) > 1:
            raise InputError(
                f"{ALIGNED}: {name!r} may be any of {len(ids[name])} faces; give the image id: {', '.join(ids[name])}"
            )
    return [ids[name][0] for name in names]


def crops_of(image_ids: Sequence[str]) -> list[Image.Image]:
    """Return the aligned crops of images, in their order; TableError for an image without one."""
    if not image_ids:
        return []
    with tables.Lookup(ALIGNED, tables.ALIGNED, "image_id", ["crop"]) as faces:
        return [from_png(faces[image_id]["crop"]) for image_id in image_ids]


def mask_of(name: str, image_id: str, resolution: int) -> Tensor:
    """Return a mask [1, 1, resolution, resolution]: white is 1, black 0.

    Args:
        name: a picture in the folder of inputs for all images, a folder there that holds IMAGE_ID.png for each, or a
            region of the face on the image.
        image_id: the image whose mask it is; empty for a mask that belongs to none.
        resolution: side of the picture.

    Raises:
        InputError: there is no such picture, it has another size, or a region is named without an image.
        NoRegionError: the image does not show the region.
    """
    if is_region(name) and not image_id:
        raise InputError(f"masks: {name!r} is a region of each face, and here no face is looked at; give a picture")
    picture = crops_of([image_id])[0] if is_region(name) else Image.new("RGB", (1, 1))
    sized = picture.resize((resolution, resolution), Image.Resampling.BILINEAR)
    return masks_of(name, [sized], [image_id], INPUTS, ASSETS)
