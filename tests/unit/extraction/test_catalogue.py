"""What is listed, in which order, what is read again, and that neither crashes nor other runs spoil it."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ganvert.base.errors import InputError, StorageError
from ganvert.extraction import catalogue as module
from ganvert.extraction.catalogue import Catalogue, Scan
from ganvert.extraction.members import Member, Reader
from ganvert.extraction.sources import SOURCES
from ganvert.faces.listing import find_photos, open_regular


@pytest.fixture()
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder; files count as written some time ago."""
    monkeypatch.chdir(tmp_path)
    now = time.time_ns
    monkeypatch.setattr("time.time_ns", lambda: now() + 10**10)
    return tmp_path


@pytest.fixture()
def catalogue(here: Path) -> Iterator[Catalogue]:
    with Catalogue(here / "work" / "c.sqlite") as found:
        yield found


def write(**files: str) -> None:
    """Pictures of a folder `photos`: names without ending to contents."""
    for name, text in files.items():
        path = Path("photos", f"{name}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def tar(path: Path, names: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def paths(catalogue: Catalogue) -> list[str]:
    return [member.path for member in catalogue.members()]


def test_first_of_equal_contents_counts(catalogue: Catalogue) -> None:
    write(b="same", a="other", c="same", **{"0/z": "same"})
    assert catalogue.scan([Path("photos")]) == Scan(found=4, unique=2, duplicates=2, unreadable=0, hashed=4)
    assert paths(catalogue) == ["photos/0/z.jpg", "photos/a.jpg"] and len(catalogue) == 2
    first = next(catalogue.members())
    assert first == Member(
        str(Path("photos").absolute()), "folder", "photos/0/z.jpg", "0/z.jpg", hashlib.sha256(b"same").hexdigest()
    )


def test_order_is_that_of_paths(catalogue: Catalogue) -> None:
    source = random.Random(0)
    for i in range(300):
        parts = ["".join(source.choices("-!~aZ 0é\udcff\U0001f600", k=source.randint(1, 3))) for _ in range(3)]
        path = Path("photos", *parts[: source.randint(0, 2)], f"{parts[2]}{i}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(i))
    catalogue.scan([Path("photos")])
    listed = [Path("photos", member.locator) for member in catalogue.members()]
    assert listed == find_photos([Path("photos")]) and len(listed) == 300
    absolute = Path("photos").absolute().rename(catalogue.path.parent.parent.parent / "photos")
    Path("!").mkdir()
    Path("!/a.jpg").write_text("first")
    catalogue.scan([Path("!"), absolute])
    assert paths(catalogue)[:1] == ["!/a.jpg"] and find_photos([absolute, Path("!")])[:1] == [Path("!/a.jpg")]


def test_inputs_that_overlap_name_a_file_once(catalogue: Catalogue, here: Path) -> None:
    write(a="1", b="2", **{"sub/c": "3"})
    Path("list.txt").write_text("photos/a.jpg\n")
    inputs = ["photos/sub", "photos", "photos/b.jpg", here / "photos", "list.txt", "./photos/../photos"]
    scan = catalogue.scan([Path(path) for path in inputs])
    assert (scan.found, scan.unique) == (6, 3)  # the last input's names are others, its contents are not
    assert paths(catalogue) == [f"photos/../photos/{name}.jpg" for name in ("a", "b", "sub/c")]
    scan = catalogue.scan([Path(path) for path in inputs[:-1]])
    assert scan == Scan(found=3, unique=3, duplicates=0, unreadable=0, hashed=0)
    assert paths(catalogue) == [f"photos/{name}.jpg" for name in ("a", "b", "sub/c")]


def test_names_are_relative_below_the_current_folder_else_as_given(
    catalogue: Catalogue, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(a="1")
    tar(here / "f.tar", {"b.jpg": b"2"})
    for folder, root in ((".", ""), (str(here), "")):
        catalogue.scan([Path(folder, "photos"), Path(folder, "f.tar")])
        assert paths(catalogue) == [f"{root}f.tar!b.jpg", f"{root}photos/a.jpg"]
    Path("other").mkdir()
    monkeypatch.chdir("other")
    catalogue.scan([Path("../photos"), here / "f.tar"])
    assert sorted(paths(catalogue)) == ["../photos/a.jpg", f"{here}/f.tar!b.jpg"]
    with Reader() as reader:  # wherever a worker runs
        monkeypatch.chdir("/")
        assert sorted(map(reader.read, catalogue.members())) == [b"1", b"2"]
    monkeypatch.chdir(here / "photos")
    catalogue.scan([Path()])
    assert paths(catalogue) == ["a.jpg"]


def test_only_what_changed_is_read_again(catalogue: Catalogue, here: Path) -> None:
    write(a="1", b="2", c="3")
    tar(here / "f.tar", {"x.jpg": b"4", "y.jpg": b"5"})
    inputs = [Path("photos"), Path("f.tar")]
    assert catalogue.scan(inputs).hashed == 5
    before = list(catalogue.members())
    assert catalogue.scan(inputs).hashed == 0 and list(catalogue.members()) == before
    kept = Path("photos/a.jpg").stat()
    write(a="9")  # of the same size, and its time put back
    os.utime("photos/a.jpg", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    Path("photos/b.jpg").unlink()
    write(d="6")
    scan = catalogue.scan(inputs)
    assert (scan.hashed, scan.unique) == (2, 5)
    assert [path for path in paths(catalogue) if "tar" not in path] == [f"photos/{name}.jpg" for name in "acd"]
    assert catalogue.scan(inputs).hashed == 0
    tar(here / "f.tar", {"x.jpg": b"4"})
    scan = catalogue.scan(inputs)
    assert (scan.hashed, scan.unique) == (1, 4)
    with Catalogue(catalogue.path) as again:
        assert again.scan(inputs).hashed == 0 and list(again.members()) == list(catalogue.members())


def test_files_newer_than_the_clock_can_tell_are_read_again(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(a="1")
    tar(Path("f.tar"), {"x.jpg": b"4"})
    written = Path("f.tar").stat().st_ctime_ns
    for seconds, hashed in ((-3600, 2), (1, 2), (3, 2), (4, 0), (-3600, 0)):  # what is noted once holds
        monkeypatch.setattr("time.time_ns", lambda seconds=seconds: written + seconds * 10**9)
        assert catalogue.scan([Path("photos"), Path("f.tar")]).hashed == hashed


def test_a_same_tick_change_is_not_missed(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    write(a="1")
    monkeypatch.setattr("time.time_ns", lambda: Path("photos/a.jpg").stat().st_ctime_ns + 10**9)
    catalogue.scan([Path("photos")])
    stamp = module.stamp_of
    frozen = stamp("photos/a.jpg", 0)[0]
    monkeypatch.setattr(module, "stamp_of", lambda path, now: (frozen, stamp(path, now)[1]))  # a clock that stood still
    write(a="2")
    catalogue.scan([Path("photos")])
    assert next(catalogue.members()).photo_id == hashlib.sha256(b"2").hexdigest()


def test_unreadable_files_are_members_with_a_reason(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    write(a="1", b="2", empty="")

    # Root ignores mode bits, so the refusal is simulated.
    def refuse(path: str) -> AbstractContextManager[tuple[BinaryIO, int]]:
        if Path(path).name == "a.jpg":
            raise PermissionError(13, "Permission denied", path)
        return open_regular(path)

    monkeypatch.setattr("ganvert.extraction.sources.base.open_regular", refuse)
    for hashed in (2, 0):
        scan = catalogue.scan([Path("photos")])
        assert scan == Scan(found=3, unique=3, duplicates=0, unreadable=1, hashed=hashed)
    first, *others = catalogue.members()
    assert (first.path, first.status) == ("photos/a.jpg", "unreadable")
    assert first.reason == "photos/a.jpg: cannot be read: Permission denied"
    assert first.photo_id == hashlib.sha256(b"unreadable:photos/a.jpg").hexdigest()
    assert [member.status for member in others] == ["ok", "ok"]
    monkeypatch.undo()


def test_what_stops_before_any_work(catalogue: Catalogue) -> None:
    write(a="1")
    Path("empty").mkdir()
    Path("f.rar").touch()
    for bad, message in (("gone", "no such photo folder"), ("f.rar", "known kind")):
        with pytest.raises(InputError, match=message):
            catalogue.scan([Path("photos"), Path(bad)])
        assert not catalogue.path.parent.exists()
    for inputs, message in (([Path("empty")], "no photos in empty"), ([], "no folder given")):
        with pytest.raises(InputError, match=message):
            catalogue.scan(inputs)
    tar(Path("f.tar"), {"notes.txt": b"1"})
    with pytest.raises(InputError, match=r"no photos in f\.tar"):
        catalogue.scan([Path("f.tar")])


def test_a_failed_scan_leaves_a_catalogue_that_works(catalogue: Catalogue) -> None:
    write(a="1")
    tar(Path("f.tar"), {f"{i}.jpg": bytes([i]) for i in range(9)})
    whole = Path("f.tar").read_bytes()
    Path("f.tar").write_bytes(whole[:5000])
    with pytest.raises(InputError, match="cut short"):
        catalogue.scan([Path("f.tar"), Path("photos")])
    Path("f.tar").write_bytes(whole)
    assert catalogue.scan([Path("f.tar"), Path("photos")]).unique == 10


# marks


def test_marks(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 64)  # several pages
    write(**{f"{i:03}": str(i // 2) for i in range(500)})
    catalogue.scan([Path("photos")])
    ids = [member.photo_id for member in catalogue.members()]
    assert len(set(ids)) == 250 == len(ids) == len(catalogue) == catalogue.todo_count()
    assert list(catalogue.todo()) == list(catalogue.members()) and list(catalogue.done()) == []
    catalogue.mark_done("first", [*ids[:200:2], "0" * 64])
    catalogue.mark_done("second", iter(ids[:10]))
    shard = {photo_id: "first" if i % 2 == 0 else "second" for i, photo_id in enumerate(ids)}
    done = [i for i in range(200) if i % 2 == 0 or i < 10]
    assert list(catalogue.done()) == [(ids[i], shard[ids[i]]) for i in done]
    assert [member.photo_id for member in catalogue.todo()] == [ids[i] for i in range(250) if i not in done]
    assert catalogue.todo_count() == 250 - len(done)
    catalogue.clear_done()
    assert catalogue.todo_count() == 250


def test_marking_while_listing_what_is_left(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 64)
    write(**{f"{i:03}": str(i) for i in range(200)})
    catalogue.scan([Path("photos")])
    seen = []
    for member in catalogue.todo():
        seen.append(member.photo_id)
        catalogue.mark_done("x", [member.photo_id])
    assert seen == [member.photo_id for member in catalogue.members()] and catalogue.todo_count() == 0


# crashes, damage, other runs

KILLED = """
import os, signal, sys
from pathlib import Path
from typing import BinaryIO
from ganvert.extraction import catalogue
from ganvert.extraction.sources import stamp_of
catalogue.BATCH, catalogue.THREADS, count = 8, 1, 0
catalogue.stamp_of = lambda path, now: (stamp_of(path, now)[0], True)
def identify(*picture, identify=catalogue.identify):
    global count
    count += 1
    if count == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return identify(*picture)
catalogue.identify = identify
catalogue.Catalogue(Path("work/c.sqlite")).scan([Path("f.tar"), Path("photos")])
"""


@pytest.mark.slow
def test_killed_while_it_lists(catalogue: Catalogue) -> None:
    write(**{f"{i:02}": f"file {i}" for i in range(40)})
    tar(Path("f.tar"), {f"{i:02}.jpg": b"tar %d" % i for i in range(20)})
    # (killed at, what the next run has to read): archives as a whole, files by batches of 8
    for kill_at, left in ((13, 60), (20 + 30, 40 - 24)):
        child = subprocess.run([sys.executable, "-c", KILLED, str(kill_at)], check=False)
        assert child.returncode == -signal.SIGKILL
        if kill_at == 13:
            continue
        assert catalogue.scan([Path("f.tar"), Path("photos")]).hashed == left
        assert len(catalogue) == 60
    with Reader() as reader:
        data = [reader.read(member) for member in catalogue.members()]
    assert data == [b"tar %d" % i for i in range(20)] + [b"file %d" % i for i in range(40)]


@pytest.mark.parametrize("damage", ["text", "middle", "cut", "empty", "other"])
def test_a_damaged_file_is_set_aside(catalogue: Catalogue, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    write(**{f"{i:04}": str(i) for i in range(1000)})
    catalogue.scan([Path("photos")])
    wanted = list(catalogue.members())
    data = bytearray(catalogue.path.read_bytes())
    if damage == "other":
        catalogue.path.unlink()
        with sqlite3.connect(catalogue.path) as other:
            other.execute("PRAGMA user_version = 77")
            other.execute("CREATE TABLE files (what TEXT)")
        other.close()
    else:
        data[4096:40_000] = b"\xff" * len(data[4096:40_000])
        changed = {"text": b"not a database" * 99, "middle": data, "cut": data[:5000], "empty": b""}
        catalogue.path.write_bytes(changed[damage])
    Path(f"{catalogue.path}-journal").write_bytes(b"of the file that was")
    assert catalogue.scan([Path("photos")]).hashed == 1000
    assert list(catalogue.members()) == wanted
    assert catalogue.scan([Path("photos")]).hashed == 0
    aside = catalogue.path.with_name("c.sqlite.damaged")
    assert aside.exists() == (damage in ("text", "middle", "cut")) == ("set aside" in caplog.text)


def test_one_flipped_bit_loses_no_picture(catalogue: Catalogue, here: Path) -> None:
    write(**{f"{i}": str(i) for i in range(9)})
    inputs = [Path("photos"), tar(here / "f.tar", {f"{i}.jpg": b"tar %d" % i for i in range(9)})]
    catalogue.scan(inputs)
    wanted, data = list(catalogue.members()), catalogue.path.read_bytes()
    used = [place for place, byte in enumerate(data) if byte]  # the rest is free space
    chance = random.Random(0)
    for _ in range(120):
        changed, place = bytearray(data), chance.choice(used)
        changed[place] ^= 1 << chance.randrange(8)
        catalogue.path.write_bytes(changed)
        with Catalogue(catalogue.path) as again:
            again.scan(inputs)
            assert list(again.members()) == wanted, place


def test_a_scan_waits_for_another_process_and_not_for_a_dead_one(
    catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    write(a="1")
    catalogue.path.parent.mkdir()
    hold = """if 1:
        import sqlite3, sys
        lock = sqlite3.connect(sys.argv[1], isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        print("held", flush=True)
        sys.stdin.read()"""
    command = [sys.executable, "-c", hold, f"{catalogue.path}.lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        found: list[Scan] = []
        scan = threading.Thread(target=lambda: found.append(catalogue.scan([Path("photos")])))
        with caplog.at_level(logging.WARNING, "ganvert"):
            scan.start()
            while "another run lists these pictures" not in caplog.text:
                assert scan.is_alive()
                time.sleep(0.01)
        assert not found
        child.kill()
        scan.join(60)
    assert found[0].unique == 1


def test_scans_at_once_see_their_own_inputs(here: Path) -> None:
    write(**{f"{i:03}": str(i) for i in range(200)}, **{f"sub/{i:03}": f"sub {i}" for i in range(200)})
    tar(Path("f.tar"), {f"{i:03}.jpg": b"tar %d" % i for i in range(200)})
    inputs = [["photos"], ["f.tar", "photos"], ["photos/sub", "f.tar"], ["photos/sub"]] * 3
    found: dict[int, list[str]] = {}

    def run(number: int) -> None:
        with Catalogue(here / "work" / "c.sqlite") as one:
            one.scan([Path(path) for path in inputs[number]])
            barrier.wait()
            found[number] = paths(one)

    barrier = threading.Barrier(len(inputs), timeout=120)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, names in enumerate(inputs):
        wanted = [f"f.tar!{i:03}.jpg" for i in range(200)] if "f.tar" in names else []
        wanted += [f"photos/{i:03}.jpg" for i in range(200)] if "photos" in names else []
        wanted += [f"photos/sub/{i:03}.jpg" for i in range(200)]
        assert found[number] == wanted


def test_no_room(catalogue: Catalogue) -> None:
    write(**{f"{i:04}": str(i) for i in range(1500)})
    pages = catalogue._db.execute("PRAGMA max_page_count = 40").fetchone()
    assert pages == (40,)
    with pytest.raises(StorageError, match=r"c\.sqlite: the catalogue .* disk is full.* make room"):
        catalogue.scan([Path("photos")])
    catalogue._db.execute("PRAGMA max_page_count = 100000")
    scan = catalogue.scan([Path("photos")])
    assert scan.unique == 1500 and scan.hashed < 1500  # what the first got done is kept


def test_no_file_where_the_catalogue_shall_be(here: Path) -> None:
    write(a="1")
    (here / "work" / "c.sqlite").mkdir(parents=True)
    with Catalogue(here / "work" / "c.sqlite") as one, pytest.raises(StorageError, match="unable to open"):
        one.scan([Path("photos")])


# memory


def many(kind: str, count: int) -> Path:
    """A source of many small pictures."""
    names = [f"{i:06}.jpg" for i in range(count)]
    if kind == "tar":
        return tar(Path(f"{count}.tar"), {name: name.encode() for name in names})
    if kind == "parquet":
        pq.write_table(pa.table({"image": [name.encode() for name in names], "name": names}), f"{count}.parquet")
        return Path(f"{count}.parquet")
    folder = Path(f"photos{count}")
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name)
    if kind == "folder":
        return folder
    Path(f"{count}.txt").write_text("\n".join(f"{folder}/{name}" for name in names))
    return Path(f"{count}.txt")


#: A single file is one picture; an aligned table is read like any Parquet; `zipfile` keeps a zip's directory.
@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(SOURCES) - {"file", "aligned", "zip"}))
def test_memory_does_not_grow_with_the_names(catalogue: Catalogue, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 128)
    peaks: dict[int, list[int]] = {300: [], 1500: []}
    for count, seen in peaks.items():
        path = many(kind, count)
        for _ in range(2):  # the least counts: sometimes a table of the interpreter's own grows meanwhile
            catalogue.path.unlink(missing_ok=True)
            catalogue.clear_done()
            tracemalloc.start()
            catalogue.scan([path])
            todo = catalogue.todo()
            while shard := [member.photo_id for member in islice(todo, 100)]:
                catalogue.mark_done("shard", shard)
            assert catalogue.todo_count() == 0
            seen.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert min(peaks[1500]) < 1.3 * min(peaks[300]) < 1 << 19
