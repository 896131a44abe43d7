"""`ganvert`: single pictures from the command line, on the functions that the stages use."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar, cast

import typer

from ganvert.base.errors import GanvertError, InputError, ParamsError

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
EncoderFiles = Annotated[
    list[Path] | None,
    typer.Option(help="Encoder (safetensors); the shipped one if not given. May be repeated: each says its part."),
]
Faces = Annotated[bool, typer.Option("--all-faces", help="Every face of a photograph, not the largest alone.")]
Method = Annotated[str, typer.Option(help="Preset; `ganvert methods` lists them.")]
PartsMethod = Annotated[str, typer.Option(help="Preset that photographs are inverted with: one of padding codes.")]
CodesFile = Annotated[Path | None, typer.Option(help="Table of codes to take images from, not photographs.")]
_PARTS = "all, own (padding or feature map) or detail (rows of ws)."


def _guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Typed errors, a full disk and Ctrl-C end with one line on stderr and an exit code, not a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from ganvert.compute.device import strict_math
        from ganvert.compute.memory import keep_freed_memory
        from ganvert.compute.progress import log_to_stderr

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
    from ganvert.base import params
    from ganvert.base.registry import lookup
    from ganvert.inversion.presets import read_preset

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
    from ganvert.faces import RECIPES
    from ganvert.scoring.score import asset_metrics

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

    from ganvert.base import params
    from ganvert.inversion.methods.chain import ChainOptions
    from ganvert.inversion.presets import read_preset

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
    encoder: EncoderFiles = None,
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
    from ganvert.base.files import atomic_path
    from ganvert.base.registry import lookup
    from ganvert.codes import codes_of_inversion, write_codes
    from ganvert.compute.device import resolve_device
    from ganvert.faces import RECIPES
    from ganvert.images import contact_sheet, from_png, to_pil, to_png
    from ganvert.inversion.run import Crop, invert_crops, make_context, seeds_for, shipped_encoders
    from ganvert.scoring.score import score_reconstructions

    preset, where = _preset(method, steps, no_preview), resolve_device(device)
    lookup(RECIPES, recipe, "alignment recipe")
    folder = _assets()
    weights = encoder or shipped_encoders(preset)
    context = make_context(preset, _load(generator, label, where), weights, folder, inputs, batch)
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
    inversion = invert_crops(crops, preset, context, seed=seed)
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


@app.command(
    epilog="Examples: [bold]ganvert extract photos/ --method encoder --out codes[/bold]   "
    "[bold]ganvert extract faces.zip more.tar --method encoder_wplus --workers 4 --out codes[/bold]"
)
@_guarded
def extract(
    photos: Annotated[list[Path], typer.Argument(help="Folders, photographs, .zip, .tar, .parquet, lists of paths.")],
    out: Annotated[Path, typer.Option(help="Folder for photos.parquet, codes.parquet and what is kept beside them.")],
    method: Method = "encoder",
    generator: GeneratorFile = None,
    label: Label = None,
    encoder: EncoderFiles = None,
    recipe: Recipe = "ffhq",
    steps: Steps = None,
    no_preview: NoPreview = False,
    inputs: Inputs = Path("data/inputs"),
    seed: Seed = 0,
    device: Device = "auto",
    batch: Annotated[int, typer.Option(min=0, help="Images side by side; 0 measures how many fit.")] = 1,
    all_faces: Faces = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; all that this machine can feed if none.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Cores of a process on a CPU.")] = 1,
    shard: Annotated[
        int | None, typer.Option(min=1, help="Photographs stored together; about 256 steps of work.")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder of finished shards; OUT/.work if not given.")] = None,
    crops: Annotated[bool, typer.Option("--crops", help="Keep the aligned pictures (1.5 MB each at 1024 px).")] = False,
    reconstructions: Annotated[bool, typer.Option("--reconstructions", help="Keep what the codes draw.")] = False,
    half: Annotated[bool, typer.Option("--half", help="Store codes as float16.")] = False,
    skip: Annotated[list[str] | None, typer.Option(help="Variable not to store, e.g. f; may be repeated.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Score reconstructions, e.g. lpips_vgg_256.")] = None,
) -> None:
    """Codes of any number of photographs: sharded, resumable, on all cores or GPUs.

    Killed at any moment, it goes on where it was when it is started again. Photographs that are in the work folder
    already are not computed again, those added since are. Exit code 3: some photographs could not be used
    (photos.parquet says why).
    """
    from ganvert import extraction, tables
    from ganvert.base.registry import lookup
    from ganvert.faces import RECIPES, AlignOptions
    from ganvert.inversion.run import shipped_encoders

    preset = _preset(method, steps, no_preview)
    lookup(RECIPES, recipe, "alignment recipe")
    folder = _assets()
    loaded = _load(generator, label, "cpu")
    preset.check(loaded)
    job = extraction.make_job(
        align=AlignOptions(recipe=recipe, resolution=loaded.resolution, faces="all" if all_faces else "largest"),
        invert=extraction.Invert(
            method=method,
            preset=preset.raw,
            generator=str(generator or folder / "mobile_stylegan.safetensors"),
            label=label,
            encoders=tuple(map(str, encoder or shipped_encoders(preset))) if preset.needs_encoder else (),
            inputs=str(inputs),
            seed=seed,
            batch=batch or None,
        ),
        metrics=metric or (),
        keep=extraction.Keep(
            crops=crops,
            reconstructions=reconstructions,
            dtype="float16" if half else "float32",
            skip=tuple(skip or ()),
        ),
        assets_folder=folder,
        device=device,
        threads=threads,
    )
    processes = workers or extraction.default_workers(device, threads)
    outputs = extraction.outputs_of(job, out)
    found = extraction.extract(job, photos, work or out / ".work", outputs, workers=processes, shard_size=shard)
    extraction.write_sample(found.plan, out / "sample.png")
    bad, before = 0, found.plan.total - found.computed
    for row in tables.rows(outputs["photos"], tables.PHOTOS, ["path", "status", "reason"], 4096):
        if row["status"] != "ok":
            bad += 1
            if bad <= 10:
                print(f"not used: {row['path']}: {row['reason']}", file=sys.stderr)  # noqa: T201
    print(f"{found.computed} photographs computed, {before} were done before, {bad} cannot be used")  # noqa: T201
    if bad:
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
    encoder: EncoderFiles = None,
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

    from ganvert.assets.shipped import shipped
    from ganvert.base.files import atomic_path
    from ganvert.base.registry import lookup
    from ganvert.codes import codes_of_inversion
    from ganvert.compute.device import resolve_device
    from ganvert.directions import choose, load_directions
    from ganvert.editing.render import PasteOptions, draw_shifts, paste_edit
    from ganvert.faces import RECIPES, open_photo
    from ganvert.images import from_png, to_pil
    from ganvert.inversion.run import Crop, invert_crops, make_context, shipped_encoders
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
    weights = encoder or shipped_encoders(preset)
    context = make_context(preset, _load(generator, label, where), weights, folder, inputs)
    known = load_directions(source, context.generator)
    space = make_space(preset.space, context.generator).direction_space
    moves = [(choose(known, name, space), amount) for name, amount in wanted]
    photo_rows, faces = _faces([photo], recipe, context.generator.resolution, False, folder)
    if not faces:
        raise InputError(f"{photo}: {photo_rows[0]['reason']}")
    row = faces[0]
    inversion = invert_crops([Crop(row["image_id"], from_png(row["crop"]))], preset, context, seed=seed)
    codes = codes_of_inversion(inversion, [row["image_id"]], method, context.generator)
    picture: Image.Image = draw_shifts(codes, moves, cast(Any, motion))
    if not crop:
        reconstruction = to_pil(codes.draw())[0]
        quad = np.array(row["quad"]).reshape(4, 2)
        picture = paste_edit(open_photo(photo).image, picture, reconstruction, quad, PasteOptions())
    with atomic_path(out) as temporary:
        picture.save(temporary)
    print(out)  # noqa: T201


@app.command(
    epilog="Examples: [bold]ganvert interpolate out/codes.parquet --out between.png[/bold]   "
    "[bold]ganvert interpolate a.jpg b.jpg --move own --out padding.png[/bold]"
)
@_guarded
def interpolate(
    given: Annotated[list[Path], typer.Argument(help="A table of codes (.parquet) or two photographs.")],
    out: Annotated[Path, typer.Option(help="A strip of pictures (PNG).")],
    first: Annotated[str | None, typer.Option(help="image_id to start from; the table's first if not given.")] = None,
    second: Annotated[str | None, typer.Option(help="image_id to end at; the table's second if not given.")] = None,
    count: Annotated[int, typer.Option(min=2, help="Pictures, both ends included.")] = 7,
    px: Annotated[int, typer.Option(min=16, help="Side of a picture on the strip.")] = 256,
    move: Annotated[str, typer.Option(help="What moves: " + _PARTS)] = "all",
    from_mean: Annotated[
        bool, typer.Option("--from-mean", help="Start from the mean picture: w_avg, the generator's own padding.")
    ] = False,
    method: PartsMethod = "padinv",
    generator: GeneratorFile = None,
    label: Label = None,
    encoder: EncoderFiles = None,
    recipe: Recipe = "ffhq",
    steps: Steps = None,
    no_preview: NoPreview = False,
    inputs: Inputs = Path("data/inputs"),
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Draw the way from one photograph's code to another's: straight in W, along great circles in Z.

    With --move only a part goes there, the other stays that of the first picture.
    """
    from ganvert.editing.blending import draw_between

    if from_mean and first is not None:
        raise ParamsError("--first: --from-mean starts from no image; --second names the one to end at")
    names, table = [str(path) for path in given], None
    if given[0].suffix == ".parquet":
        if len(given) > 1:
            raise ParamsError(f"wanted one table of codes or photographs, got {', '.join(names)}")
        table, names = given[0], _table_ends(given[0], first, second, from_mean)
    elif first is not None or second is not None:
        raise ParamsError("--first, --second: photographs are taken in their order; the options are for tables")
    if len(names) != 2 - from_mean:
        raise InputError(f"wanted {'one photograph' if from_mean else 'two photographs'}, got {len(names)}")
    source = _Source(table, method, generator, label, encoder, recipe, steps, no_preview, inputs, seed, device)
    codes, at, _ = _codes_of(names, move, source)
    pictures = draw_between(codes, None if from_mean else at[0], at[-1], count, move)
    _sheet(out, pictures, count, px, [f"{move} {i / (count - 1):.2f}" for i in range(count)])
    print(out)  # noqa: T201


