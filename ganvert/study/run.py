"""A whole study: photographs to crops, cells to codes, sections to rows, rows to the tables of the page."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from ganvert import tables
from ganvert.base.errors import InputError
from ganvert.codes import read_codes
from ganvert.compute.progress import progress
from ganvert.extraction import Invert, Job, extract, make_job
from ganvert.faces import AlignOptions
from ganvert.generators import Generator
from ganvert.images import from_png, to_png
from ganvert.scoring.metrics import check_sizes
from ganvert.study.cells import Cell, Inverted, invert_cell, make_cells
from ganvert.study.directions import find_directions
from ganvert.study.options import PROTOCOLS, StudyOptions
from ganvert.study.pieces import PieceStore, small_png
from ganvert.study.sections import SECTIONS
from ganvert.study.sections.base import Finished, Row, Section, SectionOptions, Subject, Tools, number
from ganvert.study.sections.strength import StrengthOptions
from ganvert.study.tabulate import comparisons, orders, summaries

__all__ = ["CODE", "Study", "partners", "plan_cells", "run_study"]

log = logging.getLogger(__name__)
#: Attributes of edited faces: those that every face has. Others, such as glasses, hardly vary among most photographs,
#: and a change in their deviations would be any number.
ATTRIBUTES = ("yaw", "pitch", "roll", "smile", "mouth_open", "eyes_open", "age", "gender")
#: The metric that says whether a cell has a code for a photograph.
CODE = "code"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """A study and where it works.

    Attributes:
        options: what is measured.
        inverts: its methods in order; a name with a reason for one that was found not to run here.
        align: how faces are cut out; its resolution is a number.
        generator: on its device.
        assets: folder of the models.
        directions: table of directions; None for none.
        attributes: scored on edited faces; empty for pictures of other things.
        device: of inversions, see :class:`ganvert.extraction.Job`.
        threads: of a worker.
        workers: processes that invert side by side.
        work: the work store of extractions.
        pieces: folder of finished pieces.
        folder: for the tables.
    """

    options: StudyOptions
    inverts: Sequence[Invert | tuple[str, str]]
    align: AlignOptions
    generator: Generator
    assets: Path
    directions: Path | None = None
    attributes: tuple[str, ...] = ATTRIBUTES
    device: str = "auto"
    threads: int | None = None
    workers: int = 1
    work: Path
    pieces: Path
    folder: Path

    def __post_init__(self) -> None:
        check_sizes(self.options.metrics, self.generator.resolution)

    @cached_property
    def cells(self) -> list[Cell]:
        """The matrix's columns."""
        return make_cells(
            self.inverts,
            steps=self.options.steps,
            seeds=self.options.seeds,
            assets=self.assets,
            device=self.device,
            threads=self.threads,
            generator=self.generator,
        )

    @cached_property
    def tools(self) -> Tools:
        """What sections measure with."""
        sections = self.options.section_options()
        strength = next((one for one in sections.values() if isinstance(one, StrengthOptions)), None)
        moves = any(SECTIONS[name].directions for name in sections)
        return Tools(
            generator=self.generator,
            assets=self.assets,
            metrics=self.options.metrics,
            code_metrics=self.options.code_metrics,
            attributes=self.attributes,
            directions=find_directions(self.generator, strength, self.directions) if moves else {},
        )

    @cached_property
    def aligned(self) -> list[Row]:
        """The crops, rows of `aligned`; see :func:`align_photographs`."""
        return align_photographs(self)


@dataclasses.dataclass(frozen=True)
class _Crops:
    """The crops of a section in one of its variants.

    Attributes:
        section: its name.
        variant: see :attr:`Section.crops`.
        table: of the crops that are inverted.
        folder: for what is made of them.
        ids: image id of a photograph's crop to that of the crop in the table.
    """

    section: str
    variant: str
    table: Path
    folder: Path
    ids: dict[str, str]


