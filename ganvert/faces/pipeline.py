"""From photo files to rows of the tables `photos` and `aligned`; a bad photo never stops the others."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ganvert.base.errors import NoFaceError, ParamsError, PhotoError
from ganvert.base.registry import lookup
from ganvert.compute.progress import progress
from ganvert.faces.align import RECIPES, align
from ganvert.faces.decode import TooLargeError
from ganvert.faces.detect import FaceDetector
from ganvert.faces.listing import read_regular
from ganvert.faces.photo import Photo, open_photo
from ganvert.images import to_png

__all__ = ["AlignOptions", "align_photo", "align_photos", "photo_row"]

log = logging.getLogger(__name__)
Row = dict[str, Any]
# By degrees that turn it upright, clockwise.
_LIES = {
    90: "lies on its left side",
    180: "stands on its head",
    270: "lies on its right side",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """Options of the alignment."""

    recipe: str = "ffhq"  # a name in RECIPES
    resolution: int | None = 1024  # side of the crops [px]; None: the generator's, filled in by the caller
    faces: Literal["largest", "all"] = "largest"
    upsample: int = 1  # how many times a photo is enlarged 2x in the detector's first step
    max_pixels: int = 100_000_000  # larger photos become rows with status too_large

    def __post_init__(self) -> None:
        lookup(RECIPES, self.recipe, "alignment recipe")
        if self.resolution is not None and self.resolution < 1:
            raise ParamsError(f"resolution: wanted 1 or more pixels, got {self.resolution}")
        if not 0 <= self.upsample <= 3:
            raise ParamsError(f"upsample: wanted 0 to 3, got {self.upsample}")
        if self.max_pixels < 1:
            raise ParamsError(f"max_pixels: wanted 1 or more, got {self.max_pixels}")


def align_photos(
    paths: Sequence[Path], root: Path, options: AlignOptions, detector: FaceDetector | None
) -> tuple[list[Row], list[Row]]:
    """Open photos, find faces and cut aligned crops.

    Args:
        paths: photo files; of files with equal bytes only the first is kept, the others are logged.
        root: stored paths below it are relative to it.
        options: see :class:`AlignOptions`.
        detector: finds the faces; may be None for recipes that need none.

    Returns:
        Rows of `ganvert.tables.PHOTOS`, one per kept file, and of `ganvert.tables.ALIGNED`, one per crop, both in the
        order of `paths`.

    Raises:
        ParamsError: no resolution, or no detector for a recipe that needs one.
    """
    photos: dict[str, Row] = {}
    crops: list[Row] = []
    _check(options, detector)
    for path in progress(paths, len(paths), "align"):
        name = _relative(path, root)
        try:
            data = read_regular(path)
        except (OSError, PhotoError) as error:  # without bytes to hash, the path identifies the row
            shown = str(path).encode(errors="backslashreplace")  # a name need not be UTF-8
            photo_id = hashlib.sha256(b"unreadable:" + shown).hexdigest()
            reason = f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}"
            photos[photo_id] = photo_row(photo_id, name, PhotoError.status, reason)
            log.warning("%s", photos[photo_id]["reason"])
            continue
        photo_id = hashlib.sha256(data).hexdigest()
        if photo_id in photos:
            log.info("%s: same bytes as %s, left out", name, photos[photo_id]["path"])
            continue
        photos[photo_id], rows = align_photo(data, name, options, detector)
        crops += rows
    return list(photos.values()), crops


def align_photo(data: bytes, path: str, options: AlignOptions, detector: FaceDetector | None) -> tuple[Row, list[Row]]:
    """Return a photo's row of `photos` and its rows of `aligned`; an error becomes the row's status and reason.

    Faces of a photograph that lies on its side or stands on its head are cut upright, and the reason says so; the row's
    status stays ok, and width, height, quads and landmarks are those of the photograph as it is.

    Args:
        data: the file's bytes.
        path: what rows and error messages call it.
        options: see :class:`AlignOptions`.
        detector: finds the faces; may be None for recipes that need none.

    Raises:
        ParamsError: no resolution, or no detector for a recipe that needs one.
    """
    _check(options, detector)
    row = photo_row(hashlib.sha256(data).hexdigest(), path)
    try:
        photo = open_photo(data, options.max_pixels, path)
        row |= {"width": photo.size[0], "height": photo.size[1]}
        row |= {"exif_orientation": photo.exif_orientation, "mode": photo.mode}
        return row, _crops(photo, row, options, detector)
    except (PhotoError, MemoryError) as error:
        failure = error if isinstance(error, PhotoError) else TooLargeError(f"{path}: needs more memory than there is")
        log.warning("%s", failure)
        return row | {"status": failure.status, "reason": str(failure)}, []


def photo_row(photo_id: str, path: str, status: str = "ok", reason: str = "") -> Row:
    """Return a row of `photos` in which all that depends on the decoded photo is null."""
    unknown = dict.fromkeys(("width", "height", "exif_orientation", "mode", "faces", "detector"))
    return {"photo_id": photo_id, "path": path, "status": status, "reason": reason, **unknown}


def _check(options: AlignOptions, detector: FaceDetector | None) -> None:
    if options.resolution is None:
        raise ParamsError("resolution: null means the generator's own; wanted a number here")
    if detector is None and RECIPES[options.recipe].needs_face:
        raise ParamsError(f"recipe {options.recipe!r} aligns faces: it needs a face detector")


def _crops(photo: Photo, row: Row, options: AlignOptions, detector: FaceDetector | None) -> list[Row]:
    """Return the rows of one photo's crops, and write the number of faces into `row`."""
    faces: list[np.ndarray | None] = [None]  # a recipe without landmarks makes one crop
    assert options.resolution is not None
    if RECIPES[options.recipe].needs_face:
        assert detector is not None
        found = detector.detect_turned(photo.image, options.upsample)
        faces = list(found.faces)
        if found.degrees:
            row["reason"] = f"{row['path']}: {_LIES[found.degrees]}; its faces were cut upright"
            log.warning("%s", row["reason"])
        row |= {"faces": len(faces), "detector": found.detector}
        if not faces:
            raise NoFaceError(f"{row['path']}: no face found; wanted one of about 40 px or more")
    chosen = faces[:1] if options.faces == "largest" else faces
    rows, missed = [], []
    for face, landmarks in enumerate(chosen):
        try:
            aligned = align(photo.image, landmarks, options.resolution, options.recipe)
        except PhotoError as error:  # the other faces may be whole
            missed.append(f"{row['path']}: face {face}: {error}")
            continue
        rows.append(
            {
                "image_id": f"{photo.photo_id[:16]}-{face}",
                "photo_id": photo.photo_id,
                "path": row["path"],
                "face": face,
                "recipe": options.recipe,
                "resolution": options.resolution,
                "quad": aligned.quad,
                "landmarks": landmarks,
                "crop": to_png(aligned.crop),
            }
        )
    if missed:
        reason = "; ".join(missed)
        if not rows:
            raise PhotoError(reason)
        log.warning("%s", reason)
        row["reason"] = "; ".join(filter(None, [row["reason"], reason]))
    return rows


def _relative(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return name.encode(errors="backslashreplace").decode()  # tables hold Unicode, which a name need not be
