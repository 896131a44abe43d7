"""The sections of params.yaml as dataclasses."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

from ganvert.base import params
from ganvert.base.errors import ParamsError
from ganvert.base.preset_files import ENCODERS, METHODS, Presets
from ganvert.base.registry import lookup
from ganvert.compute.precision import Speed
from ganvert.directions import DIRECTIONS
from ganvert.editing.paste import PasteOptions
from ganvert.editing.spec import EditSpec
from ganvert.editing.stimulus_set import StimuliSpec
from ganvert.extraction.job import Invert, Keep
from ganvert.faces import ATTRIBUTES, AlignOptions
from ganvert.inversion.presets import Preset, read_resolved
from ganvert.inversion.run import shipped_encoders
from ganvert.report import ReportOptions
from ganvert.sampling import SampleOptions
from ganvert.scoring.metrics import check_metric_name
from ganvert.study import StudyOptions
from ganvert.training import TrainOptions

__all__ = [
    "SECTIONS",
    "AlignParams",
    "DiscoverParams",
    "EditParams",
    "EvaluateParams",
    "ExtractParams",
    "FetchParams",
    "GeneratorParams",
    "InvertParams",
    "Settings",
    "StimuliParams",
    "TrainParams",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorParams:
    """Section `generator`.

    Attributes:
        path: a checkpoint.
        label: class that a conditional generator draws.
    """

    path: str
    label: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchParams:
    """Section `fetch`.

    Attributes:
        photos: fetch the sample photographs too.
    """

    photos: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignParams(AlignOptions):
    """Section `align`.

    Attributes:
        photos: files, archives, lists, and folders searched to any depth.
    """

    photos: tuple[str, ...]

    def options(self) -> AlignOptions:
        """Return how each photograph is aligned."""
        return AlignOptions(**{field.name: getattr(self, field.name) for field in dataclasses.fields(AlignOptions)})


def _check_names(names: Iterable[str], key: str) -> None:
    """Refuse names that cannot name a stage of DVC (``invert@NAME``), an argument of a shell command and a file."""
    for name in names:
        if not re.fullmatch(r"\w[\w-]{0,99}", name):
            raise ParamsError(
                f"{key}: wanted names of letters, digits, _ and - (not the first), at most 100, got {name!r}: "
                "each becomes a stage of DVC and a file; rename it"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class InvertParams:
    """Section `invert`.

    Attributes:
        methods: presets that run, each with the file it starts from (an encoder, or the generator), or a list of
            encoders, of which later ones override earlier ones.
        options: inline presets by name; one hides a file of its name.
        first: methods that invert the first crops alone, and how many; the others invert all.
        seed: seed of the run.
        batch: images side by side; None for as many as fit into memory.
        shard: images that are stored together; None for about 256 steps of work.
        speed: precision and compilation.
    """

    methods: dict[str, str | tuple[str, ...]]
    options: dict[str, Any]
    first: dict[str, int] = dataclasses.field(default_factory=dict)
    seed: int = 0
    batch: int | None = 1
    shard: int | None = None
    speed: Speed = dataclasses.field(default_factory=Speed)

    def __post_init__(self) -> None:
        if not self.methods:
            raise ParamsError("methods: wanted at least one")
        _check_names(self.methods, "methods")
        for name in self.methods:
            if not self.starts(name):
                raise ParamsError(f"methods.{name}: wanted at least one file to start from")
        for name in self.first:
            lookup(self.methods, name, "method in invert.methods (invert.first)")
        counts = {f"first.{name}": count for name, count in self.first.items()}
        for name, value in {**counts, "batch": self.batch, "shard": self.shard}.items():
            if value is not None and value < 1:
                raise ParamsError(f"{name}: wanted 1 or more{'' if name in counts else ', or null'}, got {value}")

    @cached_property
    def presets(self) -> Presets:
        """All methods: inline ones, and files."""
        return Presets(METHODS, self.options)

    def preset(self, method: str) -> Preset:
        """Return the preset of a method, with its parents merged in, whether it runs or not."""
        return read_resolved(self.presets.resolve(method))

    def starts(self, method: str) -> list[Path]:
        """Return the files that a method of `methods` starts from."""
        named = self.methods[method]
        return [Path(path) for path in ([named] if isinstance(named, str) else named)]

    def job(self, preset: Preset, generator: GeneratorParams, inputs: Path) -> Invert:
        """Return the inversion part of an extraction job.

        Args:
            preset: the method; one that is not in `methods` starts from the weights that come with ganvert.
            generator: the generator.
            inputs: folder of masks and second pictures.
        """
        start = self.starts(preset.name) if preset.name in self.methods else shipped_encoders(preset)
        return Invert(
            method=preset.name,
            preset=dict(preset.raw),
            generator=generator.path,
            label=generator.label,
            encoders=tuple(map(str, start)) if preset.needs_encoder else (),
            inputs=str(inputs),
            seed=self.seed,
            batch=self.batch,
            speed=self.speed,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainParams:
    """Section `train_encoder`.

    Attributes:
        encoders: presets that are trained, each with the file it starts from (weights of the same encoder, or the
            generator for one from scratch).
        options: inline presets by name; one hides a file of its name.
        photos: table of the aligned photographs they learn from.
    """

    encoders: dict[str, str]
    options: dict[str, Any]
    photos: str = "data/aligned.parquet"

    def __post_init__(self) -> None:
        _check_names(self.encoders, "encoders")

    @cached_property
    def presets(self) -> Presets:
        """All presets of encoders: inline ones, and files."""
        return Presets(ENCODERS, self.options)

    def preset(self, name: str) -> TrainOptions:
        """Return the options of one encoder, with those of its parents merged in."""
        preset = self.presets.resolve(name)
        return params.build(TrainOptions, preset.options, preset.where)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscoverParams:
    """Section `discover`.

    Attributes:
        methods: names of ``ganvert.directions.DIRECTIONS`` with their options.
    """

    methods: dict[str, Any]

    def __post_init__(self) -> None:
        if not self.methods:
            raise ParamsError(f"methods: wanted at least one of {', '.join(DIRECTIONS)}")
        self.options()

    def options(self) -> dict[str, Any]:
        """Return every finder's options, checked."""
        return {
            name: params.build(lookup(DIRECTIONS, name, "direction finder").options, raw, f"discover.methods.{name}")
            for name, raw in self.methods.items()
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditParams:
    """Section `edit`.

    Attributes:
        method: whose codes are edited.
        edits: a name for each edit, and what it is.
        paste: how faces go back into photographs.
    """

    method: str
    edits: dict[str, EditSpec]
    paste: PasteOptions = dataclasses.field(default_factory=PasteOptions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StimuliParams:
    """Section `stimuli`.

    Attributes:
        sets: a name for each set of stimuli, and what it is; they show the faces of `edit.method`.
    """

    sets: dict[str, StimuliSpec] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_names(self.sets, "sets")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateParams:
    """Section `evaluate`.

    Attributes:
        metrics: full names, net and resolution included (``ganvert.scoring.metrics``); those of identity
            compare edits too.
        attributes: face attributes measured on edits (``ganvert.faces.ATTRIBUTES``).
    """

    metrics: tuple[str, ...]
    attributes: tuple[str, ...] = tuple(ATTRIBUTES)

    def __post_init__(self) -> None:
        for name in self.attributes:
            lookup(ATTRIBUTES, name, "attribute")
        for name in self.metrics:
            check_metric_name(name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtractParams:
    """Section `extract`, for stages/extract.py and flows/extract.py.

    Attributes:
        shard: pictures of one unit of work; None for about 256 steps of it.
        keep: what is stored beside the codes.
        metrics: what reconstructions are scored by; empty for none.
    """

    shard: int | None = None
    keep: Keep = dataclasses.field(default_factory=Keep)
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.shard is not None and self.shard < 1:
            raise ParamsError(f"shard: wanted 1 or more, or null, got {self.shard}")
        for name in self.metrics:
            check_metric_name(name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """params.yaml: the device (auto, cpu, cuda or cuda:N), and every section under its name."""

    device: str
    generator: GeneratorParams
    fetch: FetchParams
    align: AlignParams
    sample: SampleOptions
    train_encoder: TrainParams
    invert: InvertParams
    extract: ExtractParams
    discover: DiscoverParams
    edit: EditParams
    stimuli: StimuliParams
    evaluate: EvaluateParams
    study: StudyOptions
    report: ReportOptions


#: Section to its dataclass.
SECTIONS: dict[str, type] = {name: kind for name, kind in get_type_hints(Settings).items() if name != "device"}