def align_photographs(study: Study) -> list[Row]:
    """Write the tables `photos` and `aligned` of a study and return the rows of the second.

    Raises:
        InputError: no photograph can be used; or not as many as the protocol wants.
    """
    # As the stage `align` has it: photographs that both name are cut once.
    job = make_job(align=study.align, invert=None, assets_folder=study.assets, device="cpu", threads=1)
    outputs = {name: study.folder / f"{name}.parquet" for name in ("photos", "aligned")}
    inputs = [Path(path) for path in study.options.photos]
    extract(job, inputs, study.work, outputs, workers=study.workers, what="align")
    rows: list[Row] = tables.read(outputs["aligned"], tables.ALIGNED).to_pylist()
    if not rows:
        first = next(tables.rows(outputs["photos"], tables.PHOTOS, ["reason"]))["reason"]
        raise InputError(f"study: no photograph can be used ({outputs['photos']} says why); the first: {first}")
    wanted = PROTOCOLS.get(study.options.protocol or "")
    if wanted is not None and len(rows) != wanted:
        raise InputError(
            f"study.protocol: {study.options.protocol} is of {wanted:,} pictures, {', '.join(study.options.photos)} "
            f"gave {len(rows):,} crops; name the folder of that test set, or leave the protocol out"
        )
    return rows


def plan_cells(study: Study) -> Iterator[tuple[Job, Path]]:
    """Yield every extraction of a study: its job, and the table of the crops that it inverts.

    What maps shards over a cluster does these first; :func:`run_study` then finds them finished.
    """
    for name, options in study.options.section_options().items():
        for crops in _crops(study, name, options):
            for cell in _cells(study, SECTIONS[name], options):
                if cell.job is not None:
                    yield cell.job, crops.table


def run_study(study: Study, on_cell: Callable[[str], None] = lambda _: None) -> dict[str, Path]:
    """Run a study, or what is left of one that was stopped, and write its tables.

    Args:
        study: see there.
        on_cell: receives the name of every cell before it is inverted.

    Returns:
        Name to path of the tables: photos, aligned, study_scores, study_pictures, study_summary, study_comparisons,
        study_orders.

    Raises:
        InputError: no photograph can be used.
        GanvertError: a parameter or the disk is at fault. A method or photograph that fails is a row instead.
    """
    scores: list[Row] = []
    pictures = _photographs(study)
    for name, options in study.options.section_options().items():
        found = Finished([], [], [])
        store = PieceStore(study.pieces, name, SECTIONS[name], options, study.tools)
        for crops in _crops(study, name, options):
            for cell in _cells(study, SECTIONS[name], options):
                on_cell(f"{name} {crops.variant} {cell.name}")
                found.add(_measure_cell(study, store, cell, crops))
        measured = dataclasses.replace(found, scores=[row for row in found.scores if row["metric"] != CODE])
        further = SECTIONS[name].finish(measured, study.tools, options)
        scores += [*found.scores, *({"section": name, "reason": "", **row} for row in further)]
        pictures += found.pictures
    return _write(study, scores, pictures)


def _cells(study: Study, section: Section, options: SectionOptions) -> list[Cell]:
    """Return the cells that a section measures."""
    chosen = options.methods or study.options.methods
    return [cell for cell in study.cells if cell.method in chosen and (section.seeds or cell.seed == 0)]


def _crops(study: Study, name: str, options: SectionOptions) -> Iterator[_Crops]:
    """Yield the crops of a section, variant by variant."""
    rows = study.aligned[: options.photos]
    for variant, change in SECTIONS[name].crops(options).items():
        if not variant:
            ids = {row["image_id"]: row["image_id"] for row in rows}
            yield _Crops(name, "", _part(study, rows), study.folder, ids)
            continue
        folder = study.folder / "variants" / variant.replace(" ", "_")
        changed, ids = [], {}
        for row in rows:
            png = to_png(change(from_png(row["crop"])))
            photo_id = hashlib.sha256(png).hexdigest()
            ids[row["image_id"]] = f"{photo_id[:16]}-0"
            changed.append({**row, "photo_id": photo_id, "image_id": ids[row["image_id"]], "crop": png})
        table = folder / "aligned.parquet"
        tables.write(table, tables.ALIGNED, changed)
        yield _Crops(name, variant, table, folder, ids)


def _part(study: Study, rows: Sequence[Row]) -> Path:
    """Return a table of the first crops: the whole one, or a part of it."""
    if len(rows) == len(study.aligned):
        return study.folder / "aligned.parquet"
    path = study.folder / "parts" / f"first_{len(rows)}.parquet"
    tables.write(path, tables.ALIGNED, rows)
    return path


