"""params.yaml as a whole: read into dataclasses once, and checked across sections before any work.

``python -m stages.settings`` checks; ``python -m stages.settings --apply FILE`` first writes FILE's values into
params.yaml (comments are kept).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvert.base import params
from ganvert.base.errors import GanvertError, ParamsError, UnsupportedError
from ganvert.base.files import atomic_path
from ganvert.base.registry import lookup
from ganvert.compute.device import resolve_device
from ganvert.directions.base import row_range
from ganvert.generators import Generator, load_generator
from ganvert.inversion.presets import Preset, read_preset
from ganvert.inversion.run import shipped_encoders
from ganvert.report import ReportOptions
from ganvert.sampling import SampleOptions
from ganvert.scoring.metrics import check_metric_name, check_sizes
from ganvert.training import TrainOptions

PARAMS = Path("params.yaml")


def load_settings() -> Settings:
    """Read and check params.yaml of the current folder; see :func:`read_settings`."""
    return read_settings(params.load(PARAMS))


def read_settings(raw: Mapping[str, Any]) -> Settings:
    """Read and check the parsed params.yaml, and every preset that it and the folder of presets hold.

    Raises:
        ParamsError, UnknownNameError: the first thing that is wrong anywhere.
    """

    methods: dict[str, str]
    options: dict[str, Any]
    seed: int = 0
    batch: int | None = 1
    shard: int | None = None
    speed: Speed = dataclasses.field(default_factory=Speed)

    def __post_init__(self) -> None:
        if not self.methods:
            raise ParamsError("methods: wanted at least one")
        for name, value in (("batch", self.batch), ("shard", self.shard)):
            if value is not None and value < 1:
                raise ParamsError(f"{name}: wanted 1 or more, or null, got {value}")

    def of(self, method: str, generator: GeneratorParams, inputs: Path) -> Invert:
        """A method as a job has it; without a file in `methods` it starts from the weights that come with ganvert."""
        raw = lookup(self.options, method, "preset in invert.options")
        preset = read_preset(method, raw)
        start = [Path(self.methods[method])] if method in self.methods else shipped_encoders(preset)
        return Invert(
            method=method,
            preset=raw,
            generator=generator.path,
            label=generator.label,
            encoders=tuple(map(str, start)) if preset.needs_encoder else (),
            inputs=str(inputs),
            seed=self.seed,
            batch=self.batch,
            speed=self.speed,
        )

    def preset(self, method: str) -> Preset:
        """The preset of a method that runs."""
        lookup(self.methods, method, "method in invert.methods")
        return read_preset(method, lookup(self.options, method, "preset in invert.options"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainParams:
    """params.yaml: train_encoder.

    encoders: which ones are trained, each with the file it starts from (weights of the same encoder, or the generator
    for one from scratch); photos: the table of aligned photographs they learn from; options: the presets.
    """

    encoders: dict[str, str]
    options: dict[str, Any]
    photos: str = "data/aligned.parquet"

    def preset(self, name: str) -> TrainOptions:
        """The options of one encoder."""
        raw = lookup(self.options, name, "preset in train_encoder.options")
        return params.build(TrainOptions, raw, f"train_encoder.options.{name}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscoverParams:
    """params.yaml: discover. methods: names of ``ganvert.directions.DIRECTIONS`` with their options."""

    methods: dict[str, Any]

    def __post_init__(self) -> None:
        if not self.methods:
            raise ParamsError(f"methods: wanted at least one of {', '.join(DIRECTIONS)}")
        self.options()

    def options(self) -> dict[str, Any]:
        """Every finder's options, checked."""
        return {
            name: params.build(lookup(DIRECTIONS, name, "direction finder").options, raw, f"discover.methods.{name}")
            for name, raw in self.methods.items()
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditParams:
    """params.yaml: edit.

    method: whose codes are edited; edits: name to direction and amounts; paste: how faces go back into photographs.
    """

    method: str
    edits: dict[str, EditSpec]
    paste: PasteOptions = dataclasses.field(default_factory=PasteOptions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateParams:
    """params.yaml: evaluate.

    metrics: full names, net and resolution included (``ganvert.scoring.metrics``); with ``identity_dlib``, edits too
    are compared by it. attributes: face attributes measured on edits (``ganvert.faces.ATTRIBUTES``).
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
    """params.yaml: extract, for stages/extract.py and flows/extract.py.

    shard: pictures of one unit of work, null for about 256 steps of it; keep: what is stored beside the codes;
    metrics: what reconstructions are scored by, [] for none.
    """

    shard: int | None = None
    keep: Keep = dataclasses.field(default_factory=Keep)
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.shard is not None and self.shard < 1:
            raise ParamsError(f"shard: wanted 1 or more, or null, got {self.shard}")
        for name in self.metrics:
            check_metric_name(name)


SECTIONS: dict[str, type] = {
    "generator": GeneratorParams,
    "fetch": FetchParams,
    "align": AlignParams,
    "sample": SampleOptions,
    "train_encoder": TrainParams,
    "invert": InvertParams,
    "extract": ExtractParams,
    "discover": DiscoverParams,
    "edit": EditParams,
    "evaluate": EvaluateParams,
    "report": ReportOptions,
}


def check(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Every section as its dataclass; ParamsError at the first thing that is wrong anywhere."""
    unknown = set(raw) - set(SECTIONS) - {"device"}
    if unknown:
        raise ParamsError(f"params: unknown sections {sorted(unknown)}; known: device, {', '.join(SECTIONS)}")
    if not isinstance(raw.get("device"), str):
        raise ParamsError(f"params: device: wanted auto, cpu or cuda[:N], got {raw.get('device')!r}")
    sections: dict[str, Any] = {
        name: params.build(kind, params.section(raw, name), name) for name, kind in SECTIONS.items()
    }
    settings = Settings(device=raw["device"], **sections)
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """Refuse presets that cannot be read, and sections that do not go together."""
    for encoder in (*settings.train_encoder.presets, *settings.train_encoder.encoders):
        settings.train_encoder.preset(encoder)
    for method in settings.invert.presets:
        settings.invert.preset(method)
    generator = settings.generator.path
    for method, weights in settings.invert.methods.items():
        if not settings.invert.preset(method).needs_encoder and weights != generator:
            raise ParamsError(
                f"invert.methods.{method}: starts from no encoder, so wanted the generator's file "
                f"{generator} (generator.path), got {weights}"
            )
    lookup(settings.invert.methods, settings.edit.method, "method in invert.methods (edit.method)")


def read_generator(settings: Settings) -> Generator:
    """Load the generator on the CPU, after a check of every parameter that depends on it.

    Raises:
        CheckpointError: there is none, or it cannot be read.
        ParamsError, UnsupportedError: a parameter does not go with it.
    """
    generator = load_generator(settings.generator.path, settings.generator.label)
    check_for(generator, settings)
    return generator


def check_for(generator: Generator, settings: Settings) -> None:
    """Refuse parameters that do not go with a generator: class, channels, metrics, rows of directions, presets."""
    path = settings.generator.path
    if generator.label_dim and generator.label is None:
        raise ParamsError(f"generator.label: {path} is conditional: choose a class, 0 to {generator.label_dim - 1}")
    if generator.image_channels not in (1, 3):
        raise UnsupportedError(f"{path} draws {generator.image_channels} channels: wanted RGB (3) or grey (1)")
    for section, metrics in (("evaluate", settings.evaluate.metrics), ("extract", settings.extract.metrics)):
        try:
            check_sizes(metrics, generator.resolution)
        except ParamsError as error:
            raise ParamsError(f"{section}.metrics: {error}") from error
    for name, options in settings.discover.options().items():
        _check_rows(dataclasses.asdict(options), f"discover.methods.{name}", generator.num_ws)
    for method in settings.invert.methods:
        try:
            settings.invert.preset(method).check(generator)
        except UnsupportedError as error:
            raise UnsupportedError(f"invert.methods.{method}: {error}") from error


def _check_rows(options: Mapping[str, Any], path: str, num_ws: int) -> None:
    """Check every first_row and last_row of a finder's options, at any depth."""
    if "first_row" in options:
        row_range(options["first_row"], options["last_row"], num_ws, path)
    for name, value in options.items():
        if isinstance(value, Mapping):
            _check_rows(value, f"{path}.{name}", num_ws)


def apply(overlay: Path) -> None:
    """Write the overlay's values into params.yaml, keeping its comments."""
    from ruamel.yaml import YAML

    yaml = YAML()
    base = yaml.load(PARAMS)
    _merge(base, params.load(overlay))
    with atomic_path(PARAMS) as temporary, temporary.open("w") as handle:
        yaml.dump(base, handle)


def _merge(base: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def main() -> None:
    """Apply and check."""
    try:
        if sys.argv[1:2] == ["--apply"] and len(sys.argv) == 3:
            apply(Path(sys.argv[2]))
        settings = load_settings()
        resolve_device(settings.device)
        if Path(settings.generator.path).exists():  # the default one is fetched by the first stage
            read_generator(settings)
    except GanvertError as error:
        sys.exit(f"params: {error}")


if __name__ == "__main__":
    main()
