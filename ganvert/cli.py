"""`ganvert`: single pictures from the command line, on the functions that the stages use."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar, cast

import typer

from ganvert.errors import GanvertError, InputError, ParamsError

__all__ = ["app", "main"]

P = ParamSpec("P")
R = TypeVar("R")
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="GAN inversion and latent editing: photographs in, latent codes and edited photographs out.",
)
log = logging.getLogger(__name__)

Seed = Annotated[int, typer.Option(help="Seed of the run; every image has its own, made of it.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimisation steps instead of the preset's.")]
GeneratorFile = Annotated[Path | None, typer.Option(help="Generator, any checkpoint; the FFHQ one if not given.")]
Label = Annotated[int | None, typer.Option(help="Class that a conditional generator draws.")]
Recipe = Annotated[str, typer.Option(help="How photographs are cut: ffhq, celebahq, or center (no face needed).")]
NoPreview = Annotated[
    bool, typer.Option("--no-preview", help="Every step sees the full picture (StyleGAN3 has no cheap stand-in).")
]
Inputs = Annotated[Path, typer.Option(help="Folder of the masks and pictures a method names.")]
EncoderFile = Annotated[Path | None, typer.Option(help="Encoder (safetensors); the shipped one if not given.")]
Faces = Annotated[bool, typer.Option("--all-faces", help="Every face of a photograph, not the largest alone.")]
Method = Annotated[str, typer.Option(help="Preset; `ganvert methods` lists them.")]


def _guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Typed errors, a full disk and Ctrl-C end with one line on stderr and an exit code, not a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from ganvert.runtime import keep_freed_memory, log_to_stderr, strict_math

        log_to_stderr()
        strict_math()
        keep_freed_memory()
        try:
            return command(*args, **kwargs)
        except GanvertError as error:
            print(f"ganvert: {error}", file=sys.stderr)  # noqa: T201
            raise typer.Exit(2 if isinstance(error, ParamsError | InputError) else 1) from error
        except OSError as error:
            where = error.filename or "file"
            print(f"ganvert: {where}: {error.strerror}; nothing partial was kept", file=sys.stderr)  # noqa: T201
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            print("ganvert: interrupted; finished files are whole", file=sys.stderr)  # noqa: T201
            raise typer.Exit(130) from error

    return run


def _assets(photos: Path | None = None) -> Path:
    """The asset folder, fetched when something is missing."""
    from ganvert import assets

    folder = assets.home()
    assets.fetch(folder, photos=photos)
    return folder


def _load(path: Path | None, label: int | None, device: Any) -> Any:
    """The generator on its device; a conditional one needs its class before any work."""
    from ganvert.generators import load_generator

    found = path or _assets() / "mobile_stylegan.safetensors"
    generator = load_generator(found, label).to(device)
    if generator.label_dim and label is None:
        raise ParamsError(f"--label: {found} is conditional: choose a class, 0 to {generator.label_dim - 1}")
    return generator


def _preset(method: str, steps: int | None, no_preview: bool) -> Any:
    from ganvert import params
    from ganvert.inverters import read_preset
    from ganvert.registry import lookup

    raw = dict(lookup(params.section(params.load(params.presets_path()), "invert.options"), method, "method"))
    if steps is not None:
        if "steps" not in raw:
            raise ParamsError(f"--steps: method {method!r} takes no steps")
        # Preview steps keep their share, so that a shorter run still ends on the full picture.
        if "preview_steps" in raw:
            raw["preview_steps"] = round(raw["preview_steps"] * steps / raw["steps"])
        raw["steps"] = steps
    if no_preview:
        _without_preview(raw)
    return read_preset(method, raw)


def _without_preview(raw: dict[str, Any]) -> None:
    if "preview_steps" in raw:
        raw["preview_steps"] = 0
    for stage in raw.get("stages", ()):
        _without_preview(stage)


def _faces(
    paths: list[Path], recipe: str, resolution: int, every: bool, folder: Path
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Photo rows and crop rows of files and folders given on the command line."""
    from ganvert.faces import RECIPES, AlignOptions, FaceDetector, align_photos, find_photos

    found = find_photos(paths)
    options = AlignOptions(recipe=recipe, resolution=resolution, faces="all" if every else "largest")
    detector = FaceDetector(folder) if RECIPES[recipe].needs_face else None
    return align_photos(found, Path(), options, detector)


def _metrics(recipe: str, resolution: int, folder: Path) -> list[Any]:
    """What `invert` measures: at 256 px or the generator's own size, the identity where faces are aligned."""
    from ganvert.evaluation import asset_metrics
    from ganvert.faces import RECIPES

    names = [f"{name}_{min(256, resolution)}" for name in ("lpips_vgg", "mse", "psnr", "ssim")]
    return asset_metrics(names + ["identity_dlib"] * RECIPES[recipe].needs_face, folder)


