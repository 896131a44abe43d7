"""`ganvert invert` and `ganvert extract`: photographs to codes, both by :func:`ganvert.extraction.extract`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, counted, encoders_of, generator_path, load, read_method, speed_of
from ganvert.cli.options import EveryFace, ExtractOptions, Inputs, InversionOptions
from ganvert.cli.paths import Writes

if TYPE_CHECKING:
    from ganvert.extraction import Job, Keep, Plan

__all__ = ["extract", "invert"]

_WORK = ".work"  # folder of finished shards inside OUT
_NAMED = 10  # photographs that cannot be used, named by `extract`


@command("ganvert invert me.jpg --out out", "ganvert invert photos/ --method w --steps 40 --out out")
def invert(
    *,
    photos: Inputs,
    out: Annotated[
        Path, typer.Option(help="Folder for codes.parquet, scores.parquet and the pictures."), Writes("folder")
    ],
    batch: Annotated[int, typer.Option(min=1, help="Images optimised side by side.")] = 1,
    all_faces: EveryFace = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Metric of the reconstructions, e.g. lpips_alex_256; may be repeated; five usual ones if none."
        ),
    ] = None,
    options: InversionOptions,
) -> None:
    """Invert photographs: align the faces, find their codes, draw and measure the reconstructions.

    Each photograph is stored in OUT/.work as it is done: a run that was killed resumes there. The folder may be
    deleted afterwards. Exit code 0: every photograph was inverted. 3: some were not (scores.parquet and photos.parquet
    say why).
    """
    from ganvert import extraction, tables
    from ganvert.faces.listing import check_output

    keep = extraction.Keep(crops=True, reconstructions=True)
    check_output(out, photos)
    job = _make_job(options, all_faces=all_faces, batch=batch, metrics=metric, keep=keep)
    outputs = {name: out / f"{name}.parquet" for name in ("photos", "codes")}
    joint = job.invert is not None and job.invert.read().together
    # As many photographs are stored together as are optimised side by side: all of them if the method wants them so.
    shard = None if joint else batch
    run = extraction.extract(job, photos, out / _WORK, outputs, shard_size=shard, what=options.method)
    unusable = [
        row
        for row in tables.rows(outputs["photos"], tables.PHOTOS, ["photo_id", "path", "status", "reason"], 4096)
        if row["status"] != "ok"
    ]
    scores = _write_scores(run.plan, unusable, out / "scores.parquet")
    extraction.check_codes(run.rows, outputs)
    names = _write_pictures(run.plan, out, options.method)
    _print_scores(scores, names)
    for row in unusable:
        print(f"not inverted: {row['reason']}", file=sys.stderr)  # noqa: T201
    print(f"codes.parquet, scores.parquet, photos.parquet and pictures of {counted(len(names), 'face')} are in {out}")  # noqa: T201
    diverged = any(row["status"] == "diverged" for row in tables.rows(outputs["codes"], "codes", ["status"], 4096))
    if unusable or diverged:
        raise typer.Exit(3)


@command(
    "ganvert extract photos/ --method encoder --out codes",
    "ganvert extract faces.zip more.tar --method encoder_wplus --workers 4 --out codes",
)
def extract(
    *,
    photos: Inputs,
    out: Annotated[
        Path, typer.Option(help="Folder for photos.parquet, codes.parquet and whatever else is kept."), Writes("folder")
    ],
    batch: Annotated[
        int, typer.Option(min=0, help="Images optimised side by side; 0 measures how many fit into memory.")
    ] = 1,
    all_faces: EveryFace = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; if not given, as many as this machine can feed.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="CPU cores of a process.")] = 1,
    shard: Annotated[
        int | None, typer.Option(min=1, help="Photographs stored together; if not given, about 256 steps of work.")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Folder of finished shards; OUT/.work if not given."), Writes("folder")
    ] = None,
    crops: Annotated[bool, typer.Option("--crops", help="Keep the aligned pictures (1.5 MB each at 1024 px).")] = False,
    reconstructions: Annotated[bool, typer.Option("--reconstructions", help="Keep what the codes draw.")] = False,
    half: Annotated[bool, typer.Option("--half", help="Store codes as float16.")] = False,
    skip: Annotated[list[str] | None, typer.Option(help="Variable not to store, e.g. f; may be repeated.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Metric of the reconstructions, e.g. lpips_vgg_256; may be repeated.")
    ] = None,
    options: ExtractOptions,
) -> None:
    """Invert any number of photographs to a table of codes: sharded, resumable, on all cores or GPUs.

    A run that was killed resumes when it is started again. Photographs that are in the work folder already are not
    computed again, those added since are. Exit code 3: some photographs could not be used (photos.parquet says why).
    """
    from ganvert import extraction, tables
    from ganvert.faces.listing import check_output

    keep = extraction.Keep(
        crops=crops, reconstructions=reconstructions, dtype="float16" if half else "float32", skip=tuple(skip or ())
    )
    check_output(out, photos)
    job = _make_job(options, all_faces=all_faces, batch=batch, metrics=metric or (), keep=keep, threads=threads)
    processes = workers or extraction.default_workers(options.device, threads)
    outputs = extraction.outputs_of(job, out)
    run = extraction.extract(job, photos, work or out / _WORK, outputs, workers=processes, shard_size=shard)
    extraction.check_codes(run.rows, outputs)
    written = [path.name for path in outputs.values()]
    written += ["sample.png"] * extraction.write_sample(run.plan, out / "sample.png")
    unusable, before = 0, run.plan.total - run.computed
    for row in tables.rows(outputs["photos"], tables.PHOTOS, ["path", "status", "reason"], 4096):
        if row["status"] != "ok":
            unusable += 1
            if unusable <= _NAMED:
                print(f"not used: {row['reason']}", file=sys.stderr)  # noqa: T201
    print(f"{counted(run.computed, 'photograph')} computed, {before} done before, {unusable} cannot be used")  # noqa: T201
    print(f"{', '.join(written)}: in {out}")  # noqa: T201
    if unusable:
        raise typer.Exit(3)


def _make_job(
    options: InversionOptions,
    *,
    all_faces: bool,
    batch: int,
    metrics: Sequence[str] | None,
    keep: Keep,
    threads: int | None = None,
) -> Job:
    """Return the job of the options, after checking what can be checked before any work.

    Args:
        options: see there.
        all_faces: whether to use every face of a photograph.
        batch: images side by side; 0 measures how many fit.
        metrics: full names; None for the default ones.
        keep: what is stored.
        threads: CPU cores of a process; None for all.
    """
    from ganvert import extraction
    from ganvert.base.registry import lookup
    from ganvert.compute.device import resolve_device
    from ganvert.faces import RECIPES, AlignOptions
    from ganvert.scoring.metrics import available

    preset = read_method(options)
    resolve_device(options.device)
    recipe = lookup(RECIPES, options.recipe, "alignment recipe")
    folder = assets_folder()
    generator = load(options, "cpu")
    if metrics is None:  # at 256 px or the generator's own size; identity if the crops show aligned faces
        metrics = [f"{name}_{min(256, generator.resolution)}" for name in ("lpips_vgg", "mse", "psnr", "ssim")]
        if recipe.needs_face:
            metrics += available(["identity_dlib", "identity_mobilefacenet"], folder)
    return extraction.make_job(
        align=AlignOptions(
            recipe=options.recipe, resolution=generator.resolution, faces="all" if all_faces else "largest"
        ),
        invert=extraction.Invert(
            method=options.method,
            preset=dict(preset.raw),
            generator=str(generator_path(options)),
            label=options.label,
            encoders=tuple(map(str, encoders_of(options, preset))),
            inputs=str(options.inputs),
            seed=options.seed,
            batch=batch or None,
            speed=speed_of(options),
        ),
        metrics=metrics,
        keep=keep,
        assets_folder=folder,
        device=options.device,
        threads=threads,
        generator=generator,
    )


def _write_scores(plan: Plan, unusable: Sequence[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Write the table of scores; photographs that gave no crop have rows without a value. Return all rows."""
    from ganvert import extraction, tables

    assert plan.job.invert is not None
    method = plan.job.invert.method
    rows: list[dict[str, Any]] = [
        {
            "image_id": row["photo_id"][:16],
            "method": method,
            "metric": metric,
            "value": None,
            "status": row["status"],
        }
        for row in unusable
        for metric in plan.job.metrics
    ]
    rows += [row for part in extraction.stored_rows(plan, "scores") for row in part.to_pylist()]
    tables.write(path, tables.SCORES, rows)
    return rows


