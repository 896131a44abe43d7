"""The models of a job, loaded once per worker process, and the pictures of shards taken through them."""

from __future__ import annotations

import dataclasses
import io
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from PIL import Image
from torch import Tensor

from ganvert import tables
from ganvert.base.errors import NoRegionError, PhotoError
from ganvert.codes import code_rows, code_table, codes_of_inversion
from ganvert.compute.device import strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.extraction.device import claim_device, images_at_once
from ganvert.extraction.job import Invert, Job, Keep
from ganvert.extraction.members import Member, Reader
from ganvert.extraction.shards import PICTURES, THUMBS
from ganvert.faces import RECIPES, FaceDetector
from ganvert.faces.pipeline import align_photo, photo_row
from ganvert.generators import load_generator
from ganvert.images import from_png, to_pil, to_png
from ganvert.inversion.inputs import is_region
from ganvert.inversion.presets import Inversion
from ganvert.inversion.run import Crop, check_crops, invert_crops, make_context, seeds_for
from ganvert.scoring.metrics import check_sizes
from ganvert.scoring.score import asset_metrics, score_reconstructions

__all__ = ["Session"]

T = TypeVar("T")
Row = dict[str, Any]
#: Receives how many pictures of a shard are done, a fraction for the one in work.
OnProgress = Callable[[float], None]
log = logging.getLogger(__name__)
_THUMB = 256  # px
_CHUNK = 4  # batches that are inverted in one call: an image that ends early makes room for the next one


@dataclasses.dataclass
class _Aligned:
    """A picture of a shard, read and aligned.

    Attributes:
        member: where it came from.
        photo: its row of `photos`; None for pictures that are crops already.
        rows: its rows of `aligned`, one for each crop; an empty row for pictures that are crops already.
        crops: what is inverted; empty where a job only aligns.
    """

    member: Member
    photo: Row | None
    rows: list[Row]
    crops: list[Crop]


