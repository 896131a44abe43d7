"""What the editing commands edit: photographs, which are inverted, or codes that were found before."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvert.base.errors import InputError, NoRegionError, ParamsError
from ganvert.cli.common import assets_folder, encoders_of, load, read_method, speed_of
from ganvert.cli.options import InversionOptions

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from ganvert.codes import Code
    from ganvert.editing.contract import Edit
    from ganvert.editing.fit import Fit
    from ganvert.editing.paste import PasteOptions
    from ganvert.inversion.contract import Context
    from ganvert.inversion.inverter import Preset
    from ganvert.inversion.run import Crop
    from ganvert.scoring.metrics import NamedMetric

__all__ = ["Source", "Sources", "calls", "chosen", "codes_of", "crops_of", "mask_of"]

log = logging.getLogger(__name__)
_NAMED = 5  # images of a table in messages


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """One image to edit.

    Attributes:
        name: for files, unlike that of any other image of the run.
        code: of the image.
        face: its row of the table `aligned`; None where only the code is known.
    """

    name: str
    code: Code
    face: Mapping[str, Any] | None = None

    @property
    def crop(self) -> Image.Image | None:
        """The aligned crop; None where only the code is known."""
        from ganvert.images import from_png

        return None if self.face is None else from_png(self.face["crop"])

    @functools.cached_property
    def picture(self) -> Image.Image:
        """The crop, or where only the code is known what it draws."""
        from ganvert.images import to_pil

        return self.crop or to_pil(self.code.draw())[0]

    def mask(self, name: str, inputs: Path) -> Tensor:
        """Return a region of the face, or a mask in the folder of inputs [1, 1, resolution, resolution].

        Raises:
            NoRegionError, InputError: the image does not show the region; there is no such mask, or of another size.
        """
        from PIL import Image

        size = (self.code.space.generator.resolution,) * 2
        return mask_of(name, self.picture.resize(size, Image.Resampling.BILINEAR), self.code, self.name, inputs)

    def pasted(self, picture: Image.Image, reconstruction: Image.Image, options: PasteOptions) -> Image.Image:
        """Return the photograph with an edited picture of its face in it."""
        import numpy as np

        from ganvert.editing.paste import paste_edit
        from ganvert.faces import open_photo

        assert self.face is not None
        quad, photo = np.array(self.face["quad"]).reshape(4, 2), open_photo(Path(self.face["path"]))
        return paste_edit(photo, picture, reconstruction, quad, options, assets_folder()).image

    def close(self, photo: Image.Image, px: int) -> Image.Image:
        """Return the face in the photograph that :meth:`pasted` returns, cut where the crop was, `px` a side."""
        import numpy as np

        from ganvert.faces.align import cut_quad

        assert self.face is not None
        return cut_quad(photo, np.array(self.face["quad"]).reshape(4, 2), px)

    def fit(self, reconstruction: Image.Image, identity: NamedMetric | None) -> Fit:
        """Return how well the code draws the photographed face; identity only with the metric for it."""
        from ganvert.editing.fit import Fit, seam_error
        from ganvert.editing.paste import PasteOptions
        from ganvert.images import from_pil

        crop = self.crop
        assert crop is not None
        distance = math.nan if identity is None else float(identity(from_pil([reconstruction]), from_pil([crop]))[0])
        seam = seam_error(crop, reconstruction, PasteOptions().feather)
        return Fit(seam, distance if math.isfinite(distance) else None)


class Sources:
    """Images to edit, one after the other: each is inverted, or read from a table, when its turn comes.

    Args:
        photos: photographs and folders; with `codes` those whose codes are in the table, none for all of its images.
        codes: a table of codes, so that nothing is inverted.
        images: ids or names of some images of the table.
        options: how photographs are cropped and inverted.

    Raises:
        ParamsError: neither photographs nor codes, or images without codes.
        InputError: a photograph or image is not there.
    """

    def __init__(
        self, photos: Sequence[Path], codes: Path | None, images: Sequence[str], options: InversionOptions
    ) -> None:
        from ganvert.base.registry import lookup
        from ganvert.codes import space_of
        from ganvert.compute.device import resolve_device
        from ganvert.faces import RECIPES
        from ganvert.inversion.run import make_context
        from ganvert.spaces import make_space

        if not photos and codes is None:
            raise ParamsError("wanted photographs, or codes that were found before (--codes out/codes.parquet)")
        if images and (codes is None or photos):
            raise ParamsError("--image: names images of a table; give --codes, and no photographs")
        self.options, self.table, self.unusable = options, codes, list[str]()
        self.needs_face = lookup(RECIPES, options.recipe, "alignment recipe").needs_face
        device, speed = resolve_device(options.device), speed_of(options)
        self._paths, self._preset = list(photos), read_method(options)
        if codes is not None:
            self.generator = load(options, device)
            self.space = space_of(codes, self.generator)
            self._image_ids = chosen(codes, images)
            return
        encoders = encoders_of(options, self._preset)
        self.generator = load(options, device)
        self._context = make_context(
            self._preset, self.generator, encoders, assets_folder(), options.inputs, speed=speed
        )
        self.space = make_space(self._preset.space, self.generator)

    def check(self, out: Path, single: bool = False) -> None:
        """Find the photographs, and refuse an output that would replace one of them.

        Args:
            out: a folder, or with `single` a file, which takes one image only.
            single: see `out`.

        Raises:
            InputError: a photograph is not there, or in the way.
            ParamsError: several images for one file.
        """
        from ganvert.cli.paths import check_files
        from ganvert.faces.listing import check_output, find_photos

        if not single:
            check_output(out, self._paths)
        if self._paths:
            self._paths = find_photos(self._paths)
        if single:
            check_files(self._paths, "PHOTOS", out)
            if len(self) != 1:
                raise ParamsError(f"--out: {out} is for one photograph, got {len(self)}; name a folder")

    def __len__(self) -> int:
        return len(self._paths or self._image_ids)

    @property
    def method_at_work(self) -> tuple[Preset, Context] | None:
        """The preset that inverts the photographs, and what it works with; None where codes are read."""
        return (self._preset, self._context) if self.table is None else None

    @property
    def method(self) -> str:
        """The preset that finds, or found, the codes."""
        from ganvert import tables

        if self.table is None:
            return self.options.method
        return str(tables.metadata_of(tables.schema_of(self.table, "codes"))["method"])

    def __iter__(self) -> Iterator[Source]:
        """Yield the images; photographs that cannot be used are logged, and collected in `unusable`."""
        if not self._paths:
            yield from self._of_table()
        elif self.table is None and self._preset.together:  # one generator for all: they are inverted side by side
            found = list(self._faces())
            codes = self._inverted([face for _, face in found])
            yield from (
                Source(name=name, code=code, face=face) for (name, face), code in zip(found, codes, strict=True)
            )
        else:
            for name, face in self._faces():
                for code in self._codes_of_face(face):
                    yield Source(name=name, code=code, face=face)

    def shows(self, source: Source, mask: Callable[[Source], Tensor] | None) -> bool:
        """Return whether an image shows what alone is to change; if not, it is one that cannot be used."""
        try:
            if mask is not None:
                mask(source)
        except NoRegionError as error:
            self._refuse(str(error))
            return False
        return True

    def finish(self) -> None:
        """End the command: with exit code 3 if some photographs could not be used.

        Raises:
            InputError: none could be used.
        """
        import typer

        if self.unusable:
            if len(self.unusable) == len(self):
                raise InputError(f"no {'photograph' if self._paths else 'image'} could be used")
            raise typer.Exit(3)

    def _faces(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield a name and the row of `aligned` of every photograph's largest face."""
        from ganvert.base.files import file_names
        from ganvert.faces import AlignOptions, FaceDetector, align_photos

        options = AlignOptions(recipe=self.options.recipe, resolution=self.generator.resolution)
        detector = FaceDetector(assets_folder(), second_look=True) if self.needs_face else None
        for name, path in zip(file_names(path.stem for path in self._paths), self._paths, strict=True):
            rows, faces = align_photos([path], Path(), options, detector)
            if faces:
                yield name, faces[0]
            else:
                self._refuse(rows[0]["reason"])

    def _codes_of_face(self, face: dict[str, Any]) -> Iterator[Code]:
        """Yield the code of a face; none, and a message, where the table lacks it."""
        from ganvert.codes import names_of_images, read_codes

        if self.table is None:
            yield from self._inverted([face])
        elif face["image_id"] in self._image_ids:
            yield from read_codes(self.table, self.generator, image_ids=[face["image_id"]])
        else:
            self._refuse(
                f"{face['path']}: has no code in {self.table}, which has those of "
                f"{calls(self._image_ids, names_of_images(self.table))}; invert it, or choose the --recipe of the table"
            )

    def _inverted(self, faces: Sequence[Mapping[str, Any]]) -> Sequence[Code]:
        from ganvert.codes import codes_of_inversion
        from ganvert.images import from_png
        from ganvert.inversion.run import Crop, invert_crops

        crops = [Crop(face["image_id"], from_png(face["crop"])) for face in faces]
        if not crops:
            return []
        inversion = invert_crops(crops, self._preset, self._context, seed=self.options.seed)
        return codes_of_inversion(inversion, [crop.image_id for crop in crops], self.options.method, self.generator)

    def _of_table(self) -> Iterator[Source]:
        """Yield the chosen images of the table, a few of them in memory."""
        from ganvert.base.files import file_names
        from ganvert.codes import batches, names_of_images

        assert self.table is not None
        known = names_of_images(self.table)
        files = file_names(known.get(image_id, image_id) for image_id in self._image_ids)
        names = dict(zip(self._image_ids, files, strict=True))
        # Piece by piece, in the table's order: reading the table again for every image would take its length squared.
        for codes in batches(self.table, self.generator):
            for code in codes:
                if code.image_id in names:
                    yield Source(name=names[code.image_id], code=code)

    def _refuse(self, reason: str) -> None:
        import sys

        self.unusable.append(reason)
        print(f"not used: {reason}", file=sys.stderr)  # noqa: T201