def _table_ends(path: Path, first: str | None, second: str | None, from_mean: bool) -> list[str]:
    """The ids of the images that an interpolation goes between: those asked for, or the table's first ones."""
    from ganvert import tables

    ids = tables.read(path, "codes").column("image_id").to_pylist()
    wanted = 2 - from_mean
    if len(ids) < wanted:
        raise InputError(f"{path}: wanted codes of {wanted} images at least, got {len(ids)}")
    for option, name in (("--first", first), ("--second", second)):
        if name is not None and name not in ids:
            raise InputError(f"{option}: {path} has no image {name!r}; it has {', '.join(ids[:5])} ...")
    return [second or ids[0]] if from_mean else [first or ids[0], second or ids[1]]


@app.command(epilog="Example: [bold]ganvert blend a.jpg b.jpg --out blends[/bold]")
@_guarded
def blend(
    given: Annotated[list[str], typer.Argument(help="Photographs; with --codes the image_ids of some.")],
    out: Annotated[Path, typer.Option(help="Folder for sheet.png and the pictures.")],
    codes: CodesFile = None,
    px: Annotated[int, typer.Option(min=16, help="Side of a picture on the sheet.")] = 256,
    method: PartsMethod = "padinv",
    generator: GeneratorFile = None,
    label: Label = None,
    encoder: EncoderFiles = None,
    recipe: Recipe = "ffhq",
    steps: Steps = None,
    no_preview: NoPreview = False,
    inputs: Inputs = Path("data/inputs"),
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Blend faces: pose and contour (padding) of each over details and colours (rows of ws) of each other.

    A row of the sheet shares its padding, a column its details; on the diagonal are the reconstructions.
    """
    from ganvert.compute.progress import progress
    from ganvert.editing.blending import draw_swap

    if len(given) < 2:
        raise InputError(f"wanted two photographs at least, got {len(given)}")
    source = _Source(codes, method, generator, label, encoder, recipe, steps, no_preview, inputs, seed, device)
    known, at, names = _codes_of(given, "own", source)
    pairs = [(own, detail) for own in range(len(names)) for detail in range(len(names))]
    pictures = [draw_swap(known, at[own], at[detail]) for own, detail in progress(pairs, len(pairs), "drawing")]
    for (own, detail), picture in zip(pairs, pictures, strict=True):
        _sheet(out / f"own-{names[own]}_detail-{names[detail]}.png", [picture])
    captions = [f"own {names[own][:10]}, detail {names[detail][:10]}" for own, detail in pairs]
    _sheet(out / "sheet.png", pictures, len(names), px, captions)
    print(out / "sheet.png")  # noqa: T201


@app.command(epilog="Example: [bold]ganvert transfer a.jpg a_glasses.jpg b.jpg --part own --out glasses[/bold]")
@_guarded
def transfer(
    before: Annotated[str, typer.Argument(help="A photograph; with --codes its image_id, as for the others.")],
    after: Annotated[str, typer.Argument(help="The same photograph with something changed on it.")],
    targets: Annotated[list[str], typer.Argument(help="Photographs that are to change in the same way.")],
    out: Annotated[Path, typer.Option(help="Folder for sheet.png and the pictures.")],
    part: Annotated[
        str,
        typer.Option(help="What follows (own for glasses or bangs, detail for colours or a smile): " + _PARTS),
    ] = "own",
    amount: Annotated[
        list[float] | None, typer.Option(help="1, the default, is the pair's change. May be repeated.")
    ] = None,
    same_crop: Annotated[
        bool, typer.Option("--same-crop", help="Cut AFTER where BEFORE is cut: it was painted on, not taken anew.")
    ] = False,
    codes: CodesFile = None,
    px: Annotated[int, typer.Option(min=16, help="Side of a picture on the sheet.")] = 256,
    method: PartsMethod = "padinv",
    generator: GeneratorFile = None,
    label: Label = None,
    encoder: EncoderFiles = None,
    recipe: Recipe = "ffhq",
    steps: Steps = None,
    no_preview: NoPreview = False,
    inputs: Inputs = Path("data/inputs"),
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Edit photographs by one pair: what changed from BEFORE to AFTER changes on TARGETS.

    On the sheet the pair comes first, then a row for every target: its reconstruction and every amount.
    """
    from PIL import Image

    from ganvert.compute.progress import progress
    from ganvert.editing.blending import draw_transfer
    from ganvert.images import to_pil

    amounts = amount or [1.0]
    source = _Source(codes, method, generator, label, encoder, recipe, steps, no_preview, inputs, seed, device)
    known, at, names = _codes_of([before, after, *targets], part, source, same_crop)
    size = known.space.generator.resolution
    blank = [Image.new("RGB", (size, size), "white")] * (len(amounts) - 1)
    pictures = [*(to_pil(known.select(i).draw())[0] for i in at[:2]), *blank]
    captions = [names[0][:24], names[1][:24], *[""] * len(blank)]
    for i in progress(range(2, len(names)), len(targets), "drawing"):
        pictures += to_pil(known.select(at[i]).draw())
        captions.append(names[i][:24])
        for one in amounts:
            pictures.append(draw_transfer(known, at[0], at[1], at[i], part, one))
            captions.append(f"{names[i][:16]} {part} {one:+g}")
            _sheet(out / f"{names[i]}_{part}{one:+g}.png", pictures[-1:])
    _sheet(out / "sheet.png", pictures, len(amounts) + 1, px, captions)
    print(out / "sheet.png")  # noqa: T201


@dataclass(frozen=True)
class _Source:
    """Where codes come from: images of a table, or photographs inverted with the other options of the command."""

    table: Path | None
    method: str
    generator: Path | None
    label: int | None
    encoder: list[Path] | None
    recipe: str
    steps: int | None
    no_preview: bool
    inputs: Path
    seed: int
    device: str


def _codes_of(
    given: list[str], part: str, source: _Source, same_crop: bool = False
) -> tuple[Any, list[int], list[str]]:
    """Codes of photographs, or of images of a table by their ids.

    Args:
        given: photographs, or ids where the source has a table.
        part: what the caller wants of the codes, checked before any work.
        source: see there.
        same_crop: whether the second photograph is cut where the first one is.

    Returns:
        The codes; for each that is given its place among them, and a name: they differ, and may stand in file names.
    """
    from ganvert.base.registry import lookup
    from ganvert.codes import codes_of_inversion, read_codes
    from ganvert.compute.device import resolve_device
    from ganvert.editing.blending import PARTS, names_of
    from ganvert.faces import RECIPES
    from ganvert.inversion.run import invert_crops, make_context, shipped_encoders
    from ganvert.spaces import make_space

    lookup(PARTS, part, "part")
    lookup(RECIPES, source.recipe, "alignment recipe")
    where = resolve_device(source.device)
    if source.table is not None:
        if same_crop:
            raise ParamsError("--same-crop: codes of a table are of crops that were made before")
        codes = read_codes(source.table, _load(source.generator, source.label, where))
        names_of(codes.space, part)
        missing = [name for name in given if name not in codes.image_ids]
        if missing:
            some = ", ".join(codes.image_ids[:5])
            raise InputError(f"{source.table} has no image {', '.join(map(repr, missing))}; it has {some} ...")
        return codes, [codes.image_ids.index(name) for name in given], _different(given)
    preset, paths = _preset(source.method, source.steps, source.no_preview), [Path(name) for name in given]
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: there is no such photograph")
    model = _load(source.generator, source.label, where)
    names_of(make_space(preset.space, model), part)
    folder = _assets()
    context = make_context(preset, model, source.encoder or shipped_encoders(preset), folder, source.inputs)
    crops = _crops_of(paths, source.recipe, model.resolution, folder, same_crop)
    inversion = invert_crops(crops, preset, context, seed=source.seed)
    codes = codes_of_inversion(inversion, [crop.image_id for crop in crops], source.method, model)
    return codes, list(range(len(paths))), _different([path.stem for path in paths])


def _different(names: list[str]) -> list[str]:
    """Names that differ from each other: numbered where they did not."""
    return names if len(set(names)) == len(names) else [f"{i}-{name}" for i, name in enumerate(names, 1)]


def _crops_of(paths: list[Path], recipe: str, resolution: int, folder: Path, same_crop: bool) -> list[Any]:
    """The largest face of every photograph, in the order given; InputError for one that cannot be used."""
    from ganvert.faces import RECIPES, AlignOptions, FaceDetector, align, align_photos, open_photo
    from ganvert.images import from_png
    from ganvert.inversion.run import Crop

    options = AlignOptions(recipe=recipe, resolution=resolution)
    detector = FaceDetector(folder) if RECIPES[recipe].needs_face else None
    crops: list[Crop] = []
    landmarks: Any = None
    for i, path in enumerate(paths):
        if same_crop and i == 1:
            photo, like = open_photo(path), open_photo(paths[0])
            if photo.size != like.size:
                raise InputError(
                    f"--same-crop: {path} is {photo.size} px, {paths[0]} {like.size}: not the same picture"
                )
            crops.append(Crop(f"{photo.photo_id[:16]}-0", align(photo.image, landmarks, resolution, recipe).crop))
            continue
        rows, faces = align_photos([path], Path(), options, detector)
        if not faces:
            raise InputError(f"{path}: {rows[0]['reason']}")
        if i == 0:
            landmarks = faces[0]["landmarks"]
        crops.append(Crop(faces[0]["image_id"], from_png(faces[0]["crop"])))
    return crops


def _sheet(
    path: Path, pictures: list[Any], columns: int = 1, px: int | None = None, captions: list[str] | None = None
) -> None:
    """Write pictures as a sheet, or a single one as it is."""
    from ganvert.base.files import atomic_path
    from ganvert.images import contact_sheet

    image = pictures[0] if px is None else contact_sheet(pictures, columns, px, captions)
    with atomic_path(path) as temporary:
        image.save(temporary, "PNG")


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

    from ganvert.base.files import atomic_path
    from ganvert.compute.device import resolve_device
    from ganvert.compute.progress import progress
    from ganvert.compute.random import normal
    from ganvert.images import contact_sheet, to_pil
    from ganvert.sampling import picture_of

    model = _load(generator, label, resolve_device(device))
    seeds = range(seed, seed + count)
    pictures = []
    with torch.no_grad():
        for one in progress(seeds, count, "drawing"):
            ws = model.map(normal([one], (model.z_dim,)).to(model.w_avg), psi=psi)
            pictures += to_pil(picture_of(model, ws, min(px, model.resolution)))
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
    from ganvert.generators.describe import describe as facts_of

    _print_facts(file, facts_of(file))


@app.command("import", epilog="Example: [bold]ganvert import stylegan2-ffhq.pkl stylegan2-ffhq.safetensors[/bold]")
@_guarded
def import_(
    file: Annotated[Path, typer.Argument(help="A checkpoint of any known format.")],
    out: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
) -> None:
    """Convert a checkpoint to ganvert's own safetensors format. Nothing in the file is executed."""
    from ganvert.generators.convert import import_generator

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