class Session:
    """The models of a job on one device."""

    def __init__(self, job: Job) -> None:
        """Load them.

        Raises:
            AssetError: this machine lacks a model file, or has another one than the run was started with.
            CheckpointError, UnsupportedError, ParamsError: a model cannot be read, or does not go with the job.
        """
        job.check_files()
        strict_math(threads=job.threads)
        keep_freed_memory()
        self.job = job
        self.device = claim_device(job.device)
        self.reader = Reader()  # for all shards: opening a large archive takes seconds
        needs_face = job.align is not None and RECIPES[job.align.recipe].needs_face
        self.detector = FaceDetector(Path(job.assets), second_look=True) if needs_face else None
        self.schemas: dict[str, pa.Schema] = {}
        if job.align is not None:
            facts = {"recipe": job.align.recipe, "resolution": str(job.align.resolution)}
            self.schemas["photos"] = tables.PHOTOS.schema(facts)
            if job.keep.crops or job.invert is None:
                self.schemas["aligned"] = tables.ALIGNED.schema(facts)
        if job.invert is not None:
            self._load_method(job.invert, Path(job.assets))

    def _load_method(self, invert: Invert, assets: Path) -> None:
        """Load what inverts and scores, and add the schemas of the tables that come of it."""
        self.preset = invert.read()
        generator = load_generator(invert.generator, invert.label).to(self.device)
        inputs = None if invert.inputs is None else Path(invert.inputs)
        encoders = [Path(path) for path in invert.encoders]
        self.context = make_context(self.preset, generator, encoders, assets, inputs, invert.batch, invert.speed)
        metrics, keep = self.job.metrics, self.job.keep
        check_sizes(metrics, generator.resolution)
        self.metrics = asset_metrics(metrics, assets)
        table, facts = code_table(self.preset, self.context, dtype=keep.dtype, skip=keep.skip)
        self.schemas["codes"] = table.schema(facts)
        if keep.reconstructions:
            facts = {"image_channels": str(generator.image_channels)}
            self.schemas["reconstructions"] = tables.RECONSTRUCTIONS.schema(facts)
        if metrics:
            self.schemas["scores"] = tables.SCORES.schema()
        self.schemas[THUMBS] = pa.schema([pa.field("crop", pa.binary()), pa.field("drawn", pa.binary())])

    def run(
        self, members: Sequence[Member], tuned: Path, on_progress: OnProgress = lambda _: None
    ) -> dict[str, pa.Table]:
        """Return the tables that the job makes of some pictures, each in their order.

        Args:
            members: the pictures.
            tuned: folder for the weights of tuned generators.
            on_progress: see `OnProgress`.
        """
        # Some of every shard: drawing all of them would take longer than an encoder's inversion. The first few show all
        # of a small extraction.
        self._thumbs = max(4, 1 + len(members) // 64)
        rows: dict[str, list[Row]] = {name: [] for name in self.schemas}
        codes: list[pa.Table] = []
        crop_counts = {member.photo_id: 0 for member in members}
        done = 0
        for chunk in self._chunks(members):
            for picture in chunk:
                crop_counts[picture.member.photo_id] = len(picture.rows)
                if picture.photo is not None:
                    rows["photos"].append(picture.photo)
                if "aligned" in rows:
                    rows["aligned"] += picture.rows
            if crops := [crop for picture in chunk for crop in picture.crops]:

                def on_crops(count: float, before: int = done, share: float = len(chunk) / len(crops)) -> None:
                    on_progress(before + count * share)

                codes.append(self._invert(crops, tuned, rows, on_crops))
            done += len(chunk)
            on_progress(done)
        made = {name: pa.Table.from_pylist(values, schema=self.schemas[name]) for name, values in rows.items()}
        if "codes" in made:
            made["codes"] = pa.concat_tables([made["codes"], *codes])
        return made | {PICTURES: self._row_counts([crop_counts[member.photo_id] for member in members], members)}

    def _row_counts(self, crops: Sequence[int], members: Sequence[Member]) -> pa.Table:
        """Return the table :data:`PICTURES`: how many rows each picture has in every other table."""
        counts = {name: list(crops) for name in self.schemas if name != THUMBS}
        if "photos" in counts:
            counts["photos"] = [1] * len(members)
        if "scores" in counts:
            counts["scores"] = [count * len(self.job.metrics) for count in crops]
        columns = {"photo_id": pa.array([member.photo_id for member in members], pa.string())}
        return pa.table(columns | {name: pa.array(values, pa.int32()) for name, values in counts.items()})

    def _chunks(self, members: Sequence[Member]) -> Iterator[list[_Aligned]]:
        """Yield pictures in pieces to invert at once; a thread reads and aligns the next while one is inverted."""
        size, ahead = len(members), len(members)
        if self.job.invert is None:
            size, ahead = 1, 2
        elif not self.preset.together:
            size = _CHUNK * images_at_once(self.job.invert.batch, self.device.type)
            ahead = 2 * size
        with ThreadPoolExecutor(1) as pool:
            pictures = _ahead(pool, self._align, members, ahead)
            while chunk := list(islice(pictures, size)):
                yield chunk

    def _align(self, member: Member) -> _Aligned:
        """Read and align a picture. Trouble with it becomes its row, except with a crop that ganvert itself stored."""
        try:
            data = self.reader.read(member)
        except PhotoError as error:
            if self.job.align is None:
                raise
            log.warning("%s", error)
            return _Aligned(member, photo_row(member.photo_id, member.path, error.status, str(error)), [], [])
        if self.job.align is None:
            assert member.image_id is not None
            return _Aligned(member, None, [{}], [Crop(member.image_id, from_png(data))])
        photo, rows = align_photo(data, member.path, self.job.align, self.detector)
        if self.job.invert is not None:
            rows = self._with_regions(photo, rows)
        crops = [Crop(row["image_id"], from_png(row["crop"])) for row in rows] if self.job.invert else []
        return _Aligned(member, photo, rows, crops)

    def _with_regions(self, photo: Row, rows: list[Row]) -> list[Row]:
        """Return the crops that show all regions that masks name; the photograph's row says what others lack."""
        if not any(map(is_region, self.preset.inputs)):
            return rows
        kept = []
        for row in rows:
            try:
                check_crops(self.preset, self.context, [Crop(row["image_id"], from_png(row["crop"]))])
                kept.append(row)
            except NoRegionError as error:
                log.warning("%s", error)
                photo["reason"] = str(error)
        if rows and not kept:
            photo["status"] = NoRegionError.status
        return kept

    def _invert(self, crops: list[Crop], tuned: Path, rows: dict[str, list[Row]], on_crops: OnProgress) -> pa.Table:
        """Return rows of `codes`; add those of `reconstructions` and `scores` to `rows`."""
        invert, keep = self.job.invert, self.job.keep
        assert invert is not None
        inversion = invert_crops(crops, self.preset, self.context, seed=invert.seed, on_images=on_crops)
        ids = [crop.image_id for crop in crops]
        seeds = seeds_for(crops, invert.method, invert.seed)
        table = code_rows(
            self.preset, inversion, ids, seeds, self.context, tuned=tuned, dtype=keep.dtype, skip=keep.skip
        )
        drawn = len(crops) if keep.reconstructions or self.metrics else self._thumbs - len(rows[THUMBS])
        self._draw(crops[:drawn], _as_stored(inversion, keep), rows)
        return table

    def _draw(self, crops: list[Crop], inversion: Inversion, rows: dict[str, list[Row]]) -> None:
        """Draw the codes of some crops; add thumbnails, scores and reconstructions to `rows`."""
        assert self.job.invert is not None
        method, generator = self.job.invert.method, self.context.generator
        codes = codes_of_inversion(inversion, [crop.image_id for crop in crops], method, generator)
        for i, crop in enumerate(crops):
            picture = to_pil(codes[i].draw())[0]
            if len(rows[THUMBS]) < self._thumbs:
                rows[THUMBS].append({"crop": _thumb(crop.image), "drawn": _thumb(picture)})
            key = {"image_id": crop.image_id, "method": method}
            if self.metrics:
                channels = generator.image_channels
                rows["scores"] += score_reconstructions([key], [picture], [crop.image], self.metrics, channels)
            if "reconstructions" in rows:
                rows["reconstructions"].append({**key, "png": to_png(picture)})


def _ahead(pool: ThreadPoolExecutor, work: Callable[[Member], T], items: Sequence[Member], ahead: int) -> Iterator[T]:
    """Yield results in order; at most `ahead` of them are made before they are wanted."""
    waiting: deque[Future[T]] = deque()
    todo = iter(items)
    for item in islice(todo, ahead):
        waiting.append(pool.submit(work, item))
    while waiting:
        result = waiting.popleft().result()
        for item in islice(todo, 1):
            waiting.append(pool.submit(work, item))
        yield result


def _thumb(picture: Image.Image) -> bytes:
    """Return a small JPEG."""
    buffer = io.BytesIO()
    picture.convert("RGB").resize((_THUMB, _THUMB), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _as_stored(inversion: Inversion, keep: Keep) -> Inversion:
    """Return the codes as the table holds them, rounded to its type: they are what is drawn and scored."""
    if keep.dtype == "float32":
        return inversion

    def half(name: str, value: Tensor) -> Tensor:
        return value if name in keep.skip else value.half().float()

    return dataclasses.replace(
        inversion,
        variables={name: half(name, value) for name, value in inversion.variables.items()},
        noise=[half("noise", value) for value in inversion.noise],
    )
