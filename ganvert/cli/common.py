"""What several commands do first: assets, generator, preset, faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganvert.base.errors import ParamsError
from ganvert.cli.options import GeneratorOptions, InversionOptions

__all__ = ["assets_folder", "cut_faces", "load", "read_method"]


def assets_folder(photos: Path | None = None) -> Path:
    """The asset folder, fetched when something is missing."""
    from ganvert import assets

    folder = assets.home()
    assets.fetch(folder, photos=photos)
    return folder


def load(options: GeneratorOptions, device: Any) -> Any:
    """The generator on its device; a conditional one needs its class before any work."""
    from ganvert.generators import load_generator

    found = options.generator or assets_folder() / "mobile_stylegan.safetensors"
    generator = load_generator(found, options.label).to(device)
    if generator.label_dim and options.label is None:
        raise ParamsError(f"--label: {found} is conditional: choose a class, 0 to {generator.label_dim - 1}")
    return generator


def read_method(options: InversionOptions) -> Any:
    """The preset of --method, with --steps and --no-preview applied to it."""
    from ganvert.base.preset_files import METHODS, Presets
    from ganvert.inversion.presets import read_preset

    method, steps = options.method, options.steps
    preset = Presets.of_project(METHODS).resolve(method)
    raw = preset.options
    if steps is not None:
        if "steps" not in raw:
            raise ParamsError(f"--steps: method {method!r} takes no steps")
        # Preview steps keep their share, so that a shorter run still ends on the full picture.
        if "preview_steps" in raw:
            raw["preview_steps"] = round(raw["preview_steps"] * steps / raw["steps"])
        raw["steps"] = steps
    if options.no_preview:
        _without_preview(raw)
    return read_preset(method, raw, preset.where)


def _without_preview(raw: dict[str, Any]) -> None:
    if "preview_steps" in raw:
        raw["preview_steps"] = 0
    for stage in raw.get("stages", ()):
        _without_preview(stage)


def cut_faces(
    paths: list[Path], recipe: str, resolution: int, every: bool, folder: Path
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Photo rows and crop rows of files and folders given on the command line."""
    from ganvert.faces import RECIPES, AlignOptions, FaceDetector, align_photos, find_photos

    found = find_photos(paths)
    options = AlignOptions(recipe=recipe, resolution=resolution, faces="all" if every else "largest")
    detector = FaceDetector(folder) if RECIPES[recipe].needs_face else None
    return align_photos(found, Path(), options, detector)