def _measure_cell(study: Study, store: PieceStore, cell: Cell, crops: _Crops) -> Finished:
    """Return all pieces of a cell, with a row of the metric :data:`CODE` for every photograph."""
    done = Finished([], [], [])
    if cell.job is None:
        for image_id in crops.ids:
            done.scores.append(_code_row(store.name, image_id, cell, crops.variant, "unavailable", cell.reason))
        return done
    part = "" if len(crops.ids) == len(study.aligned) or crops.variant else f"parts/{len(crops.ids)}"
    inverted = invert_cell(cell, crops.table, crops.folder / part, study.work, study.workers)
    original = {crop_id: image_id for image_id, crop_id in crops.ids.items()}
    for crop_id, reason in inverted.failures.items():
        done.scores.append(_code_row(store.name, original[crop_id], cell, crops.variant, "failed", reason))
    shown = set(list(crops.ids)[: study.options.shown])
    if inverted.codes is None:
        return done
    columns = ["image_id", "status", "reason"]
    facts = {row["image_id"]: row for row in tables.rows(inverted.codes, "codes", columns, 4096)}
    partner_of = partners(crops.ids.values()) if store.section.pairs else {}
    for crop_id in progress(list(facts), len(facts), f"{store.name} {crops.variant} {cell.name}"):
        image_id, fact = original[crop_id], facts[crop_id]
        status = _code_row(store.name, image_id, cell, crops.variant, fact["status"], fact["reason"])
        # A partner that this method has no code of is none.
        pair = [crop_id, *(other for other in (partner_of.get(crop_id),) if other in facts)]

        def subject(pair: Sequence[str] = pair) -> Subject:
            first, *others = (_subject(study, cell, crops, inverted, one, original[one]) for one in pair)
            return dataclasses.replace(first, partner=others[0]) if others else first

        done.scores.append(status)
        done.add(store.get(cell, image_id, pair, image_id in shown, subject))
    return done


def partners(ids: Iterable[str]) -> dict[str, str]:
    """Return id to the id of its partner: the next one in the order of ids, and the first after the last.

    The photographs alone decide it, not their order, the method or the shards. A single one has none.
    """
    ring = sorted(ids)
    return dict(zip(ring, [*ring[1:], *ring[:1]], strict=True)) if len(ring) > 1 else {}


def _subject(study: Study, cell: Cell, crops: _Crops, inverted: Inverted, crop_id: str, image_id: str) -> Subject:
    """Load a crop with its code and reconstruction."""
    assert inverted.codes is not None and inverted.reconstructions is not None
    with (
        tables.Lookup(crops.table, tables.ALIGNED, "image_id", ["crop"]) as of_crops,
        tables.Lookup(inverted.reconstructions, tables.RECONSTRUCTIONS, "image_id", ["png"]) as drawn,
    ):
        return Subject(
            image_id=image_id,
            cell=cell,
            variant=crops.variant,
            crop=from_png(of_crops[crop_id]["crop"]),
            reconstruction=from_png(drawn[crop_id]["png"]),
            code=read_codes(inverted.codes, study.generator, image_ids=[crop_id])[0],
            seconds=inverted.seconds.get(crop_id),
        )


def _code_row(section: str, image_id: str, cell: Cell, variant: str, status: str, reason: str) -> Row:
    """Return the row that says whether there is a code."""
    row = number(variant, 0.0, CODE, 1.0 if status == "ok" else None, status)
    key = {"section": section, "image_id": image_id, "method": cell.method, "seed": cell.seed}
    return {**key, **row, "reason": reason}


def _photographs(study: Study) -> list[Row]:
    """Return the crops of the photographs that are shown, as rows of pictures without a method."""
    return [
        {
            "section": "reconstruction",
            "image_id": row["image_id"],
            "method": "",
            "seed": 0,
            "variant": "",
            "amount": 0.0,
            "png": small_png(from_png(row["crop"])),
        }
        for row in study.aligned[: study.options.shown]
    ]


def _write(study: Study, scores: Sequence[Row], pictures: Sequence[Row]) -> dict[str, Path]:
    """Write the tables of a study."""
    summary = summaries(scores)
    made = {
        tables.STUDY_SCORES: scores,
        tables.STUDY_PICTURES: pictures,
        tables.STUDY_SUMMARY: summary,
        tables.STUDY_COMPARISONS: comparisons(scores, study.options.compared_with),
        tables.STUDY_ORDERS: orders(scores),
    }
    paths = {name: study.folder / f"{name}.parquet" for name in ("photos", "aligned")}
    for table, rows in made.items():
        paths[table.name] = study.folder / f"{table.name}.parquet"
        tables.write(paths[table.name], table, rows, {"generator": study.generator.fingerprint()})
    return paths