def _write_pictures(plan: Plan, out: Path, method: str) -> dict[str, str]:
    """Write every crop, its reconstruction and both side by side, named after the photographs.

    Returns:
        Image id to the photograph's path, with a number where several of its faces were inverted.
    """
    from ganvert import extraction
    from ganvert.base.files import atomic_path, file_names, mark_output
    from ganvert.images import contact_sheet, from_png, to_png

    mark_output(out)
    kinds = ("crop", method, "compare")
    shown = _names_of_faces(plan)
    files = dict(zip(shown, file_names(Path(path).stem + face for path, face in shown.values()), strict=True))
    parts = zip(extraction.stored_rows(plan, "aligned"), extraction.stored_rows(plan, "reconstructions"), strict=True)
    for crops, reconstructions in parts:
        for crop, drawn in zip(crops.to_pylist(), reconstructions.to_pylist(), strict=True):
            name, pair = files[crop["image_id"]], [crop["crop"], drawn["png"]]
            sheet = contact_sheet(list(map(from_png, pair)), 2, 512, [Path(crop["path"]).name, method])
            for kind, png in zip(kinds, [*pair, to_png(sheet)], strict=True):
                with atomic_path(out / f"{name}_{kind}.png") as temporary:
                    temporary.write_bytes(png)
    _remove_pictures(
        out, {name: [f"{name}_{kind}.png" for kind in ("crop", method, "compare")] for name in files.values()}
    )
    return {image_id: path + face for image_id, (path, face) in shown.items()}