def chosen(table: Path, images: Sequence[str]) -> list[str]:
    """Return the ids of the images that are named, by id or by photograph, or of all images of the table.

    Raises:
        InputError: the table has no such image, or none at all.
    """
    from ganvert import tables
    from ganvert.codes import names_of_images

    ids = [row["image_id"] for row in tables.rows(table, "codes", ["image_id"], 4096)]
    if not ids:
        raise InputError(f"{table}: has no codes")
    if not images:
        return ids
    return list(dict.fromkeys(_ids_of(table, ids, images, names_of_images(table))))


def _ids_of(table: Path, ids: Sequence[str], names: Sequence[str], known: Mapping[str, str]) -> list[str]:
    """Return the ids of images that are named by id or by photograph, in the order of the names.

    Raises:
        InputError: the table has no such image.
    """
    by_name = {known[image_id]: image_id for image_id in reversed(ids) if image_id in known}
    by_name |= {image_id: image_id for image_id in ids}
    if missing := [name for name in names if name not in by_name]:
        raise InputError(f"{table}: has no image {', '.join(map(repr, missing))}; it has {calls(ids, known)}")
    return [by_name[name] for name in names]


def calls(ids: Sequence[str], known: Mapping[str, str]) -> str:
    """Return what the first images of a table are called, for messages: by photograph where that is known."""
    some = [known.get(image_id, image_id) for image_id in ids[:_NAMED]]
    return ", ".join(some) + " ..." * (len(ids) > _NAMED)