@app.command(epilog="Example: [bold]ganvert fetch[/bold]")
@_guarded
def fetch(photos: Annotated[Path | None, typer.Option(help="Also put the sample photographs here.")] = None) -> None:
    """Fetch the weights (about 220 MB, once)."""
    folder = _assets(photos)
    print(f"everything is in {folder}")  # noqa: T201


@app.command(epilog="Example: [bold]ganvert methods[/bold]")
@_guarded
def methods() -> None:
    """List the presets that --method takes."""
    from rich.console import Console
    from rich.table import Column, Table

    from ganvert import params
    from ganvert.inverters import read_preset
    from ganvert.inverters.chain import ChainOptions

    path = params.presets_path()
    names = [Column(title, no_wrap=True) for title in ("method", "space")]
    table = Table(*names, "starts from", "steps", "objective", title=f"presets of {path}")
    for name, raw in params.section(params.load(path), "invert.options").items():
        preset = read_preset(name, raw)
        stages = preset.options.presets() if isinstance(preset.options, ChainOptions) else [preset]
        init = getattr(stages[0].options, "init", "encoder")
        objectives = [_objective(stage) for stage in stages]
        table.add_row(name, preset.space, init, str(preset.steps), ", then ".join(objectives))
    Console().print(table)


def _objective(stage: Any) -> str:
    terms = getattr(stage.options, "objective", ())
    return " + ".join(f"{term.weight:g} {term.loss}@{term.resolution or 'full'}" for term in terms) or "one pass"


@app.command(
    epilog="Examples: [bold]ganvert invert me.jpg --out out[/bold]   "
    "[bold]ganvert invert photos/ --method w --steps 40 --out out[/bold]"
)
@_guarded
def invert(
    photos: Annotated[list[Path], typer.Argument(help="Photographs or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for codes.parquet, scores.parquet and the pictures.")],
    method: Method = "encoder_wplus",
    generator: GeneratorFile = None,
    label: Label = None,
    encoder: EncoderFile = None,
    recipe: Recipe = "ffhq",
    steps: Steps = None,
    no_preview: NoPreview = False,
    inputs: Inputs = Path("data/inputs"),
    seed: Seed = 0,
    device: Device = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images side by side.")] = 1,
    all_faces: Faces = False,
) -> None:
    """Invert photographs: align the faces, find their codes, draw and measure the reconstructions.

    Exit code 0: every photograph was inverted. 3: some were not (scores.parquet and photos.parquet say why).
    """
    from ganvert import tables
    from ganvert.codes import codes_of_inversion, write_codes
    from ganvert.evaluation import score_reconstructions
    from ganvert.faces import RECIPES
    from ganvert.files import atomic_path
    from ganvert.images import contact_sheet, from_png, to_pil, to_png
    from ganvert.invert import Crop, invert_crops, make_context, seeds_for, shipped
    from ganvert.registry import lookup
    from ganvert.runtime import resolve_device

    preset, where = _preset(method, steps, no_preview), resolve_device(device)
    lookup(RECIPES, recipe, "alignment recipe")
    folder = _assets()
    weights = encoder or shipped("encoder_ffhq.safetensors")
    context = make_context(preset, _load(generator, label, where), weights, folder, inputs)
    photo_rows, faces = _faces(photos, recipe, context.generator.resolution, all_faces, folder)
    tables.write(out / "photos.parquet", tables.PHOTOS, photo_rows)
    metrics = _metrics(recipe, context.generator.resolution, folder)
    bad = [row for row in photo_rows if row["status"] != "ok"]
    scores: list[dict[str, Any]] = [
        {
            "image_id": row["photo_id"][:16],
            "method": method,
            "metric": metric.name,
            "value": None,
            "status": row["status"],
        }
        for row in bad
        for metric in metrics
    ]
    if not faces:
        tables.write(out / "scores.parquet", tables.SCORES, scores)
        raise InputError(f"no photograph could be used; {out / 'photos.parquet'} says why: {photo_rows[0]['reason']}")
    crops = [Crop(row["image_id"], from_png(row["crop"])) for row in faces]
    inversion = invert_crops(crops, preset, context, seed=seed, batch=batch)
    ids = [crop.image_id for crop in crops]
    write_codes(out / "codes.parquet", preset, inversion, ids, seeds_for(crops, method, seed), context)
    codes = codes_of_inversion(inversion, ids, method, context.generator)
    for i, crop in enumerate(crops):
        picture = to_pil(codes.select(i).draw())[0]
        for name, image in (("crop", crop.image), (method, picture)):
            with atomic_path(out / f"{crop.image_id}_{name}.png") as temporary:
                temporary.write_bytes(to_png(image))
        with atomic_path(out / f"{crop.image_id}_compare.png") as temporary:
            contact_sheet([crop.image, picture], 2, 512, ["photograph", method]).save(temporary)
        scores += score_reconstructions(
            [{"image_id": crop.image_id, "method": method}],
            [picture],
            [crop.image],
            metrics,
            context.generator.image_channels,
        )
    tables.write(out / "scores.parquet", tables.SCORES, scores)
    _print_scores(scores, {row["image_id"]: row["path"] for row in faces})
    for row in bad:
        print(f"not inverted: {row['path']}: {row['reason']}", file=sys.stderr)  # noqa: T201
    if bad or "diverged" in inversion.status:
        raise typer.Exit(3)


