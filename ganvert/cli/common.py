"""The first steps of several commands: assets, generator, preset, faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ganvert.base.errors import InputError, ParamsError
from ganvert.cli.options import GeneratorOptions, InversionOptions

if TYPE_CHECKING:
    from ganvert.compute.precision import Speed

__all__ = [
    "assets_folder",
    "check_mask",
    "counted",
    "directions_path",
    "encoders_of",
    "generator_path",
    "load",
    "read_method",
    "speed_of",
]


def assets_folder(photos: Path | None = None) -> Path:
    """Return the asset folder, after fetching what is missing; put the sample photographs into `photos` if given."""
    from ganvert import assets

    folder = assets.home()
    assets.fetch(folder, photos=photos)
    return folder


def directions_path(given: Path | None) -> Path:
    """Return the table of --directions, or else the project's, or else the shipped one."""
    from ganvert.assets.shipped import shipped
    from ganvert.base.project import in_project

    own = Path("data/directions.parquet")
    return given or (own if in_project() and own.exists() else shipped("directions_ffhq.parquet"))


def generator_path(options: GeneratorOptions) -> Path:
    """Return the checkpoint of --generator, or else of the FFHQ generator among the assets."""
    return options.generator or assets_folder() / "mobile_stylegan.safetensors"


def load(options: GeneratorOptions, device: Any) -> Any:
    """Return the generator on its device.

    Raises:
        ParamsError: the generator is conditional, and no class was chosen.
    """
    from ganvert.generators import load_generator

    path = generator_path(options)
    generator = load_generator(path, options.label).to(device)
    if generator.label_dim and options.label is None:
        raise ParamsError(f"--label: {path} is conditional: choose a class, 0 to {generator.label_dim - 1}")
    return generator


def read_method(options: InversionOptions) -> Any:
    """Return the preset of --method, with --steps and --no-preview applied to it."""
    from ganvert.base.preset_files import METHODS, Presets
    from ganvert.inversion.presets import read_preset

    method, steps = options.method, options.steps
    preset = Presets.of_project(METHODS).resolve(method)
    raw = preset.options
    if steps is not None:
        if "steps" not in raw:
            raise ParamsError(f"--steps: method {method!r} takes no steps")
        # Preview steps keep their share of all steps, so that a shorter run still ends on the full picture.
        if "preview_steps" in raw:
            raw["preview_steps"] = round(raw["preview_steps"] * steps / raw["steps"])
        raw["steps"] = steps
    if options.no_preview:
        _without_preview(raw)
    return read_preset(method, raw, preset.where)


def encoders_of(options: InversionOptions, preset: Any) -> list[Path]:
    """Return the encoders that a method starts from: those of --encoder, or else the shipped ones.

    Raises:
        ParamsError: encoders are given, and the method starts without one.
        UnsupportedError: no shipped encoder fits the method.
    """
    from ganvert.inversion.run import shipped_encoders

    if options.encoder and not preset.needs_encoder:
        raise ParamsError(f"--encoder: method {preset.name!r} starts without one; leave the option out")
    return options.encoder or shipped_encoders(preset)


def check_mask(option: str, name: str, path: Path, *, folders: bool = False) -> None:
    """Raise InputError, before any work, for a mask that is neither a region of faces nor there.

    Args:
        option: that names the mask.
        name: of the mask.
        path: where it is unless the name is a region.
        folders: whether a folder will do, with a mask for each image.
    """
    from ganvert.faces.parsing import REGIONS
    from ganvert.inversion.inputs import is_region

    if not is_region(name) and not path.is_file() and not (folders and path.is_dir()):
        raise InputError(f"{option}: {path}: there is no such picture; regions of faces are {', '.join(REGIONS)}")


def counted(number: int, what: str) -> str:
    """Return a number of things as the last line of a command tells it.

    >>> counted(1, "picture"), counted(2, "picture")
    ('1 picture', '2 pictures')
    """
    return f"{number} {what}{'s' * (number != 1)}"


def speed_of(options: InversionOptions) -> Speed:
    """Return how optimisations compute, by --precision; ParamsError where there is no such precision."""
    from ganvert.compute.precision import Precision, Speed

    return Speed(precision=cast("Precision", options.precision))


def _without_preview(raw: dict[str, Any]) -> None:
    """Set the preview steps of a preset, and of its stages, to 0."""
    if "preview_steps" in raw:
        raw["preview_steps"] = 0
    for stage in raw.get("stages", ()):
        _without_preview(stage)