def mask_of(mask: str, picture: Image.Image, code: Code, name: str, inputs: Path) -> Tensor:
    """Return where one image may change, [1, 1, h, h] in [0, 1].

    Args:
        mask: a region of the face, or a mask in the folder of inputs.
        picture: the image, [h, h].
        code: of the image, whose id names a mask of its own.
        name: what messages call the image.
        inputs: the folder of inputs.

    Raises:
        NoRegionError, InputError: the image does not show the region; there is no such mask, or of another size.
    """
    from ganvert.inversion.inputs import masks_of

    try:
        return masks_of(mask, [picture], [code.image_id], inputs, assets_folder())
    except NoRegionError as error:
        raise NoRegionError(f"{name}: {error.__cause__}") from error  # the cause's message comes without the id


def codes_of(
    given: list[str], edit: Edit, table: Path | None, options: InversionOptions, same_crop: bool = False
) -> tuple[list[Code], list[str]]:
    """Return codes of photographs, or of images of a table.

    Args:
        given: photographs, or ids of images of the table or names of their photographs.
        edit: what is done with the codes; codes that it cannot change are refused before any work.
        table: the table, or None where photographs are given.
        options: how photographs are inverted.
        same_crop: whether the second photograph is cut where the first one is.

    Returns:
        A code for each that is given, and a name for each (:func:`ganvert.base.files.file_names`).
    """
    from ganvert import tables
    from ganvert.base.files import file_names
    from ganvert.base.registry import lookup
    from ganvert.codes import codes_of_inversion, names_of_images, read_codes, space_of
    from ganvert.compute.device import resolve_device
    from ganvert.faces import RECIPES
    from ganvert.inversion.run import invert_crops, make_context
    from ganvert.spaces import make_space

    lookup(RECIPES, options.recipe, "alignment recipe")
    device, preset, speed = resolve_device(options.device), read_method(options), speed_of(options)
    if table is not None:
        if same_crop:
            raise ParamsError("--same-crop: codes of a table are of crops that were made before")
        generator = load(options, device)
        edit.check_space(space_of(table, generator), [])
        known = names_of_images(table)
        listed = [row["image_id"] for row in tables.rows(table, "codes", ["image_id"], 4096)]
        ids = _ids_of(table, listed, given, known)
        files = file_names(known.get(image_id, image_id) for image_id in ids)
        return list(read_codes(table, generator, image_ids=ids)), files
    paths, encoders = [Path(name) for name in given], encoders_of(options, preset)
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: there is no such photograph")
    generator = load(options, device)
    edit.check_space(make_space(preset.space, generator), [])
    folder = assets_folder()
    context = make_context(preset, generator, encoders, folder, options.inputs, speed=speed)
    crops = crops_of(paths, options.recipe, generator.resolution, folder, same_crop)
    inversion = invert_crops(crops, preset, context, seed=options.seed)
    codes = codes_of_inversion(inversion, [crop.image_id for crop in crops], options.method, generator)
    return list(codes), file_names(path.stem for path in paths)


