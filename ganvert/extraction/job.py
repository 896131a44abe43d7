"""A job: what is done with every picture (align, invert, score). Plain data that travels to workers, and its key."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ganvert import assets
from ganvert.base import params
from ganvert.base.errors import AssetError, ParamsError
from ganvert.base.files import sha256_of
from ganvert.base.provenance import PLUMBING, closure_digest
from ganvert.codes import check_skip
from ganvert.compute.device import resolve_device
from ganvert.compute.precision import Speed, speed_here
from ganvert.encoders import check_encoder
from ganvert.faces.detect import LANDMARKS_FILE
from ganvert.faces.mtcnn import MTCNN_FILE
from ganvert.faces.parsing import PARSER_FILE
from ganvert.faces.pipeline import RECIPES, AlignOptions
from ganvert.generators import Generator
from ganvert.inversion.inputs import check_inputs, is_region
from ganvert.inversion.presets import Preset, read_preset
from ganvert.scoring.metrics import check_metric_name, check_sizes

__all__ = ["Invert", "Job", "Keep", "make_job"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keep:
    """What is stored.

    Attributes:
        crops: whether to keep the aligned pictures (table `aligned`), about 1.5 MB each at 1024 px.
        reconstructions: whether to keep what the codes draw (table `reconstructions`), about as large.
        dtype: of the codes. float16 halves them; its rounding moves pixels less than their 8 bits can show.
        skip: variables that are not stored (`f`, the feature map of F spaces); such codes cannot be drawn.
    """

    crops: bool = False
    reconstructions: bool = False
    dtype: Literal["float32", "float16"] = "float32"
    skip: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Invert:
    """The inversion of a job.

    Attributes:
        method: name of the preset.
        preset: its options as YAML has them, parents merged in.
        generator: checkpoint.
        label: class that a conditional generator draws.
        encoders: weights of the encoders it starts from; empty for methods without.
        inputs: folder of the masks and pictures that it names.
        seed: of the run; each image's own seed is made of it.
        batch: images optimised side by side at most; null measures how many fit.
        speed: precision and compilation, as far as the machine that made the job can do it.
    """

    method: str
    preset: dict[str, Any]
    generator: str
    label: int | None = None
    encoders: tuple[str, ...] = ()
    inputs: str | None = None
    seed: int = 0
    batch: int | None = 1
    speed: Speed = dataclasses.field(default_factory=Speed)

    def read(self) -> Preset:
        """Return the preset, checked."""
        return read_preset(self.method, self.preset)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What is done with every picture; made by :func:`make_job`.

    Attributes:
        align: how faces are cut out; None for pictures that are crops already (a table of aligned ones).
        invert: the method; None where crops are all that is wanted.
        metrics: full names of the metrics of reconstructions.
        keep: what is stored.
        assets: folder of the models.
        device: auto, cpu, cuda or cuda:N; auto takes a free GPU if there is one.
        threads: of one worker on a CPU; None is all. The last digits of sums depend on it.
        digests: sha256 of every model file by its path, so that a worker with another file, or none, says so.
    """

    align: AlignOptions | None
    invert: Invert | None
    metrics: tuple[str, ...] = ()
    keep: Keep = dataclasses.field(default_factory=Keep)
    assets: str
    device: str = "auto"
    threads: int | None = None
    digests: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.align is None and self.invert is None:
            raise ParamsError("job: wanted alignment, a method or both, got neither")
        if self.invert is None and (self.metrics or self.keep.reconstructions):
            raise ParamsError("job: metrics and reconstructions need a method (invert), got none")
        if self.threads is not None and self.threads < 1:
            raise ParamsError(f"threads: wanted 1 or more, got {self.threads}")
        for name in self.metrics:
            check_metric_name(name)

    @cached_property
    def key(self) -> str:
        """32 hex digits made of everything that decides results, code included; not of device, threads or batch."""
        facts: dict[str, Any] = {"keep": dataclasses.asdict(self.keep), "models": sorted(self.digests.values())}
        facts["rows"] = _code_of_rows()
        if self.align is not None:
            facts["align"] = [
                dataclasses.asdict(self.align),
                closure_digest("ganvert.faces.pipeline", without=PLUMBING),
            ]
        if self.invert is not None:
            invert, preset = self.invert, self.invert.read()
            facts["invert"] = [
                *(invert.method, preset.fingerprint, invert.label, invert.seed),
                dataclasses.asdict(invert.speed),
                _code_of(preset),
                _digest_of_inputs(preset, invert.inputs),
            ]
            if len(invert.encoders) > 1:  # later ones override earlier ones: `models` does not tell their order
                facts["encoders"] = [self.digests[path] for path in invert.encoders]
        if self.metrics:
            facts["metrics"] = [self.metrics, closure_digest("ganvert.scoring.score", without=PLUMBING)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def check_files(self) -> None:
        """Raise AssetError unless every model file is here and is the one that the job was made with."""
        for path, digest in self.digests.items():
            if not Path(path).is_file():
                raise AssetError(
                    f"{path}: this worker lacks the model file; wanted the file of sha256 {digest[:12]}; copy it "
                    "there, or share the folder with every worker"
                )
            if (actual := sha256_of(Path(path))) != digest:
                raise AssetError(
                    f"{path}: wanted the file of sha256 {digest[:12]} that the run was started with, "
                    f"got {actual[:12]}; give this worker the same file, or start the run again"
                )

    def to_json(self) -> str:
        """Return the job as one line of text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Return the job that :meth:`to_json` wrote."""
        return params.build(cls, json.loads(text), "job")


def make_job(
    *,
    align: AlignOptions | None,
    invert: Invert | None,
    metrics: Sequence[str] = (),
    keep: Keep | None = None,
    assets_folder: Path,
    device: str = "auto",
    threads: int | None = None,
    generator: Generator | None = None,
) -> Job:
    """Return a job with absolute paths and the digests of its files.

    Args:
        align: see :class:`Job`; its resolution must be a number.
        invert: see :class:`Invert`.
        metrics: see :class:`Job`.
        keep: see :class:`Keep`.
        assets_folder: folder of the models.
        device: see :class:`Job`.
        threads: see :class:`Job`.
        generator: that of the method, loaded. Everything that has to go with it is checked; without it the first worker
            finds out.

    Raises:
        ParamsError, UnsupportedError: a value is wrong, or values do not go together.
        AssetError: a model file is missing.
        CheckpointError: an encoder cannot be read, or is another generator's.
        InputError: a mask or picture that the method names is missing.
    """
    files: list[Path] = []
    if align is not None:
        if align.resolution is None:
            raise ParamsError("resolution: null stands for the generator's own; here a number is wanted")
        if RECIPES[align.recipe].needs_face:
            files += [assets.path(name, assets_folder) for name in (LANDMARKS_FILE, MTCNN_FILE)]
    if invert is not None:
        files += [Path(invert.generator), *map(Path, invert.encoders)]
        names = invert.read().inputs
        check_inputs(names, None if invert.inputs is None else Path(invert.inputs))
        if any(map(is_region, names)):
            files.append(assets.path(PARSER_FILE, assets_folder))
        invert = _settled(invert, device)
    for file in files:
        if not file.is_file():
            raise AssetError(f"{file}: there is no such model file; correct the path, or make it: `dvc repro` does")
    if invert is not None and generator is not None:
        _check_for(generator, invert, tuple(metrics), keep or Keep())
    return Job(
        align=align,
        invert=invert,
        metrics=tuple(metrics),
        keep=keep or Keep(),
        assets=_absolute(assets_folder),
        device=device,
        threads=threads,
        digests={_absolute(file): sha256_of(file) for file in files},
    )


def _settled(invert: Invert, device: str) -> Invert:
    """Return the inversion part with absolute paths and the speed that this machine chooses."""
    return dataclasses.replace(
        invert,
        generator=_absolute(invert.generator),
        encoders=tuple(map(_absolute, invert.encoders)),
        inputs=None if invert.inputs is None else _absolute(invert.inputs),
        # Decided before the key is made of it: workers use what the machine that plans has chosen.
        speed=speed_here(invert.speed, resolve_device(device)),
    )


def _check_for(generator: Generator, invert: Invert, metrics: Sequence[str], keep: Keep) -> None:
    """Refuse a method, encoders, metrics or variables to skip that do not go with a generator."""
    preset = invert.read()
    preset.check(generator)
    check_sizes(metrics, generator.resolution)
    check_skip(preset, generator, keep.skip)
    for path in invert.encoders:
        check_encoder(Path(path), generator)


def _code_of_rows() -> list[str]:
    """Return digests of the code that makes rows of what is aligned, inverted and scored, and of their tables.

    The session counts by itself, and with how strictly it computes. What else it imports is a part of its own in the
    key (faces, inversion, scoring), or lists, moves and stores pictures and rows, which changes none of them.
    """
    session = closure_digest("ganvert.extraction.session", "ganvert.compute.device", without=("ganvert",))
    return [session, closure_digest("ganvert.tables", without=PLUMBING)]


def _code_of(preset: Preset) -> str:
    """Return a digest of the code that inverts by a preset and makes codes of it.

    `inversion` imports more than one method runs: encoders and discriminators count for methods that use one, and
    `faces` for those that name masks or second pictures, which it reads, or have a loss that imports it.
    """
    uses = {
        "ganvert.encoders": preset.needs_encoder,
        "ganvert.discriminators": preset.needs_discriminator,
        "ganvert.faces": preset.needs_faces,
    }
    unused = tuple(package for package, used in uses.items() if not used)
    return closure_digest("ganvert.inversion.run", "ganvert.codes", without=(*PLUMBING, *unused))


def _absolute(path: str | Path) -> str:
    return str(Path(path).absolute())


def _digest_of_inputs(preset: Preset, folder: str | None) -> Mapping[str, str]:
    """Return the sha256 of the masks and pictures that the preset names, for all images: ids come with alignment."""
    root = Path(folder or ".")
    paths = [root / name for name in preset.inputs]
    files = {
        file.relative_to(root).as_posix(): file
        for path in paths
        for file in (sorted(path.glob("*.png")) if path.is_dir() else [path])
    }
    return {name: sha256_of(file) for name, file in files.items() if file.is_file()}
