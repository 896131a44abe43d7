"""`ganvert invert` and `ganvert extract`: photographs to codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ganvert.base.errors import InputError
from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, cut_faces, load, read_method
from ganvert.cli.options import ExtractOptions, Faces, InversionOptions

__all__ = ["extract", "invert"]


def _metrics(recipe: str, resolution: int, folder: Path) -> list[Any]:
    """What `invert` measures: at 256 px or the generator's own size, the identity where faces are aligned."""
    from ganvert.faces import RECIPES
    from ganvert.scoring.score import asset_metrics

    names = [f"{name}_{min(256, resolution)}" for name in ("lpips_vgg", "mse", "psnr", "ssim")]
    return asset_metrics(names + ["identity_dlib"] * RECIPES[recipe].needs_face, folder)


@command("ganvert invert me.jpg --out out", "ganvert invert photos/ --method w --steps 40 --out out")
def invert(
    *,
    photos: Annotated[list[Path], typer.Argument(help="Photographs or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for codes.parquet, scores.parquet and the pictures.")],
    batch: Annotated[int, typer.Option(min=1, help="Images side by side.")] = 1,
    all_faces: Faces = False,
    options: InversionOptions,
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

    method = options.method
    preset, where = read_method(options), resolve_device(options.device)
    lookup(RECIPES, options.recipe, "alignment recipe")
    folder = assets_folder()
    weights = options.encoder or shipped_encoders(preset)
    context = make_context(preset, load(options, where), weights, folder, options.inputs, batch)
    photo_rows, faces = cut_faces(photos, options.recipe, context.generator.resolution, all_faces, folder)
    tables.write(out / "photos.parquet", tables.PHOTOS, photo_rows)
    metrics = _metrics(options.recipe, context.generator.resolution, folder)
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
    inversion = invert_crops(crops, preset, context, seed=options.seed)
    ids = [crop.image_id for crop in crops]
    write_codes(out / "codes.parquet", preset, inversion, ids, seeds_for(crops, method, options.seed), context)
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


@command(
    "ganvert extract photos/ --method encoder --out codes",
    "ganvert extract faces.zip more.tar --method encoder_wplus --workers 4 --out codes",
)
def extract(
    *,
    photos: Annotated[list[Path], typer.Argument(help="Folders, photographs, .zip, .tar, .parquet, lists of paths.")],
    out: Annotated[Path, typer.Option(help="Folder for photos.parquet, codes.parquet and what is kept beside them.")],
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
    options: ExtractOptions,
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

    preset = read_method(options)
    lookup(RECIPES, options.recipe, "alignment recipe")
    folder = assets_folder()
    loaded = load(options, "cpu")
    preset.check(loaded)
    job = extraction.make_job(
        align=AlignOptions(
            recipe=options.recipe, resolution=loaded.resolution, faces="all" if all_faces else "largest"
        ),
        invert=extraction.Invert(
            method=options.method,
            preset=preset.raw,
            generator=str(options.generator or folder / "mobile_stylegan.safetensors"),
            label=options.label,
            encoders=tuple(map(str, options.encoder or shipped_encoders(preset))) if preset.needs_encoder else (),
            inputs=str(options.inputs),
            seed=options.seed,
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
        device=options.device,
        threads=threads,
    )
    processes = workers or extraction.default_workers(options.device, threads)
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