def crops_of(paths: list[Path], recipe: str, resolution: int, folder: Path, same_crop: bool) -> list[Crop]:
    """Return the largest face of every photograph, in the order given; InputError for one that cannot be used."""
    from ganvert.faces import RECIPES, AlignOptions, FaceDetector, align, align_photos, open_photo
    from ganvert.images import from_png
    from ganvert.inversion.run import Crop

    options = AlignOptions(recipe=recipe, resolution=resolution)
    detector = FaceDetector(folder, second_look=True) if RECIPES[recipe].needs_face else None
    crops: list[Crop] = []
    landmarks: Any = None
    for i, path in enumerate(paths):
        if same_crop and i == 1:
            photo, first = open_photo(path), open_photo(paths[0])
            if photo.size != first.size:
                raise InputError(
                    f"--same-crop: {path} is {photo.size} px, {paths[0]} {first.size}: not the same picture"
                )
            crops.append(Crop(f"{photo.photo_id[:16]}-0", align(photo.image, landmarks, resolution, recipe).crop))
            continue
        rows, faces = align_photos([path], Path(), options, detector)
        if not faces:
            raise InputError(rows[0]["reason"])
        if i == 0:
            landmarks = faces[0]["landmarks"]
        crops.append(Crop(faces[0]["image_id"], from_png(faces[0]["crop"])))
    return crops
