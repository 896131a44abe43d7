"""Extraction: the same bytes however the work was divided, interrupted or shared, and nothing done twice."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ganvert import tables
from ganvert.base.errors import AssetError, InputError, ParamsError, StorageError, WorkerLostError
from ganvert.codes import read_codes
from ganvert.extraction import Invert, Job, Keep, Pool, assemble, extract, make_job, outputs_of, plan, run_shard
from ganvert.extraction import run as run_module
from ganvert.extraction import shards as shards_module
from ganvert.extraction.shards import Shard, default_shard_size
from ganvert.faces import AlignOptions, align_photos, find_photos
from ganvert.generators import load_generator
from ganvert.images import from_png, to_pil
from ganvert.inversion.presets import Context, read_preset
from ganvert.inversion.run import Crop, invert_crops

COUNT = 14


def preset(steps: int = 3, lr: float = 0.05) -> dict:
    return {
        "inverter": "optimise",
        "space": "w",
        "steps": steps,
        "lr": lr,
        "objective": [{"loss": "mse", "weight": 1.0, "resolution": None}],
    }


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small pictures of noise, one of them broken, one twice."""
    folder = tmp_path_factory.mktemp("photos")
    source = np.random.default_rng(0)
    for i in range(COUNT):
        pixels = source.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((80, 72)).save(folder / f"{i:02}.png")
    (folder / "broken.jpg").write_bytes(b"not a picture")
    shutil.copy(folder / "03.png", folder / "twice.png")
    return folder


@pytest.fixture
def new_job(tiny_generator_file: Path, tmp_path: Path) -> Callable[..., Job]:
    def make(keep: Keep | None = None, metrics: tuple[str, ...] = (), **invert: object) -> Job:
        facts = {"method": "mine", "preset": preset(), "generator": str(tiny_generator_file)} | invert
        align = AlignOptions(recipe="center", resolution=64)
        kept = keep or Keep(crops=True, reconstructions=True)
        invert = Invert(**facts)  # type: ignore[arg-type]
        return make_job(align=align, invert=invert, keep=kept, metrics=metrics, assets_folder=tmp_path, threads=1)

    return make


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


def run(job: Job, inputs: list[Path], tmp_path: Path, name: str, work: str = "", **options: int) -> dict[str, bytes]:
    extract(job, inputs, tmp_path / (work or f"work-{name}"), outputs_of(job, tmp_path / name), **options)
    return bytes_of(tmp_path / name)


def test_the_table_is_what_the_library_computes_one_by_one(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path, tiny_generator_file: Path
) -> None:
    job = new_job(metrics=("mse_64",))
    run(job, [photos], tmp_path, "out", shard_size=4)
    out = tmp_path / "out"
    rows, crops = align_photos(find_photos([photos]), Path(), AlignOptions(recipe="center", resolution=64), None)
    stored = tables.read(out / "photos.parquet", tables.PHOTOS).to_pylist()
    assert [{**row, "path": Path(row["path"]).name} for row in stored] == [
        {**row, "path": Path(row["path"]).name} for row in rows
    ]
    assert [row["status"] for row in stored].count("unreadable") == 1
    assert len(stored) == COUNT + 1  # the broken one has its row, the copy has none
    context = Context(generator=load_generator(tiny_generator_file))
    codes = tables.read(out / "codes.parquet", "codes")
    assert codes.column("image_id").to_pylist() == [row["image_id"] for row in crops]
    for i in (0, COUNT - 1):
        crop = Crop(crops[i]["image_id"], from_png(crops[i]["crop"]))
        found = invert_crops([crop], read_preset("mine", preset()), context, seed=0)
        (variable,) = found.variables.values()
        assert np.array_equal(tables.array(codes, "w")[i], variable.flatten().numpy())
    scores = tables.read(out / "scores.parquet", tables.SCORES).to_pylist()
    drawn = tables.read(out / "reconstructions.parquet", tables.RECONSTRUCTIONS).to_pylist()
    aligned = tables.read(out / "aligned.parquet", tables.ALIGNED).to_pylist()
    for score, picture, crop in zip(scores, drawn, aligned, strict=True):
        assert score["image_id"] == picture["image_id"] == crop["image_id"]
        ours, theirs = (np.asarray(from_png(data), dtype=np.float64) for data in (picture["png"], crop["crop"]))
        assert score["value"] == pytest.approx(np.square((ours - theirs) / 127.5).mean(), rel=1e-4)


