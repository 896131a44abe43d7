"""What one worker process does: the models of a job, loaded once, and pictures through them."""

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
from ganvert.base.errors import PhotoError
from ganvert.codes import code_rows, code_table, codes_of_inversion
from ganvert.compute.device import strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.extraction.device import claim_device, images_at_once
from ganvert.extraction.job import Job, Keep
from ganvert.extraction.shards import PICTURES, THUMBS
from ganvert.extraction.sources import Member, Reader
from ganvert.faces import RECIPES, FaceDetector
from ganvert.faces.pipeline import align_photo, photo_row
from ganvert.generators import load_generator
from ganvert.images import from_png, to_pil, to_png
from ganvert.inversion.presets import Inversion
from ganvert.inversion.run import Crop, invert_crops, make_context, seeds_for
from ganvert.scoring.metrics import check_sizes
from ganvert.scoring.score import asset_metrics, score_reconstructions

__all__ = ["Session"]

T = TypeVar("T")
Row = dict[str, Any]
#: Told how many pictures of a shard are done, in parts of one.
OnProgress = Callable[[float], None]
log = logging.getLogger(__name__)
_THUMB = 256  # px
_CHUNK = 4  # batches that are inverted in one go: those that end early make room for the next


@dataclasses.dataclass
class _Picture:
    """One picture of a shard on its way."""

    member: Member
    photo: Row | None  # its row of `photos`; None for pictures that are crops already
    crops: list[Row]  # its rows of `aligned`, crops as PNG; of crops only their ids and pixels
    images: list[Crop]


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
        assets = Path(job.assets)
        needs_face = job.align is not None and RECIPES[job.align.recipe].needs_face
        self.detector = FaceDetector(assets) if needs_face else None
        self.schemas: dict[str, pa.Schema] = {}
        if job.align is not None:
            facts = {"recipe": job.align.recipe, "resolution": str(job.align.resolution)}
            self.schemas["photos"] = tables.PHOTOS.schema(facts)
            if job.keep.crops or job.invert is None:
                self.schemas["aligned"] = tables.ALIGNED.schema(facts)
        if job.invert is None:
            return
        told = job.invert
        self.preset = told.read()
        generator = load_generator(told.generator, told.label).to(self.device)
        inputs = None if told.inputs is None else Path(told.inputs)
        encoders = [Path(path) for path in told.encoders]
        self.context = make_context(self.preset, generator, encoders, assets, inputs, told.batch, told.speed)
        check_sizes(job.metrics, generator.resolution)
        self.metrics = asset_metrics(job.metrics, assets)
        table, facts = code_table(self.preset, self.context, dtype=job.keep.dtype, skip=job.keep.skip)
        self.schemas["codes"] = table.schema(facts)
        if job.keep.reconstructions:
            facts = {"image_channels": str(generator.image_channels)}
            self.schemas["reconstructions"] = tables.RECONSTRUCTIONS.schema(facts)
        if job.metrics:
            self.schemas["scores"] = tables.SCORES.schema()
        self.schemas[THUMBS] = pa.schema([pa.field("crop", pa.binary()), pa.field("drawn", pa.binary())])

    def run(
        self, members: Sequence[Member], tuned: Path, on_progress: OnProgress = lambda _: None
    ) -> dict[str, pa.Table]:
        """Everything that the job wants of some pictures, each table in their order.

        Args:
            members: the pictures.
            tuned: folder for the weights of tuned generators.
            on_progress: see `OnProgress`.
        """
        self._thumbs = 1 + len(members) // 64  # drawing all would cost more than an encoder's look
        rows: dict[str, list[Row]] = {name: [] for name in self.schemas}
        codes: list[pa.Table] = []
        counts = {member.photo_id: 0 for member in members}
        done = 0
        for pictures in self._chunks(members):
            for picture in pictures:
                counts[picture.member.photo_id] = len(picture.crops)
                if picture.photo is not None:
                    rows["photos"].append(picture.photo)
                if "aligned" in rows:
                    rows["aligned"] += picture.crops
            if self.job.invert is not None and (crops := [crop for picture in pictures for crop in picture.images]):

                def on_image(images: float, before: int = done, share: float = len(pictures) / len(crops)) -> None:
                    on_progress(before + images * share)

                codes.append(self._invert(crops, tuned, rows, on_image))
            done += len(pictures)
            on_progress(done)
        made = {name: pa.Table.from_pylist(found, schema=self.schemas[name]) for name, found in rows.items()}
        if "codes" in made:
            made["codes"] = pa.concat_tables([made["codes"], *codes])
        return made | {PICTURES: self._pictures(members, counts)}

    def _pictures(self, members: Sequence[Member], counts: dict[str, int]) -> pa.Table:
        """What :data:`PICTURES` says: rows of each picture in every table."""
        crops = [counts[member.photo_id] for member in members]
        of_table = dict.fromkeys(self.schemas, crops) | {"photos": [1] * len(members)}
        of_table["scores"] = [count * len(self.job.metrics) for count in crops]
        columns = {"photo_id": pa.array([member.photo_id for member in members], pa.string())}
        names = [name for name in self.schemas if name != THUMBS]
        return pa.table(columns | {name: pa.array(of_table[name], pa.int32()) for name in names})

    def _chunks(self, members: Sequence[Member]) -> Iterator[list[_Picture]]:
        """Pictures, read and aligned by a thread of their own while those before are inverted."""
        size, ahead = len(members), len(members)
        if self.job.invert is not None and not self.preset.together:
            size = _CHUNK * images_at_once(self.job.invert.batch, self.device.type)
            ahead = 2 * size
        if self.job.invert is None:
            size, ahead = 1, 2
        with Reader() as reader, ThreadPoolExecutor(1) as pool:
            pictures = _ahead(pool, lambda member: self._picture(member, reader), members, ahead)
            while chunk := list(islice(pictures, size)):
                yield chunk

    def _picture(self, member: Member, reader: Reader) -> _Picture:
        data, trouble = b"", PhotoError(member.reason) if member.status != "ok" else None
        if trouble is None:
            try:
                data = reader.read(member)
            except PhotoError as error:
                trouble = error
        if trouble is not None and self.job.align is None:
            raise trouble  # a crop that ganvert itself has stored
        if trouble is not None:
            log.warning("%s", trouble)
            return _Picture(member, photo_row(member.photo_id, member.path, trouble.status, str(trouble)), [], [])
        if self.job.align is None:
            assert member.image_id is not None
            return _Picture(member, None, [{}], [Crop(member.image_id, from_png(data))])
        photo, crops = align_photo(data, member.path, self.job.align, self.detector)
        images = [Crop(row["image_id"], from_png(row["crop"])) for row in crops] if self.job.invert else []
        return _Picture(member, photo, crops, images)

    def _invert(self, crops: list[Crop], tuned: Path, rows: dict[str, list[Row]], on_image: OnProgress) -> pa.Table:
        """Rows of `codes`; those of `reconstructions` and `scores` go into `rows`."""
        told = self.job.invert
        assert told is not None
        inversion = invert_crops(crops, self.preset, self.context, seed=told.seed, on_images=on_image)
        ids = [crop.image_id for crop in crops]
        seeds = seeds_for(crops, told.method, told.seed)
        keep = self.job.keep
        table = code_rows(
            self.preset, inversion, ids, seeds, self.context, tuned=tuned, dtype=keep.dtype, skip=keep.skip
        )
        drawn = len(crops) if keep.reconstructions or self.metrics else self._thumbs - len(rows[THUMBS])
        self._draw(crops[:drawn], _as_stored(inversion, keep), rows)
        return table

    def _draw(self, crops: list[Crop], inversion: Inversion, rows: dict[str, list[Row]]) -> None:
        assert self.job.invert is not None
        method, generator = self.job.invert.method, self.context.generator
        codes = codes_of_inversion(inversion, [crop.image_id for crop in crops], method, generator)
        for i, crop in enumerate(crops):
            picture = to_pil(codes.select(i).draw())[0]
            if len(rows[THUMBS]) < self._thumbs:
                rows[THUMBS].append({"crop": _thumb(crop.image), "drawn": _thumb(picture)})
            key = {"image_id": crop.image_id, "method": method}
            if self.metrics:
                channels = generator.image_channels
                rows["scores"] += score_reconstructions([key], [picture], [crop.image], self.metrics, channels)
            if "reconstructions" in rows:
                rows["reconstructions"].append({**key, "png": to_png(picture)})


def _ahead(pool: ThreadPoolExecutor, work: Callable[[Member], T], items: Sequence[Member], ahead: int) -> Iterator[T]:
    """Results in order; at most `ahead` of them are made before they are asked for."""
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
    buffer = io.BytesIO()
    picture.convert("RGB").resize((_THUMB, _THUMB), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _as_stored(inversion: Inversion, keep: Keep) -> Inversion:
    """What is drawn and scored is what the table says."""
    if keep.dtype == "float32":
        return inversion

    def half(name: str, value: Tensor) -> Tensor:
        return value if name in keep.skip else value.half().float()

    return dataclasses.replace(
        inversion,
        variables={name: half(name, value) for name, value in inversion.variables.items()},
        noise=[half("noise", value) for value in inversion.noise],
    )
