"""edit: codes of one method, directions and reference photographs -> data/edits.parquet (crops, and pasted back)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganvert import tables
from ganvert.base.errors import GanvertError, NoRegionError
from ganvert.codes import Code, batches, read_codes, space_of
from ganvert.compute.progress import progress
from ganvert.directions import Direction, choose_rows, load_directions
from ganvert.editing.amounts import Amount, Percentile
from ganvert.editing.contract import Edit, EditInputs
from ganvert.editing.paste import paste_edit
from ganvert.editing.population import Population
from ganvert.editing.render import draw_edit
from ganvert.editing.spec import EditSpec
from ganvert.faces.photo import Photo
from ganvert.generators import Generator
from ganvert.images import from_png, to_png
from ganvert.inversion.contract import Context
from ganvert.inversion.inputs import check_inputs
from ganvert.inversion.presets import Preset, read_preset
from ganvert.inversion.run import make_context
from stages.common import generator_of, resolved_options, stage
from stages.inputs import ALIGNED, INPUTS, crops_of, find_images, mask_of
from stages.photographs import Photographs
from stages.sections import Settings

ASSETS = Path("data/assets")
PRESETS = Path("data/presets")
CODES = Path("data/codes")
RECONSTRUCTIONS = Path("data/reconstructions")
DIRECTIONS = Path("data/directions.parquet")
OUT = Path("data/edits.parquet")
#: Columns of an edit that stays a crop.
_NOT_PASTED: dict[str, Any] = {"pasted": None, "region": None, "reason": ""}
log = logging.getLogger("edit")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedEdit:
    """An edit of params.yaml with what all images share.

    Attributes:
        name: under ``edit.edits``.
        spec: what params.yaml says of it.
        edit: with its options.
        directions: those of `spec` in the codes' space.
        references: codes of the reference images.
        reference_pictures: their crops, if the edit needs them.
        preset: the method of the codes, if the edit needs it.
        context: of that method.
        population: the generator's samples.
    """

    name: str
    spec: EditSpec
    edit: Edit
    directions: Sequence[tuple[Direction, float]]
    references: Sequence[Code]
    reference_pictures: Sequence[Image.Image]
    preset: Preset | None
    context: Context | None
    population: Population

    @property
    def columns(self) -> dict[str, str]:
        """The columns of `edits` that all its rows share."""
        reference = ",".join(code.image_id for code in self.references)
        return {"edit": self.name, "kind": self.spec.edit, "direction": self.spec.title, "reference": reference}

    def resolved(self, step: Amount, code: Code) -> tuple[float, dict[str, float | None]]:
        """Return an amount in standard deviations, and the columns that say where it takes a code."""
        if len(self.directions) != 1:
            assert not isinstance(step, Percentile)  # EditSpec
            return step, {"percentile": None, "sigmas": None}
        direction = self.directions[0][0]
        amount = self.population.amount(step, direction, code)
        percentile = step.value if isinstance(step, Percentile) else None
        return amount, {"percentile": percentile, "sigmas": self.population.sigmas(direction, code, amount)}

    def inputs(self, code: Code) -> EditInputs:
        """Return the inputs of one image."""
        resolution, needs = code.space.generator.resolution, self.edit.needs
        masked = self.references[-1] if needs.mask_of_reference else code
        return EditInputs(
            code=code,
            directions=self.directions,
            references=self.references,
            mask=mask_of(self.spec.mask, masked.image_id, resolution) if needs.mask else None,
            picture=crops_of([code.image_id])[0] if needs.pictures else None,
            reference_pictures=self.reference_pictures,
            preset=self.preset,
            context=self.context,
        )


def main() -> None:
    """Run the stage."""
    with stage("edit") as settings:
        params = settings.edit
        generator = generator_of(settings)
        planned = plan(settings, generator)  # a request that cannot be met stops here, before any work
        table = CODES / f"{params.method}.parquet"
        images, pictures = tables.count(table, "codes"), 0
        with ExitStack() as stack:

            def lookup(path: Path, kind: tables.Table, columns: Sequence[str]) -> tables.Lookup:
                return stack.enter_context(tables.Lookup(path, kind, "image_id", columns))

            faces = lookup(ALIGNED, tables.ALIGNED, ["photo_id", "path", "quad"])
            drawn = lookup(RECONSTRUCTIONS / f"{params.method}.parquet", tables.RECONSTRUCTIONS, ["png"])
            photographs = None
            if any(item.spec.pasted for item in planned):
                photographs = stack.enter_context(Photographs(settings.align.photos))
            out = stack.enter_context(tables.Writer(OUT, tables.EDITS))
            one_by_one = (code for part in batches(table, generator) for code in part)
            for code in progress(one_by_one, images, "edits"):
                face, reconstruction = faces[code.image_id], from_png(drawn[code.image_id]["png"])
                photo = None
                if photographs is not None:
                    photo = photographs.open(face["photo_id"], face["path"], settings.align.max_pixels)
                for row in edited(code, planned, face, photo, reconstruction, settings):
                    out.add([row])
                    pictures += 1
        log.info("%d edited pictures of %d images", pictures, images)


def plan(settings: Settings, generator: Generator) -> list[PlannedEdit]:
    """Return the edits of params.yaml with their directions and references.

    Raises:
        GanvertError: a direction or photograph that is named does not exist, or an edit cannot change these codes.
    """
    params = settings.edit
    if any(spec.pasted for spec in params.edits.values()):
        params.paste.check_assets(ASSETS)
    table = CODES / f"{params.method}.parquet"
    space = space_of(table, generator)
    wants_direction = any(spec.shares for spec in params.edits.values())
    known = load_directions(DIRECTIONS, generator) if wants_direction else {}
    planned, population = [], Population(generator)
    for name, spec in params.edits.items():
        edit = spec.make()
        try:
            preset, context = _method(settings, generator, edit) if edit.needs.context else (None, None)
            directions = [
                (choose_rows(known, name, space.direction_space, generator.num_ws), share)
                for name, share in spec.shares.items()
            ]
            edit.check_space(space, [direction for direction, _ in directions])
            if any(isinstance(step, Percentile) for step in spec.steps):
                population.check(space, directions[0][0])
            check_inputs([spec.mask] if spec.mask else [], INPUTS)
            for group in spec.groups():
                image_ids = find_images(group)
                planned.append(
                    PlannedEdit(
                        name=name,
                        spec=spec,
                        edit=edit,
                        directions=directions,
                        references=list(read_codes(table, generator, image_ids=image_ids)) if image_ids else [],
                        reference_pictures=crops_of(image_ids) if edit.needs.pictures else [],
                        preset=preset,
                        context=context,
                        population=population,
                    )
                )
        except GanvertError as error:
            raise type(error)(f"edit.edits.{name}: {error}") from error
    return planned


def _method(settings: Settings, generator: Generator, edit: Edit) -> tuple[Preset, Context]:
    """Return the method of the codes as an edit uses it, and what it works with."""
    method = settings.edit.method
    preset = edit.method(read_preset(method, resolved_options(PRESETS / f"{method}.yaml")))
    starts = settings.invert.starts(method)
    return preset, make_context(preset, generator, starts, ASSETS, INPUTS, speed=settings.invert.speed)


def edited(
    code: Code,
    planned: Sequence[PlannedEdit],
    face: Mapping[str, Any],
    photo: Photo | None,
    reconstruction: Image.Image,
    settings: Settings,
) -> Iterator[dict[str, Any]]:
    """Yield every edit of one image as a row of `edits`.

    Args:
        code: of the image.
        planned: the edits.
        face: `quad` of its row of `aligned`.
        photo: the photograph; None if no edit is pasted into it.
        reconstruction: what the unedited code draws.
        settings: the sections of params.yaml.
    """
    quad = np.array(face["quad"]).reshape(4, 2)
    for item in planned:
        try:
            inputs = item.inputs(code)
        except NoRegionError as error:  # of this face: other edits and faces go on
            log.warning("%s of %s was left out: %s", item.name, code.image_id, error)
            continue
        for wanted, step in zip(item.spec.amounts, item.spec.steps, strict=True):
            amount, facts = item.resolved(step, code)
            picture, pasted = draw_edit(item.edit, inputs, amount), {}
            if photo is not None and wanted in item.spec.pasted:
                result = paste_edit(photo, picture, reconstruction, quad, settings.edit.paste, ASSETS)
                pasted = {"pasted": to_png(result.image), "region": result.region, "reason": result.reason}
            key = {"image_id": code.image_id, "method": settings.edit.method, **item.columns}
            yield {**key, "amount": amount, **facts, "crop": to_png(picture), **_NOT_PASTED, **pasted}


if __name__ == "__main__":
    main()
