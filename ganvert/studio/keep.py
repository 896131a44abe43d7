"""What a user takes along: animations, tables of codes, and a folder of photographs with the same edit."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganvert import tables
from ganvert.base.errors import InputError, ParamsError
from ganvert.base.files import file_names, temporary_prefix
from ganvert.codes import Code, read_codes, tuned_folder, write_codes
from ganvert.editing.animation import GIF, MP4, animation, check_video
from ganvert.editing.paste import PasteOptions, paste_edit
from ganvert.editing.requests import read_amounts
from ganvert.extraction import Invert, Keep, assemble, make_job, outputs_of, plan, run_shard
from ganvert.faces import AlignOptions, open_photo
from ganvert.images import from_png, to_png
from ganvert.inversion.run import Crop, seeds_for
from ganvert.studio.changes import Changes
from ganvert.studio.commands import command, moves
from ganvert.studio.jobs import Task

if TYPE_CHECKING:
    from PIL import Image

    from ganvert.extraction import Job
    from ganvert.studio.models import Face, Found, Models
    from ganvert.studio.session import Session

__all__ = [
    "ANIMATION_PX",
    "add_animation",
    "animation_kind",
    "apply_to_folder",
    "codes_file",
    "invert_folder",
    "job_of",
    "series_text",
    "sweep",
    "zipped",
]

_KINDS = {GIF: "image/gif", MP4: "video/mp4"}
_MOST_FRAMES = 60
ANIMATION_PX = 512  # longest side of its pictures


def series_text(name: str, first: float, last: float, count: int, ends: tuple[float, float]) -> str:
    """Return NAME=FIRST:LAST:COUNT; ParamsError for amounts beyond both ends, or too many of them."""
    if not (ends[0] <= first < last <= ends[1] and 2 <= count <= _MOST_FRAMES):
        raise ParamsError(
            f"{name}: wanted 2 to {_MOST_FRAMES} amounts that grow from {ends[0]:g} to {ends[1]:g} at most, got "
            f"{count} from {first:g} to {last:g}"
        )
    return f"{name}={first:g}:{last:g}:{count}"


def animation_kind(asked: Mapping[str, Any]) -> str:
    """Return the ending of the animation that is asked for; ParamsError for one that cannot be made here."""
    suffix = str(asked.get("kind", GIF))
    if suffix not in _KINDS:
        raise ParamsError(f"animation: wanted {' or '.join(_KINDS)}, got {suffix!r}")
    if suffix == MP4:
        check_video("MP4")
    return suffix


def add_animation(session: Session, pictures: Sequence[Image.Image], suffix: str) -> str:
    """Keep an animation of pictures for the page; return its name."""
    return session.pictures.add(_KINDS[suffix], animation(pictures, ANIMATION_PX, suffix))


def sweep(session: Session, asked: Mapping[str, Any]) -> None:
    """Begin an animation of one direction, from an amount to another, under the other changes as they are."""
    direction, suffix = str(asked["direction"]), animation_kind(asked)
    code, ends = session.code, session.models.reach(direction)
    now = session.history.now.heard.within(session.history.now.region)  # the region is the sweep's, edits or none
    moving, mask = now.change_of(direction).name, session.mask(now)
    session.models.direction(moving, code)
    text = series_text(moving, float(asked["first"]), float(asked["last"]), int(asked["count"]), ends)
    amounts = [float(amount) for amount in read_amounts(text)[1]]  # type: ignore[arg-type]
    others, stem, method = now.without(direction), session.stem, session.method
    given = ["me.jpg", "--direction", text, *moves(others), "--px", str(ANIMATION_PX), "--out", f"{direction}{suffix}"]

    def work(task: Task) -> None:
        task.command = command("edit", ["--crop", *given], session.models, method)
        pictures = []
        for amount in amounts:
            drawn = session.models.draw(code, now.with_amount(direction, amount), mask)
            drawn.thumbnail((ANIMATION_PX, ANIMATION_PX))
            pictures.append(drawn)
            task.report(len(pictures) / len(amounts))
        task.download = add_animation(session, pictures, suffix), f"{stem}_{direction}{suffix}"

    session.begin(f"{direction} as {suffix[1:].upper()}", work)


def codes_file(models: Models, face: Face, found: Found) -> tuple[bytes, str]:
    """Return the code of a face as a table, and its name: codes.parquet, with tuned weights in an archive."""
    method = found.code.method
    preset, context = models.context_of(method)
    seeds = seeds_for([Crop(face.image_id, face.aligned.crop)], method, 0)
    with tempfile.TemporaryDirectory(prefix=temporary_prefix("ganvert-studio")) as folder:
        path = Path(folder, "codes.parquet")
        write_codes(path, preset, found.inversion, [face.image_id], seeds, context)
        if not any(tuned_folder(path).glob("*")):
            return path.read_bytes(), "codes.parquet"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for file in sorted(Path(folder).rglob("*")):
                archive.write(file, file.relative_to(folder))
        return buffer.getvalue(), "codes.zip"


def job_of(models: Models, method: str) -> Job:
    """Return the extraction by a method, as `ganvert extract --crops` does it."""
    preset, _ = models.context_of(method)
    source = models.generator.source
    if source is None:
        raise InputError("folders: this generator was read from no file, so that no extraction can load it")
    return make_job(
        align=AlignOptions(recipe=models.recipe, resolution=models.generator.resolution),
        invert=Invert(
            method=method,
            preset=dict(preset.raw),
            generator=str(source),
            label=models.generator.label,
            encoders=tuple(map(str, models.encoders_of(preset))),
        ),
        keep=Keep(crops=True),
        assets_folder=models.assets,
        device=str(models.generator.w_avg.device),
        generator=models.generator,
    )


def invert_folder(session: Session, method: str, report: Callable[[float], None]) -> Path:
    """Invert the photographs that were sent; return the folder of their tables. Those that are done are kept.

    Raises:
        InputError: there are none, or none of them can be used.
    """
    folder = session.folder
    if not folder.files:
        raise InputError("there are no photographs yet: choose a folder or several files first")
    place, job = folder.place, job_of(session.models, method)
    joint = job.invert is not None and job.invert.read().together
    todo = plan(job, folder.files, place / "work", None if joint else 1)
    done = todo.finished
    for shard in todo.shards():
        run_shard(job, shard, todo.work, lambda part, done=done: report((done + part) / todo.total))  # type: ignore[misc]
        done += len(shard.members)
        report(done / todo.total)
    out = place / "tables" / method
    out.mkdir(parents=True, exist_ok=True)
    assemble(todo.update(), outputs_of(job, out))
    if not next(iter(tables.rows(out / "aligned.parquet", tables.ALIGNED, ["image_id"])), None):
        (first, *_) = tables.rows(out / "photos.parquet", tables.PHOTOS, ["reason"])
        raise InputError(f"no photograph could be used: {first['reason']}")
    return out


def apply_to_folder(session: Session, asked: Mapping[str, Any]) -> None:
    """Begin to make the edit of all photographs that were sent: inversion, edit, paste; an archive of all of it."""
    session.code  # noqa: B018 (raises without a photograph)
    region, method, models = str(asked.get("region", "square")), session.method, session.models
    options = PasteOptions(region=region)  # type: ignore[arg-type]
    options.check_assets(models.assets)
    changes, block = session.history.now.heard, session.params(region)
    given = ["photos", *moves(changes), "--region", region, "--out", "edited"]

    def work(task: Task) -> None:
        task.command = command("edit", given, models, method)
        out = invert_folder(session, method, lambda done: task.report(0.8 * done))
        rows = list(tables.rows(out / "aligned.parquet", tables.ALIGNED, ["image_id", "path", "quad", "crop"]))
        names = file_names(Path(row["path"]).stem for row in rows)
        files = {f"{what}.parquet": out / f"{what}.parquet" for what in ("photos", "codes")}
        texts = {"edit.yaml": block, "command.txt": task.command + "\n"}
        with zipped(session.folder.place / "edited.zip", files, texts) as archive:
            for number, (row, name) in enumerate(zip(rows, names, strict=True)):
                (code,) = read_codes(out / "codes.parquet", models.generator, image_ids=[row["image_id"]])
                archive.writestr(f"{name}.png", _edited(session, changes, row, code, options))
                task.report(0.8 + 0.2 * (number + 1) / len(rows))
        task.download = session.pictures.add("application/zip", session.folder.place / "edited.zip"), "edited.zip"

    session.begin("Folder", work)


def _edited(session: Session, changes: Changes, row: Mapping[str, Any], code: Code, options: PasteOptions) -> bytes:
    """Return a photograph with the edit in it, as PNG with its provenance."""
    models = session.models
    mask = models.mask_of(code.image_id, from_png(row["crop"]), changes.region)
    edited, plain = models.draw(code, changes, mask), models.draw(code, Changes())
    quad = np.array(row["quad"]).reshape(4, 2)
    with models.drawing:
        pasted = paste_edit(open_photo(Path(row["path"])), edited, plain, quad, options, models.assets)
    return to_png(pasted.image, session.provenance(code, changes))


def zipped(path: Path, files: Mapping[str, Path], texts: Mapping[str, str]) -> zipfile.ZipFile:
    """Return a new archive that holds some files and texts; pictures follow, which shrink no further."""
    archive = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
    for name, file in files.items():
        archive.write(file, name)
    for name, text in texts.items():
        archive.writestr(name, text)
    return archive
