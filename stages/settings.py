"""params.yaml as a whole: read into dataclasses once, and checked across sections before any work.

``python -m stages.settings`` checks; ``python -m stages.settings --apply FILE`` first writes FILE's values into
params.yaml (comments are kept).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ganvert.base import params
from ganvert.base.errors import CheckpointError, GanvertError, InputError, ParamsError, UnsupportedError
from ganvert.base.files import atomic_path
from ganvert.base.registry import lookup
from ganvert.base.texts import brief
from ganvert.compute.device import resolve_device
from ganvert.directions import DIRECTIONS, split_rows
from ganvert.directions.base import row_range
from ganvert.encoders import check_encoder
from ganvert.generators import Generator, load_generator
from ganvert.inversion.inputs import check_inputs
from ganvert.scoring.metrics import check_sizes
from ganvert.spaces import make_space
from stages.inputs import INPUTS, find_images
from stages.sections import SECTIONS, Settings

__all__ = [
    "PARAMS",
    "apply",
    "check_files",
    "check_for",
    "check_references",
    "load_settings",
    "read_generator",
    "read_settings",
]

PARAMS = Path("params.yaml")
ENCODERS = Path("data/encoders")


def load_settings() -> Settings:
    """Read and check params.yaml of the current folder; see :func:`read_settings`."""
    return read_settings(params.load(PARAMS))


def read_settings(raw: Mapping[str, Any]) -> Settings:
    """Read and check the parsed params.yaml, and every preset that it and the folder of presets hold.

    Raises:
        ParamsError, UnknownNameError: the first thing that is wrong anywhere.
    """
    unknown = set(raw) - set(SECTIONS) - {"device"}
    if unknown:
        raise ParamsError(
            f"params: unknown sections {sorted(map(brief, unknown))}; known: device, {', '.join(SECTIONS)}"
        )
    if not isinstance(raw.get("device"), str):
        raise ParamsError(f"params: device: wanted auto, cpu or cuda[:N], got {brief(raw.get('device'))}")
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
        if not settings.invert.preset(method).needs_encoder and weights not in (generator, (generator,)):
            raise ParamsError(
                f"invert.methods.{method}: starts from no encoder, so wanted the generator's file "
                f"{generator} (generator.path), got {brief(weights if isinstance(weights, str) else list(weights))}"
            )
    lookup(settings.invert.methods, settings.edit.method, "method in invert.methods (edit.method)")
    for method in settings.study.methods if settings.study.photos else ():
        settings.invert.preset(method)


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
    """Refuse parameters that do not go with a generator: class, channels, metrics, directions, methods."""
    path = settings.generator.path
    if generator.label_dim and generator.label is None:
        raise ParamsError(f"generator.label: {path} is conditional: choose a class, 0 to {generator.label_dim - 1}")
    if generator.image_channels not in (1, 3):
        raise UnsupportedError(f"{path} draws {generator.image_channels} channels: wanted RGB (3) or grey (1)")
    compared = settings.study.metrics if settings.study.photos else ()
    named = {"evaluate": settings.evaluate.metrics, "extract": settings.extract.metrics, "study": compared}
    for section, metrics in named.items():
        try:
            check_sizes(metrics, generator.resolution)
        except ParamsError as error:
            raise ParamsError(f"{section}.metrics: {error}") from error
    for name, options in settings.discover.options().items():
        _check_rows(dataclasses.asdict(options), f"discover.methods.{name}", generator.num_ws)
        try:
            check_inputs(getattr(options, "masks", ()), INPUTS)
        except InputError as error:
            raise InputError(f"discover.methods.{name}: {error}") from error
    for method in settings.invert.methods:
        _check_method(generator, settings, method)
    space = make_space(settings.invert.preset(settings.edit.method).space, generator)
    for name, spec in settings.edit.edits.items():
        _check_directions(generator, settings, spec.shares, f"edit.edits.{name}.direction")
        edit = spec.make()
        try:
            edit.check_space(space, [])
            if edit.needs.context:
                edit.method(settings.invert.preset(settings.edit.method))
            check_inputs([spec.mask] if spec.mask else [], INPUTS)
        except (InputError, ParamsError, UnsupportedError) as error:
            raise type(error)(f"edit.edits.{name}: {error}") from error
    for name, stimuli in settings.stimuli.sets.items():
        _check_directions(generator, settings, (*stimuli.directions, *stimuli.targets), f"stimuli.sets.{name}")


def _check_directions(generator: Generator, settings: Settings, names: Iterable[str], where: str) -> None:
    """Refuse directions, NAME or NAME@FIRST:END, that the run does not find, and rows that the generator lacks."""
    space = make_space(settings.invert.preset(settings.edit.method).space, generator).direction_space
    known = _direction_names(settings, space)
    if known is None:
        return
    for direction, rows in map(split_rows, names):
        lookup(known, direction, f"direction in {space} ({where})")
        if rows is not None:
            row_range(*rows, generator.num_ws, f"{where} {direction}@")


def _check_method(generator: Generator, settings: Settings, method: str) -> None:
    """Refuse a method that does not go with the generator: by its options, its masks and pictures, or its encoder."""
    preset = settings.invert.preset(method)
    try:
        preset.check(generator)
        check_inputs(preset.inputs, INPUTS)
        # Weights that this run trains are those of its generator, whatever lies there now.
        for weights in settings.invert.starts(method) if preset.needs_encoder else ():
            if weights not in _trained(settings) and weights.exists():
                check_encoder(weights, generator)
    except (CheckpointError, InputError, UnsupportedError) as error:
        raise type(error)(f"invert.methods.{method}: {error}") from error


def _trained(settings: Settings) -> set[Path]:
    """Return the weights that the run trains."""
    return {ENCODERS / f"{name}.safetensors" for name in settings.train_encoder.encoders}


def check_files(settings: Settings) -> None:
    """Refuse files that params.yaml names, that no stage writes and that are not there, before the first stage runs.

    Raises:
        InputError: the first one.
    """
    written = _trained(settings) | {Path(settings.generator.path), Path("data/aligned.parquet")}
    named = {
        f"invert.methods.{name}" + f"[{i}]" * (i > 0): str(path)
        for name in settings.invert.methods
        for i, path in enumerate(settings.invert.starts(name))
    }
    named |= {f"train_encoder.encoders.{name}": path for name, path in settings.train_encoder.encoders.items()}
    named["train_encoder.photos"] = settings.train_encoder.photos
    if settings.sample.known is not None:
        named["sample.known"] = settings.sample.known
    named |= {f"sample.tables[{i}]": path for i, path in enumerate(settings.sample.tables)}
    for name, options in settings.discover.options().items():
        if table := getattr(options, "directions", None):
            named[f"discover.methods.{name}.directions"] = table
    for key, path in named.items():
        if Path(path) not in written and not Path(path).is_file():
            raise InputError(f"{key}: {path}: there is no such file")


def check_references(settings: Settings) -> None:
    """Refuse names of photographs, of edits and finders, that are none of the run's, before any image is inverted.

    Raises:
        InputError: see :func:`stages.inputs.find_images`.
    """
    named = {f"edit.edits.{name}.references": spec.references for name, spec in settings.edit.edits.items()}
    for name, options in settings.discover.options().items():
        named[f"discover.methods.{name}.photographs"] = getattr(options, "photographs", ())
    for key, photographs in named.items():
        try:
            find_images(photographs)
        except InputError as error:
            raise InputError(f"{key}: {error}") from error


def _direction_names(settings: Settings, space: str) -> dict[str, None] | None:
    """Return the names of the directions of a space that `discover` will find; None if they are not known before."""
    names: dict[str, None] = {}
    for method, options in settings.discover.options().items():
        finder = DIRECTIONS[method]
        if finder.names is None:
            return None
        if {space, "s"} & set(getattr(options, "spaces", finder.spaces)):
            names |= dict.fromkeys(finder.names(options))
    return names


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
    """Apply the settings of a file if one is given, and check params.yaml."""
    try:
        if sys.argv[1:2] == ["--apply"] and len(sys.argv) == 3:
            apply(Path(sys.argv[2]))
        settings = load_settings()
        resolve_device(settings.device)
        check_files(settings)
        if Path(settings.generator.path).exists():  # the default one is fetched by the first stage
            read_generator(settings)
    except GanvertError as error:
        sys.exit(f"params: {error}")


if __name__ == "__main__":
    main()
