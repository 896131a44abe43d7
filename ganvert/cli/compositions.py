"""`ganvert diffuse`, `crossover` and `inpaint`: composed pictures, inverted into one that the generator draws."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvert.base.errors import InputError, ParamsError
from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, check_mask, counted, encoders_of, load, read_method, speed_of
from ganvert.cli.options import InversionOptions, SheetPx
from ganvert.cli.paths import Reads, Writes
from ganvert.cli.pictures import check_sheet, write_picture, write_sheet

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from ganvert.codes import Code
    from ganvert.editing.compose import Composed

__all__ = ["crossover", "diffuse", "inpaint"]

#: Share of the crop that paint covers at most. Two portraits differ on 61 % and more (21 pairs, ten on one backdrop).
_MOST_PAINT = 0.5
MASK_HELP = (
    "A picture of the size of its photograph or of the aligned crop, white where the mask is, or a region of the face "
    "such as hair, eyes or mouth."
)
Onto = Annotated[list[Path], typer.Option(help="A photograph whose surroundings are kept; may be repeated."), Reads()]
Folder = Annotated[Path, typer.Option(help="Folder for sheet.png and the pictures."), Writes("folder")]
Mask = Annotated[str, typer.Option(help=MASK_HELP)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompositionOptions(InversionOptions):
    """How composed pictures are inverted: from an encoder, by a method that fits codes."""

    method: Annotated[str, typer.Option(help="Preset that fits codes; `ganvert methods` lists them.")] = "cpu_idinvert"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Face:
    """A photograph's largest face.

    Attributes:
        name: for files, unlike that of any other photograph of the run.
        row: of the table `aligned`.
        crop: the aligned crop, as large as the generator draws.
    """

    name: str
    row: Mapping[str, Any]
    crop: Image.Image

    def mask(self, name: str) -> Tensor:
        """Return a mask on the crop, [1, 1, h, h] in [0, 1].

        Raises:
            InputError: there is no such picture or region, or it is of another size than photograph and crop.
            NoRegionError: the face does not show the region.
        """
        import numpy as np

        from ganvert.faces import open_photo
        from ganvert.faces.align import cut_quad
        from ganvert.images import from_pil
        from ganvert.inversion.inputs import is_region, masks_of, open_inputs

        if is_region(name):
            return masks_of(name, [self.crop], [self.name], None, assets_folder())
        photo, mask = open_photo(Path(self.row["path"])), open_photo(Path(name)).image
        if mask.size == photo.size:  # drawn over the photograph
            mask = cut_quad(mask, np.array(self.row["quad"]).reshape(4, 2), self.crop.width)
        elif mask.size == self.crop.size:
            (mask,) = open_inputs([Path(name)], self.crop.width)
        else:
            wanted = " or ".join(f"{width} x {height}" for width, height in (photo.size, self.crop.size))
            raise InputError(
                f"--mask: {name}: wanted {wanted} px, the size of {self.row['path']} or of its crop, got "
                f"{mask.width} x {mask.height}"
            )
        return from_pil([mask.convert("L")])[:, :1].add(1).div(2)


class Composer:
    """The method that inverts composed pictures, with its generator.

    Args:
        options: of the command line.
        mask: of --mask; refused before any work where it is neither a file nor a region.

    Raises:
        GanvertError: the method does not fit codes, or a file or region is not there.
    """

    def __init__(self, options: CompositionOptions, mask: str | None = None) -> None:
        from ganvert.base.registry import lookup
        from ganvert.compute.device import resolve_device
        from ganvert.editing.compose import preset_for_parts
        from ganvert.faces import RECIPES
        from ganvert.inversion.run import make_context

        self.options = options
        self.needs_face = lookup(RECIPES, options.recipe, "alignment recipe").needs_face
        if mask is not None:
            check_mask("--mask", mask, Path(mask))
        device, speed = resolve_device(options.device), speed_of(options)
        self._preset = preset_for_parts(read_method(options))
        encoders = encoders_of(options, self._preset)
        self.generator = load(options, device)
        self._context = make_context(
            self._preset, self.generator, encoders, assets_folder(), options.inputs, speed=speed
        )

    def faces(self, paths: Sequence[Path]) -> list[Face]:
        """Return the largest face of every photograph; InputError for one that cannot be used."""
        from ganvert.base.files import file_names
        from ganvert.faces import AlignOptions, FaceDetector, align_photos
        from ganvert.images import from_png

        align = AlignOptions(recipe=self.options.recipe, resolution=self.generator.resolution)
        detector = FaceDetector(assets_folder(), second_look=True) if self.needs_face else None
        faces = []
        for name, path in zip(file_names(path.stem for path in paths), paths, strict=True):
            rows, found = align_photos([path], Path(), align, detector)
            if not found:
                raise InputError(rows[0]["reason"])
            faces.append(Face(name=name, row=found[0], crop=from_png(found[0]["crop"])))
        return faces

    def painted(self, path: Path, original: Face) -> Face:
        """Return a painted copy of a photograph, cut where the photograph is; InputError if it is none."""
        from ganvert.faces import align, open_photo

        photo, first = open_photo(path), open_photo(Path(original.row["path"]))
        if photo.size != first.size:
            raise InputError(
                f"--same-crop: {path} is {photo.size} px, {original.row['path']} {first.size}: no copy of it"
            )
        cut = align(photo.image, original.row["landmarks"], self.generator.resolution, self.options.recipe)
        row = {**original.row, "path": str(path), "image_id": f"{photo.photo_id[:16]}-0"}
        return Face(name=path.stem, row=row, crop=cut.crop)

    def invert(self, composed: Composed, *faces: Face) -> Code:
        """Return the code of a picture that is composed of some faces."""
        from ganvert.editing.compose import invert_composed

        image_id = "+".join(str(face.row["image_id"]) for face in faces)
        return invert_composed(composed, image_id, self._preset, self._context, seed=self.options.seed)

    def draw(self, composed: Composed, *faces: Face) -> Image.Image:
        """Return what the generator makes of it."""
        from ganvert.images import to_pil

        return to_pil(self.invert(composed, *faces).draw())[0]


@command(
    "ganvert diffuse me.jpg --onto painting.jpg --out diffused",
    "ganvert diffuse me.jpg you.jpg --onto a.jpg --onto b.jpg --crop 90 --crop 130 --out diffused",
)
def diffuse(
    *,
    targets: Annotated[list[Path], typer.Argument(help="Photographs of the people to show."), Reads()],
    onto: Onto,
    out: Folder,
    crop: Annotated[
        list[int] | None,
        typer.Option(help="Side of the square that is the target's, of 256; 110 if not given; may be repeated."),
    ] = None,
    centre: Annotated[str, typer.Option(help="Centre of the square, X,Y of 256.")] = "125,145",
    around: Annotated[
        float, typer.Option(min=0, max=1, help="How much --onto counts around the square; 0 is the paper's.")
    ] = 0.0,
    px: SheetPx = 256,
    options: CompositionOptions,
) -> None:
    """Diffuse faces into the surroundings of others: identity of the targets, hair, light and background of --onto.

    A row of the sheet shares surroundings and crop, a column its target; surroundings stand on the left, targets on
    top. A larger crop keeps the person better and brings hair along.
    """
    from PIL import Image

    from ganvert.base.files import mark_output
    from ganvert.editing.compose import CROP, box_mask, diffusion
    from ganvert.faces.listing import check_output

    if not (match := re.fullmatch(r"([0-9]{1,3}),([0-9]{1,3})", centre)):
        raise ParamsError(f"--centre: wanted X,Y of 256 such as 125,145, got {centre!r}")
    sides = crop or [CROP]
    if len(set(sides)) != len(sides):
        raise ParamsError(f"--crop: wanted different sizes, got {', '.join(map(str, sides))}")
    middle = int(match[1]), int(match[2])
    for side in sides:
        box_mask(1, side, middle)
    check_sheet((len(targets) + 1) * (len(onto) * len(sides) + 1), px)
    check_output(out, [*targets, *onto])
    composer = Composer(options)
    faces = composer.faces([*targets, *onto])
    people, contexts = faces[: len(targets)], faces[len(targets) :]
    mark_output(out)
    pictures, captions = [Image.new("RGB", faces[0].crop.size, "white")], [""]
    for person in people:
        pictures.append(person.crop)
        captions.append(person.name)
    for context in contexts:
        for side in sides:
            of_several = f"_{side}" if len(sides) > 1 else ""
            pictures.append(context.crop)
            captions.append(f"onto {context.name}\ncrop {side}")
            for person in people:
                mask = box_mask(composer.generator.resolution, side, middle)
                composed = diffusion(person.crop, context.crop, mask, around)
                pictures.append(composer.draw(composed, person, context))
                captions.append(f"{person.name}\nonto {context.name}")
                write_picture(out / f"{person.name}_onto-{context.name}{of_several}.png", pictures[-1])
    write_sheet(out / "sheet.png", pictures, len(people) + 1, px, captions)
    print(f"sheet.png and {counted(len(people) * len(contexts) * len(sides), 'picture')} are in {out}")  # noqa: T201


@command(
    "ganvert crossover me.jpg you.jpg --mask hair --out crossed",
    "ganvert crossover painted.png me.jpg --same-crop --out scribbled",
)
def crossover(
    *,
    part: Annotated[Path, typer.Argument(help="The photograph that is seen inside the mask."), Reads()],
    rest: Annotated[list[Path], typer.Argument(help="Photographs that are seen outside of it."), Reads()],
    out: Folder,
    mask: Annotated[
        str | None, typer.Option(help="On PART; not needed with --same-crop: where they differ. " + MASK_HELP)
    ] = None,
    blur: Annotated[float, typer.Option(help="Standard deviation of the mask's blur, in parts of the side.")] = 0.05,
    same_crop: Annotated[
        bool, typer.Option("--same-crop", help="PART is REST with something painted on it: cut it where REST is cut.")
    ] = False,
    px: SheetPx = 256,
    options: CompositionOptions,
) -> None:
    """Cross photographs: one inside a mask, others outside, and what the generator makes of both together.

    The sheet has a row for every REST: the photograph, what was composed, and what is drawn.
    """
    from ganvert.base.files import mark_output
    from ganvert.editing.compose import check_blur, paint_mask
    from ganvert.editing.compose import crossover as cross
    from ganvert.faces.listing import check_output

    if mask is None and not same_crop:
        raise ParamsError("--mask: wanted where PART is seen; only a painted copy (--same-crop) tells it by itself")
    if same_crop and len(rest) > 1:
        raise ParamsError(f"--same-crop: PART is a copy of one photograph, got {len(rest)} for REST")
    check_blur(blur, "--blur")
    check_sheet(3 * len(rest), px)
    check_output(out, [part, *rest])
    composer = Composer(options, mask)
    others = composer.faces(rest)
    own = composer.painted(part, others[0]) if same_crop else composer.faces([part])[0]
    shape = paint_mask(own.crop, others[0].crop) if mask is None else own.mask(mask)
    if mask is None and (share := float(shape.mean())) > _MOST_PAINT:
        raise InputError(
            f"--same-crop: {part} differs from {rest[0]} on {share:.0%} of the crop: no copy of it; name what is "
            "painted (--mask) if it is one"
        )
    composed = [cross(own.crop, other.crop, shape, blur) for other in others]
    mark_output(out)
    pictures, captions = [], list[str]()
    for other, both in zip(others, composed, strict=True):
        pictures += [other.crop, both.picture, composer.draw(both, own, other)]
        captions += [other.name, f"with {own.name}", "drawn"]
        write_picture(out / f"{other.name}_with-{own.name}.png", pictures[-1])
    write_sheet(out / "sheet.png", pictures, 3, px, captions)
    print(f"sheet.png and {counted(len(others), 'picture')} are in {out}")  # noqa: T201


@command(
    "ganvert inpaint me.jpg --mask glasses --out inpainted",
    "ganvert inpaint scratched.jpg --mask scratches.png --method cpu_image2stylegan_pp --out inpainted",
)
def inpaint(
    *,
    photos: Annotated[list[Path], typer.Argument(help="Photographs."), Reads()],
    mask: Annotated[str, typer.Option(help="What is missing. " + MASK_HELP)],
    out: Folder,
    feather: Annotated[
        float, typer.Option(help="Width of the soft edge around the hole, in parts of the side.")
    ] = 0.02,
    px: SheetPx = 256,
    options: CompositionOptions,
) -> None:
    """Complete photographs where a mask is white: the code is fitted to the rest, and the hole is what it draws there.

    The photographs are written with the hole filled. The sheet has a row for each: the crop with the hole, what the
    generator draws, and both together.
    """
    import numpy as np

    from ganvert.base.files import mark_output
    from ganvert.editing.compose import inpainting
    from ganvert.faces import open_photo, paste, soft_region
    from ganvert.faces.listing import check_output

    if not 0 <= feather <= 0.5:
        raise ParamsError(f"--feather: wanted 0 to 0.5 of the crop's side, got {feather:g}")
    check_sheet(3 * len(photos), px)
    check_output(out, photos)
    composer = Composer(options, mask)
    faces = composer.faces(photos)
    holes = [face.mask(mask) for face in faces]
    composed = [inpainting(face.crop, hole) for face, hole in zip(faces, holes, strict=True)]
    mark_output(out)
    pictures, captions = [], list[str]()
    for face, hole, known in zip(faces, holes, composed, strict=True):
        drawn, region = composer.draw(known, face), soft_region(hole[0, 0].numpy() > 0.5, feather)
        side = face.crop.width
        corners = np.array([[0, 0], [0, side], [side, side], [side, 0]]) - 0.5
        whole = paste(face.crop, drawn, corners, 0, region=region)
        photo, quad = open_photo(Path(face.row["path"])).image, np.array(face.row["quad"]).reshape(4, 2)
        write_picture(out / f"{face.name}_inpainted.png", paste(photo, drawn, quad, 0, region=region))
        pictures += [known.picture, drawn, whole]
        captions += [f"{face.name}\nhole filled", "\ndrawn", "\ntogether"]
    write_sheet(out / "sheet.png", pictures, 3, px, captions)
    print(f"sheet.png and {counted(len(faces), 'photograph')} are in {out}")  # noqa: T201