@pytest.mark.slow
def test_division_and_workers_do_not_show(photos: Path, new_job: Callable[..., Job], tmp_path: Path) -> None:
    job = new_job()
    first = run(job, [photos], tmp_path, "one", shard_size=100)
    assert set(first) == {"photos.parquet", "aligned.parquet", "codes.parquet", "reconstructions.parquet"}
    assert run(job, [photos], tmp_path, "small", shard_size=2) == first
    assert run(job, [photos], tmp_path, "pool", shard_size=3, workers=2) == first


@pytest.mark.slow
def test_what_a_run_beside_it_computes_is_not_counted(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both begin with nothing done; the other one overtakes this one after its first shard."""
    job, work, counts, own = new_job(), tmp_path / "work", list[int](), run_module.run_shard

    def first_shard_then_the_other_run(*arguments: Any) -> Any:
        monkeypatch.setattr(run_module, "run_shard", own)
        result = own(*arguments)
        counts.append(extract(job, [photos], work, outputs_of(job, tmp_path / "other"), shard_size=4).computed)
        return result

    monkeypatch.setattr(run_module, "run_shard", first_shard_then_the_other_run)
    counts.append(extract(job, [photos], work, outputs_of(job, tmp_path / "out"), shard_size=4).computed)
    assert counts == [COUNT + 1 - 4, 4]


@pytest.mark.slow
def test_a_finished_run_does_nothing_and_more_photographs_cost_only_themselves(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path
) -> None:
    some, job, work = tmp_path / "some", new_job(), tmp_path / "work"
    shutil.copytree(photos, some)
    for name in ("00.png", "05.png", "13.png"):
        (some / name).unlink()
    first = extract(job, [some], work, outputs_of(job, tmp_path / "out"), shard_size=4)
    assert first.computed == COUNT - 3 + 1
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir() if path.is_file()}
    again = extract(job, [some], work, outputs_of(job, tmp_path / "out"), shard_size=4)
    assert again.computed == 0
    assert again.rows == first.rows
    assert {path: path.stat().st_mtime_ns for path in written} == written
    for name in ("00.png", "05.png", "13.png"):
        shutil.copy(photos / name, some)
    more = extract(job, [some], work, outputs_of(job, tmp_path / "out"), shard_size=4)
    assert more.computed == 3
    whole = extract(job, [some], tmp_path / "fresh", outputs_of(job, tmp_path / "whole"), shard_size=100)
    assert whole.computed == COUNT + 1
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    (some / "07.png").unlink()  # and one that is gone leaves the table
    less = extract(job, [some], work, outputs_of(job, tmp_path / "out"), shard_size=4)
    assert (less.computed, less.rows["photos"]) == (0, COUNT)


@pytest.mark.slow
def test_options_of_a_method_invalidate_its_own_shards(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path
) -> None:
    one, other, changed = new_job(), new_job(method="other"), new_job(method="other", preset=preset(steps=2))
    for job in (one, other):
        extract(job, [photos], tmp_path / "work", {}, shard_size=8)
    assert len({job.key for job in (one, other, changed, new_job(seed=1), new_job(keep=Keep()))}) == 5
    assert new_job(batch=3).key == one.key  # what cannot change a result has no say
    assert extract(one, [photos], tmp_path / "work", {}).computed == 0
    assert extract(changed, [photos], tmp_path / "work", {}).computed == COUNT + 1


def test_archives_tables_and_folders_give_the_same_codes(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = new_job(keep=Keep())
    run(job, [photos], tmp_path, "folder")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for path in sorted(photos.iterdir()):
            archive.write(path, f"in/{path.name}")
    damaged = bytearray((tmp_path / "faces.zip").read_bytes())
    place = damaged.index((photos / "06.png").read_bytes())
    damaged[place + 40] ^= 255
    (tmp_path / "faces.zip").write_bytes(damaged)
    run(job, [tmp_path / "faces.zip"], tmp_path, "zip")
    ours, theirs = (tables.read(tmp_path / name / "codes.parquet", "codes") for name in ("folder", "zip"))
    keep = [i for i in range(COUNT) if i != 6]
    assert theirs.equals(ours.take(keep))
    bad = list(tables.rows(tmp_path / "zip/photos.parquet", tables.PHOTOS, ["path", "status", "reason"]))
    assert [Path(row["path"]).name for row in bad if row["status"] != "ok"] == ["06.png", "broken.jpg"]
    assert "06.png" in next(row["reason"] for row in bad if row["path"].endswith("06.png"))


@pytest.mark.slow
def test_half_precision_and_left_out_variables(photos: Path, new_job: Callable[..., Job], tmp_path: Path) -> None:
    run(new_job(keep=Keep()), [photos], tmp_path, "whole")
    run(new_job(keep=Keep(dtype="float16")), [photos], tmp_path, "half")
    whole, half = (tables.read(tmp_path / name / "codes.parquet", "codes") for name in ("whole", "half"))
    ours, theirs = tables.array(whole, "w"), tables.array(half, "w")
    assert theirs.dtype == np.float16
    assert np.array_equal(ours.astype(np.float16), theirs)
    run(new_job(keep=Keep(skip=("w",))), [photos], tmp_path, "without")
    assert "w" not in tables.read(tmp_path / "without/codes.parquet", "codes").column_names
    with pytest.raises(ParamsError, match="wings"):
        run(new_job(keep=Keep(skip=("wings",))), [photos], tmp_path, "wrong")


@pytest.mark.slow
@pytest.mark.parametrize("together", [False, True])
def test_tuned_generators_come_with_the_table(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path, tiny_generator_file: Path, together: bool
) -> None:
    line = {"loss": "mse", "weight": 1.0, "resolution": None}
    tuning = {"inverter": "tune", "steps": 2, "lr": 0.01, "objective": [line], "together": together}
    job = new_job(preset={"inverter": "chain", "stages": [preset(2), tuning]})
    inputs = [photos / f"{i:02}.png" for i in range(4)]
    if together:  # one generator for all of them: they cannot be divided
        with pytest.raises(ParamsError, match="all of them at once"):
            plan(job, inputs, tmp_path / "work", 2)
        run(job, inputs, tmp_path, "one")
    else:
        assert run(job, inputs, tmp_path, "one") == run(job, inputs, tmp_path, "two", shard_size=2)
    out = tmp_path / "one"
    names = tables.read(out / "codes.parquet", "codes").column("tuned").to_pylist()
    files = sorted(path.name for path in (out / "codes.tuned").iterdir())
    assert files == sorted(set(names))
    assert len(files) == (1 if together else 4)
    codes = read_codes(out / "codes.parquet", load_generator(tiny_generator_file))
    drawn = tables.read(out / "reconstructions.parquet", tables.RECONSTRUCTIONS).to_pylist()
    for i, row in enumerate(drawn):
        assert np.array_equal(np.asarray(to_pil(codes[i].draw())[0]), np.asarray(from_png(row["png"])))
    (out / "codes.tuned" / "stale.safetensors").touch()  # of an earlier table of that name
    (out / "codes.parquet").unlink()
    run(job, inputs, tmp_path, "one")
    assert sorted(path.name for path in (out / "codes.tuned").iterdir()) == files
    (out / "codes.tuned" / files[0]).unlink()  # the table alone is whole
    run(job, inputs, tmp_path, "one")
    assert sorted(path.name for path in (out / "codes.tuned").iterdir()) == files


def test_bad_requests_stop_before_any_work(photos: Path, new_job: Callable[..., Job], tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run(new_job(), [tmp_path / "nowhere"], tmp_path, "a")
    with pytest.raises(ParamsError, match="shard"):
        plan(new_job(), [photos], tmp_path / "work", 0)
    with pytest.raises(AssetError, match="no such model file"):
        new_job(generator=str(tmp_path / "none.safetensors"))
    with pytest.raises(ParamsError, match="neither"):
        make_job(align=None, invert=None, assets_folder=tmp_path)


# --- everything that goes wrong --------------------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> int:
    """Do some work in a forked process: loading torch anew would take longer than the work."""
    child = os.fork()
    if child:
        return child
    try:
        torch.set_num_threads(1)
        work()
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost_and_nothing_done_twice(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path
) -> None:
    job, source = new_job(preset=preset(steps=12)), random.Random(0)
    start = time.monotonic()
    undisturbed = run(job, [photos], tmp_path, "undisturbed", shard_size=2)
    whole = time.monotonic() - start
    work, out, kills, seen = tmp_path / "work", tmp_path / "out", 0, dict[str, int]()
    for _ in range(200):
        child = in_child(lambda: extract(job, [photos], work, outputs_of(job, out), shard_size=2))
        time.sleep(source.uniform(0, whole / 3))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status)
        store = work / job.key / "shards"
        found = {path.name: path.stat().st_ino for path in store.glob("[!.]*")} if store.exists() else {}
        assert {name: found.get(name) for name in seen} == seen  # finished shards are never touched again
        seen = found
        if kills >= 20 and not os.WIFSIGNALED(status):
            break
        if not os.WIFSIGNALED(status):  # it came to its end: from the start again
            assert os.waitstatus_to_exitcode(status) == 0
            assert bytes_of(out) == undisturbed
            shutil.rmtree(work)
            shutil.rmtree(out)
            seen = {}
    assert kills >= 20
    extract(job, [photos], work, outputs_of(job, out), shard_size=2)
    assert bytes_of(out) == undisturbed
    assert sorted(path.name for path in out.iterdir()) == sorted(undisturbed)  # and nothing half-written is left


@pytest.mark.slow
def test_killed_workers_are_replaced(photos: Path, new_job: Callable[..., Job], tmp_path: Path) -> None:
    job = new_job(preset=preset(steps=12))
    undisturbed = run(job, [photos], tmp_path, "undisturbed", shard_size=2)
    whole_plan = plan(job, [photos], tmp_path / "work", 2)
    lost = 0
    with Pool(job, tmp_path / "work", 1) as pool:
        for i, shard in enumerate(whole_plan.shards()):

            def kill(_: float) -> None:
                (child,) = pool._children
                child.process.kill()

            if i in (1, 4):
                with pytest.raises(WorkerLostError, match="signal 9"):
                    pool.run(shard, kill)
                lost += 1
            pool.run(shard)
    assert lost == 2
    assemble(whole_plan.update(), outputs_of(job, tmp_path / "out"))
    assert bytes_of(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_a_worker_ends_with_whoever_started_it(photos: Path, new_job: Callable[..., Job], tmp_path: Path) -> None:
    job = new_job(preset=preset(steps=100_000))
    (shard, *_) = plan(job, [photos], tmp_path / "work", 2).shards()
    command = [sys.executable, "-m", "ganvert.extraction", str(tmp_path / "work")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(f"{job.to_json()}\n{shard.to_json()}\n")
        worker.stdin.flush()
        assert "progress" in worker.stdout.readline()  # it is at work
        worker.stdin.close()
        assert worker.wait(timeout=60) == 0


@pytest.mark.slow
def test_two_runs_at_once_share_the_work(photos: Path, new_job: Callable[..., Job], tmp_path: Path) -> None:
    job = new_job(preset=preset(steps=12))
    undisturbed = run(job, [photos], tmp_path, "undisturbed", shard_size=2)

    def one(name: str) -> None:
        found = extract(job, [photos], tmp_path / "work", outputs_of(job, tmp_path / name), shard_size=2)
        assert found.plan.finished == found.plan.total

    children = [in_child(lambda name=name: one(name)) for name in ("a", "b", "a")]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b") == undisturbed


@pytest.mark.slow
def test_a_full_disk_leaves_whole_shards_and_a_clear_error(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, written, real = new_job(), [], pq.write_table

    def fills_up(table: object, path: Path, **options: object) -> None:
        real(table, path, **options)
        written.append(path)
        if len(written) == 8:  # inside the second shard
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(shards_module.pq, "write_table", fills_up)
    with pytest.raises(StorageError, match="No space left on device; make room"):
        run(job, [photos], tmp_path, "out", work="work", shard_size=4)
    monkeypatch.undo()
    assert bytes_of(tmp_path / "out") == {}
    left = plan(job, [photos], tmp_path / "work", 4)
    assert left.finished == 4
    assert [path.name[0] for path in left.store.shards.iterdir()] != ["."]
    assert run(job, [photos], tmp_path, "out", work="work", shard_size=4) == run(job, [photos], tmp_path, "whole")


@pytest.mark.slow
def test_a_worker_without_the_model_says_so(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path, tiny_generator_file: Path
) -> None:
    model = tmp_path / "mine.safetensors"
    shutil.copy(tiny_generator_file, model)
    job = new_job(generator=str(model))
    (shard, *_) = plan(job, [photos], tmp_path / "work").shards()
    model.unlink()
    with Pool(job, tmp_path / "work", 1) as pool, pytest.raises(AssetError, match="this worker lacks the model file"):
        pool.run(shard)
    model.write_bytes(b"another one")
    with pytest.raises(AssetError, match="that the run was started with"):
        run_shard(job, shard, tmp_path / "work")


@pytest.mark.parametrize("name", ["pictures", "codes"])
def test_a_damaged_shard_is_computed_again(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path, name: str
) -> None:
    job = new_job()
    whole = run(job, [photos], tmp_path, "whole", work="work", shard_size=4)
    shard = next((tmp_path / "work" / job.key / "shards").iterdir())
    (shard / f"{name}.parquet").write_bytes(b"PAR1")
    shutil.rmtree(tmp_path / "whole")
    assert run(job, [photos], tmp_path, "whole", work="work", shard_size=4) == whole


@pytest.fixture
def finished(photos: Path, new_job: Callable[..., Job], tmp_path: Path) -> tuple[Job, Path, dict[str, bytes]]:
    """A job, its finished shards of four pictures, and its tables."""
    some, job = tmp_path / "some", new_job(Keep())
    some.mkdir()
    for i in range(8):
        shutil.copy(photos / f"{i:02}.png", some)
    whole = run(job, [some], tmp_path, "whole", work="work", shard_size=4)
    return job, tmp_path / "work" / job.key / "shards", whole


@pytest.mark.parametrize("name", ["pictures.parquet", "photos.parquet", "codes.parquet", "sums.json"])
def test_one_flipped_bit_in_a_shard_is_noticed(
    finished: tuple[Job, Path, dict[str, bytes]], tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    job, shards, whole = finished
    chance = random.Random(name)
    for _ in range(4):
        file = sorted(shards.iterdir())[0] / name
        data = bytearray(file.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(6)
        file.write_bytes(data)
        shutil.rmtree(tmp_path / "whole")
        caplog.clear()
        assert run(job, [tmp_path / "some"], tmp_path, "whole", work="work", shard_size=4) == whole
        assert "damaged" in caplog.text and "computed again" in caplog.text


def test_what_lies_among_the_shards_is_left_alone(finished: tuple[Job, Path, dict[str, bytes]], tmp_path: Path) -> None:
    job, shards, whole = finished
    (shards / "notes.txt").write_text("mine")
    (shards / "folder").mkdir()
    (shards / ("0" * 32)).write_text("no shard")
    shutil.rmtree(tmp_path / "whole")
    assert run(job, [tmp_path / "some"], tmp_path, "whole", work="work", shard_size=4) == whole
    assert (shards / "notes.txt").exists() and (shards / "folder").exists()


def test_a_damaged_table_is_written_again(finished: tuple[Job, Path, dict[str, bytes]], tmp_path: Path) -> None:
    job, _, whole = finished
    for place in (4, len(whole["codes.parquet"]) // 2):
        data = bytearray(whole["codes.parquet"])
        data[place] ^= 1
        (tmp_path / "whole/codes.parquet").write_bytes(data)
        assert run(job, [tmp_path / "some"], tmp_path, "whole", work="work", shard_size=4) == whole


def test_a_folder_where_a_table_goes_stops_before_any_work(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path
) -> None:
    (tmp_path / "out/codes.parquet").mkdir(parents=True)
    with pytest.raises(InputError, match=r"codes\.parquet is a folder"):
        run(new_job(), [photos], tmp_path, "out", work="work")
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
def test_the_clock_has_no_say(
    photos: Path, new_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job()
    whole = run(job, [photos], tmp_path, "whole")
    jumps = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: jumps.uniform(0, 4e9))
    monkeypatch.setattr(time, "time_ns", lambda: int(jumps.uniform(0, 4e18)))
    assert run(job, [photos], tmp_path, "jumping", shard_size=2) == whole
    assert run(job, [photos], tmp_path, "jumping", shard_size=2) == whole


# --- what travels ----------------------------------------------------------------------------------------------------


def test_jobs_and_shards_come_back_from_json(photos: Path, new_job: Callable[..., Job], tmp_path: Path) -> None:
    job = new_job(metrics=("mse_64",), keep=Keep(dtype="float16"))
    assert Job.from_json(job.to_json()) == job
    assert Job.from_json(job.to_json()).key == job.key
    (shard, *_) = plan(job, [photos], tmp_path / "work", 3).shards()
    assert Shard.from_json(shard.to_json()) == shard
    assert len(shard.members) == 3


def test_shards_are_as_long_as_their_steps(new_job: Callable[..., Job]) -> None:
    def size(steps: int, batch: int = 1, keep: Keep | None = None) -> int:
        return default_shard_size(new_job(preset=preset(steps=steps), batch=batch, keep=keep or Keep()))

    assert [size(1), size(100), size(1000), size(40, 8), size(1000, 8)] == [256, 2, 1, 8, 8]
    assert size(1, keep=Keep(crops=True)) == 16