def _print_scores(scores: list[dict[str, Any]], names: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    metrics = list(dict.fromkeys(row["metric"] for row in scores))
    table = Table("photograph", *metrics)
    for image_id, path in names.items():
        values = {row["metric"]: row for row in scores if row["image_id"] == image_id}
        cells = [values[name]["status"] if (v := values[name]["value"]) is None else f"{v:.4f}" for name in metrics]
        table.add_row(Path(path).name, *cells)
    Console().print(table)


@app.command(
    epilog="Example: [bold]ganvert edit me.jpg --direction smile=2 --direction age=-1 --out smiling.png[/bold]"
)
@_guarded
def edit(
    photo: Annotated[Path, typer.Argument(help="A photograph.")],
    direction: Annotated[list[str], typer.Option(help="NAME=AMOUNT, in standard deviations; may be repeated.")],
    out: Annotated[Path, typer.Option(help="The edited photograph (PNG).")],
    method: Method = "encoder_wplus",
    directions: Annotated[Path | None, typer.Option(help="Table of directions; the project's or shipped one.")] = None,
    generator: GeneratorFile = None,
    label: Label = None,
    encoder: EncoderFile = None,
    recipe: Recipe = "ffhq",
    steps: Steps = None,
    no_preview: NoPreview = False,
    inputs: Inputs = Path("data/inputs"),
    seed: Seed = 0,
    device: Device = "auto",
    motion: Annotated[str, typer.Option(help="How Z codes move: retract_once, geodesic or stepped.")] = "retract_once",
    crop: Annotated[bool, typer.Option("--crop", help="Write the edited crop, not the whole photograph.")] = False,
) -> None:
    """Edit the largest face of a photograph and put it back."""
    import numpy as np
    from PIL import Image

    from ganvert.codes import codes_of_inversion
    from ganvert.directions import choose, load_directions
    from ganvert.editing import PasteOptions, draw_shifts, paste_edit
    from ganvert.faces import RECIPES, open_photo
    from ganvert.files import atomic_path
    from ganvert.images import from_png, to_pil
    from ganvert.invert import Crop, invert_crops, make_context, shipped
    from ganvert.registry import lookup
    from ganvert.runtime import resolve_device
    from ganvert.spaces import make_space
    from ganvert.spaces.sphere import MOTIONS

    if out.suffix.lower() != ".png":
        raise ParamsError(f"--out: wanted a name that ends in .png, got {out}")
    wanted = [_amount(text) for text in direction]
    lookup(MOTIONS, motion, "motion")
    preset, where = _preset(method, steps, no_preview), resolve_device(device)
    lookup(RECIPES, recipe, "alignment recipe")
    project = Path("data/directions.parquet")
    source = directions or (project if project.exists() else shipped("directions_ffhq.parquet"))
    log.info("directions of %s", source)
    folder = _assets()
    weights = encoder or shipped("encoder_ffhq.safetensors")
    context = make_context(preset, _load(generator, label, where), weights, folder, inputs)
    known = load_directions(source, context.generator)
    space = make_space(preset.space, context.generator).direction_space
    moves = [(choose(known, name, space), amount) for name, amount in wanted]
    photo_rows, faces = _faces([photo], recipe, context.generator.resolution, False, folder)
    if not faces:
        raise InputError(f"{photo}: {photo_rows[0]['reason']}")
    row = faces[0]
    inversion = invert_crops([Crop(row["image_id"], from_png(row["crop"]))], preset, context, seed=seed, batch=1)
    codes = codes_of_inversion(inversion, [row["image_id"]], method, context.generator)
    picture: Image.Image = draw_shifts(codes, moves, cast(Any, motion))
    if not crop:
        reconstruction = to_pil(codes.draw())[0]
        quad = np.array(row["quad"]).reshape(4, 2)
        picture = paste_edit(open_photo(photo).image, picture, reconstruction, quad, PasteOptions())
    with atomic_path(out) as temporary:
        picture.save(temporary)
    print(out)  # noqa: T201


@app.command(epilog="Example: [bold]ganvert interpolate out/codes.parquet --out between.png[/bold]")
@_guarded
def interpolate(
    codes: Annotated[Path, typer.Argument(help="A table of codes, such as `ganvert invert` writes.")],
    out: Annotated[Path, typer.Option(help="A strip of pictures (PNG).")],
    first: Annotated[str | None, typer.Option(help="image_id to start from; the table's first if not given.")] = None,
    second: Annotated[str | None, typer.Option(help="image_id to end at; the table's second if not given.")] = None,
    count: Annotated[int, typer.Option(min=2, help="Pictures, both ends included.")] = 7,
    px: Annotated[int, typer.Option(min=16, help="Side of a picture on the strip.")] = 256,
    generator: GeneratorFile = None,
    label: Label = None,
    device: Device = "auto",
) -> None:
    """Draw the way from one photograph's code to another's: straight in W, along great circles in Z."""
    from ganvert.codes import read_codes
    from ganvert.editing import draw_between
    from ganvert.files import atomic_path
    from ganvert.images import contact_sheet
    from ganvert.runtime import resolve_device

    table = read_codes(codes, _load(generator, label, resolve_device(device)))
    ids = table.image_ids
    if len(ids) < 2:
        raise InputError(f"{codes}: wanted codes of two images at least, got {len(ids)}")
    for option, name in (("--first", first), ("--second", second)):
        if name is not None and name not in ids:
            raise InputError(f"{option}: {codes} has no image {name!r}; it has {', '.join(ids[:5])} ...")
    ends = ids.index(first or ids[0]), ids.index(second or ids[1])
    sheet = contact_sheet(draw_between(table, *ends, count), count, px)
    with atomic_path(out) as temporary:
        sheet.save(temporary, "PNG")
    print(out)  # noqa: T201


def _amount(text: str) -> tuple[str, float]:
    name, _, amount = text.partition("=")
    try:
        return name, float(amount)
    except ValueError as error:
        raise ParamsError(f"--direction: wanted NAME=AMOUNT such as smile=2, got {text!r}") from error


@app.command(epilog="Example: [bold]ganvert sample --count 16 --out faces.png[/bold]")
@_guarded
def sample(
    out: Annotated[Path, typer.Option(help="A sheet of pictures (PNG).")],
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 16,
    seed: Annotated[int, typer.Option(help="First seed.")] = 0,
    psi: Annotated[float, typer.Option(help="Truncation: 1 none, 0 the mean picture.")] = 1.0,
    px: Annotated[int, typer.Option(min=16, help="Side of a picture on the sheet.")] = 256,
    generator: GeneratorFile = None,
    label: Label = None,
    device: Device = "auto",
) -> None:
    """Draw the generator's own pictures."""
    import torch

    from ganvert.files import atomic_path
    from ganvert.images import area_resize, contact_sheet, to_pil
    from ganvert.runtime import progress, resolve_device
    from ganvert.seeds import normal

    model = _load(generator, label, resolve_device(device))
    seeds = range(seed, seed + count)
    pictures = []
    with torch.no_grad():
        for one in progress(seeds, count, "drawing"):
            ws = model.map(normal([one], (model.z_dim,)).to(model.w_avg), psi=psi)
            pictures += to_pil(area_resize(model.synthesize(ws=ws), min(px, model.resolution)))
    sheet = contact_sheet(pictures, min(count, 8), px, [str(one) for one in seeds])
    with atomic_path(out) as temporary:
        sheet.save(temporary, "PNG")
    print(out)  # noqa: T201


@app.command(epilog="Example: [bold]ganvert describe data/assets/mobile_stylegan.safetensors[/bold]")
@_guarded
def describe(
    file: Annotated[Path, typer.Argument(help="A checkpoint, an encoder, other weights, or a table.")],
) -> None:
    """Say what a checkpoint, other weights or a table is. Nothing in the file is executed."""
    from ganvert.describe import describe as facts_of

    _print_facts(file, facts_of(file))


@app.command("import", epilog="Example: [bold]ganvert import stylegan2-ffhq.pkl stylegan2-ffhq.safetensors[/bold]")
@_guarded
def import_(
    file: Annotated[Path, typer.Argument(help="A checkpoint of any known format.")],
    out: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
) -> None:
    """Convert a checkpoint to ganvert's own safetensors format. Nothing in the file is executed."""
    from ganvert.importing import import_generator

    _print_facts(out, import_generator(file, out, force=force))


def _print_facts(file: Path, facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, title=str(file))
    for name, value in facts.items():
        table.add_row(name, str(value))
    Console().print(table)


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