def _names_of_faces(plan: Plan) -> dict[str, tuple[str, str]]:
    """Return image id to the photograph's path and, where several of its faces were inverted, which one this is."""
    from ganvert import extraction

    columns = ["image_id", "path", "face"]
    rows = [row for part in extraction.stored_rows(plan, "aligned") for row in part.select(columns).to_pylist()]
    faces = Counter(row["path"] for row in rows)
    return {row["image_id"]: (row["path"], f" face {row['face'] + 1}" * (faces[row["path"]] > 1)) for row in rows}


def _remove_pictures(out: Path, written: dict[str, list[str]]) -> None:
    """Remove pictures that earlier runs made of photographs which are no longer given.

    Args:
        out: folder of the pictures.
        written: name of a photograph to its files of this run. Those of other methods stay.
    """
    from ganvert.base.files import write_json

    record = out / _WORK / "pictures.json"
    earlier: dict[str, list[str]] = json.loads(record.read_text()) if record.exists() else {}
    for name, files in earlier.items():
        if name in written:
            written[name] = sorted({*written[name], *files})
            continue
        for file in files:
            (out / Path(file).name).unlink(missing_ok=True)
    write_json(record, written)


def _print_scores(scores: Sequence[dict[str, Any]], paths: dict[str, str]) -> None:
    """Print a row of scores for every image; the photograph's name comes last, so that no terminal cuts it off."""
    metrics = list(dict.fromkeys(row["metric"] for row in scores))
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in scores:
        found.setdefault(row["image_id"], {})[row["metric"]] = row
    lines = [[*metrics, "photograph"]]
    for image_id, path in paths.items():
        values = found[image_id]
        cells = [values[name]["status"] if (v := values[name]["value"]) is None else f"{v:.4f}" for name in metrics]
        lines.append([*cells, path])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
    for *cells, path in lines:
        print(*(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)), path, sep="  ")  # noqa: T201
