"""Every kind of source gives back the bytes that were put in, and says what is wrong with the others."""

from __future__ import annotations

import bz2
import csv
import dataclasses
import hashlib
import io
import json
import os
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ganvert import tables
from ganvert.base.errors import InputError, PhotoError
from ganvert.extraction.catalogue import Catalogue
from ganvert.extraction.members import Member, Reader
from ganvert.extraction.sources import SOURCES, Source, content_id, fetch, kind_of, stamp_of
from ganvert.faces import listing

PICTURES = {f"{name}.jpg": name.encode() * size for name, size in (("a", 10), ("sub/b", 5000), ("sub/ü", 100_000))}


def folder(path: Path, pictures: dict[str, bytes]) -> Path:
    for name, data in pictures.items():
        file = path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return path / "photos"


def one_file(path: Path, pictures: dict[str, bytes]) -> Path:
    return folder(path, pictures) / next(iter(pictures))


def zipped(path: Path, pictures: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path / "faces.zip", "w", method) as archive:
        for name, data in pictures.items():
            archive.writestr(name, data)
    return path / "faces.zip"


def tarred(path: Path, pictures: dict[str, bytes], name: str = "faces.tar", mode: str = "w") -> Path:
    with tarfile.open(path / name, mode) as archive:  # type: ignore[call-overload]
        for inner, data in pictures.items():
            info = tarfile.TarInfo(inner)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path / name


def parquet(path: Path, pictures: dict[str, bytes]) -> Path:
    table = pa.table({"jpg": pa.array(pictures.values(), pa.binary()), "name": list(pictures)})
    pq.write_table(table, path / "faces.parquet", row_group_size=2)
    return path / "faces.parquet"


def aligned(path: Path, pictures: dict[str, bytes]) -> Path:
    facts = {"photo_id": "0" * 64, "path": "x.jpg", "face": 0, "recipe": "ffhq", "resolution": 8}
    facts |= {"quad": np.zeros(8), "landmarks": None}
    rows = [facts | {"image_id": f"{name}-0", "crop": data} for name, data in pictures.items()]
    tables.write(path / "aligned.parquet", tables.ALIGNED, rows)
    return path / "aligned.parquet"


def listed(path: Path, pictures: dict[str, bytes]) -> Path:
    folder(path, pictures)
    (path / "list.txt").write_text("\n\n".join(f"photos/{name}" for name in pictures) + "\n")
    return path / "list.txt"


MAKE: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "folder": folder,
    "file": one_file,
    "zip": zipped,
    "tar": tarred,
    "parquet": parquet,
    "aligned": aligned,
    "list": listed,
}


def members_of(path: Path) -> list[Member]:
    with Catalogue(path.parent / "work" / "c.sqlite") as catalogue:
        catalogue.scan([path])
        return list(catalogue.members())


def contents(source: Source) -> dict[str, bytes | str]:
    """What a source lists: bytes, or why there are none."""
    found: dict[str, bytes | str] = {}
    for entry in source.members():
        try:
            found[entry.name] = fetch(source, entry.locator)
        except PhotoError as error:
            found[entry.name] = str(error)
    source.close()
    return found


def test_every_kind_is_tested() -> None:
    assert set(MAKE) == set(SOURCES)


@pytest.mark.parametrize("kind", SOURCES)
def test_bytes_come_back_from_every_kind_in_any_order(tmp_path: Path, kind: str) -> None:
    path = MAKE[kind](tmp_path, PICTURES)
    assert kind_of(path) == kind
    wanted = dict(list(PICTURES.items())[:1]) if kind == "file" else PICTURES
    found = members_of(path)
    assert len(found) == len(wanted)
    assert {member.kind for member in found} == {kind}
    random.Random(0).shuffle(found)
    with Reader() as reader:
        read = [reader.read(Member(**json.loads(json.dumps(dataclasses.asdict(member))))) for member in found]
    assert sorted(read) == sorted(wanted.values())
    for member, data in zip(found, read, strict=True):
        before = b"" if member.image_id is None else f"{member.image_id}\0".encode()
        assert member.photo_id == hashlib.sha256(before + data).hexdigest()
        assert (member.image_id is None) == (kind != "aligned") and Path(member.input).is_absolute()


@pytest.mark.parametrize("kind", SOURCES)
def test_other_bytes_than_listed_are_refused(tmp_path: Path, kind: str) -> None:
    member = members_of(MAKE[kind](tmp_path, PICTURES))[0]
    with Reader() as reader, pytest.raises(PhotoError, match="has changed since it was listed"):
        reader.read(dataclasses.replace(member, photo_id="0" * 64))


@pytest.mark.parametrize("kind", SOURCES)
def test_a_machine_without_the_source_stops(tmp_path: Path, kind: str) -> None:
    (tmp_path / "there").mkdir()
    member = members_of(MAKE[kind](tmp_path / "there", PICTURES))[0]
    (tmp_path / "there").rename(tmp_path / "away")
    with Reader() as reader, pytest.raises(InputError, match="not on this machine"):
        reader.read(member)


@pytest.mark.parametrize("kind", [kind for kind, source in SOURCES.items() if source.whole])
def test_damaged_as_a_whole(tmp_path: Path, kind: str) -> None:
    path = MAKE[kind](tmp_path, PICTURES)
    whole = path.read_bytes()
    for data in (b"", b"nothing of the kind", whole[: len(whole) // 3]):
        path.write_bytes(data)
        with pytest.raises(InputError, match=str(path)):
            members_of(path)


def test_a_vanished_file_of_a_folder_is_one_photo_less(tmp_path: Path) -> None:
    first, second, _ = members_of(folder(tmp_path, PICTURES))
    (tmp_path / "photos" / "a.jpg").unlink()
    with Reader() as reader:
        with pytest.raises(PhotoError, match=r"photos/a\.jpg: cannot be read: No such file or directory$"):
            reader.read(first)
        assert reader.read(second) == PICTURES["sub/b.jpg"]


def test_unreadable_members_say_why_they_were_listed_so() -> None:
    with Reader() as reader, pytest.raises(PhotoError, match="because"):
        reader.read(Member("/x", "folder", "x", "x", "0" * 64, None, "unreadable", "because"))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_few_archives_stay_open(tmp_path: Path) -> None:
    found = []
    for name in "abcdefgh":
        (tmp_path / name).mkdir()
        found += members_of(zipped(tmp_path / name, {f"{name}.jpg": name.encode()}))
    with Reader() as reader:
        before = open_files()
        assert [reader.read(member) for member in found * 2] == [name.encode() for name in "abcdefgh"] * 2
        assert open_files() - before == Reader.OPEN
    assert open_files() == before


def test_a_picture_without_a_known_ending_is_one(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "IMG_1234", "PNG")
    assert kind_of(tmp_path / "IMG_1234") == "file"


def test_an_archive_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    for suffix, make in ((".zip", zipped), (".tar", tarred), (".parquet", parquet)):
        with Reader() as reader:
            for data in (b"first", b"second one"):
                path = make(tmp_path, {"a.jpg": data})
                assert path.suffix == suffix
                (member,) = members_of(path)
                assert reader.read(member) == data


def test_unknown_and_missing_inputs(tmp_path: Path) -> None:
    (tmp_path / "faces.rar").write_bytes(b"Rar!")
    with pytest.raises(InputError, match=r"faces\.rar: not an input of a known kind; wanted a folder"):
        kind_of(tmp_path / "faces.rar")
    with pytest.raises(InputError, match="no such photo folder"):
        kind_of(tmp_path / "gone.zip")


# folders


def test_folder_skips_what_is_hidden_and_other_files_and_ends_at_loops(tmp_path: Path) -> None:
    for name in ("b.JPG", "sub/a.png", ".hidden.png", ".cache/c.png", "notes.txt", "faces.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "folder.png").symlink_to(tmp_path / "sub")
    (tmp_path / "link.png").symlink_to(tmp_path / "b.JPG")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    os.mkfifo(tmp_path / "pipe.png")
    names = {entry.name for entry in SOURCES["folder"](str(tmp_path)).members()}
    assert names == {"b.JPG", "sub/a.png", "link.png", "self.png", "pipe.png"}
    status = {Path(member.path).name: member.reason for member in members_of(tmp_path)}
    assert status["self.png"].endswith("Too many levels of symbolic links")
    assert status["pipe.png"].endswith("pipe.png: not a regular file")  # reading one would never end


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xe4.jpg")
    folder(tmp_path, {name: b"a", "\n.jpg": b"b"})
    line, odd = members_of(tmp_path / "photos")
    assert line.path.endswith("/\n.jpg")
    assert odd.path.endswith("/\\udcff\\udce4.jpg") and pa.array([odd.path])  # Parquet takes it
    member = Member(**json.loads(json.dumps(dataclasses.asdict(odd))))
    with Reader() as reader:
        assert reader.read(member) == b"a"


def test_larger_than_a_picture_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_BYTES", 1000)
    for make in (folder, zipped, tarred, parquet):
        path = make(tmp_path, {"a.jpg": b"1" * 1000, "b.jpg": b"2" * 1001})
        assert [member.status for member in members_of(path)] == ["ok", "unreadable"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_listing_holds_no_whole_picture(tmp_path: Path, kind: str) -> None:
    path = MAKE[kind](tmp_path, {f"{i}.jpg": bytes([i]) + bytes(16 << 20) for i in range(3)})
    tracemalloc.start()
    ids = {member.photo_id for member in members_of(path)}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert hashlib.sha256(b"\1" + bytes(16 << 20)).hexdigest() in ids and peak < 12 << 20


# zip


def replaced(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) == 1 and len(old) == len(new)
    path.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_methods_against_zipfile(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path, PICTURES, method)
    with zipfile.ZipFile(path) as archive:
        wanted = {info.filename: archive.read(info) for info in archive.infolist()}
    assert contents(SOURCES["zip"](str(path))) == wanted == PICTURES


def test_zip_names(tmp_path: Path) -> None:
    path = tmp_path / "faces.zip"
    skipped = ("__MACOSX/._a.jpg", "__MACOSX/b.jpg", ".hidden/a.jpg", ".a.jpg", "notes.txt", "folder.jpg/")
    taken = ("../up.jpg", "/top.png", "a/./b.webp", "back\\slash.jpg")
    with zipfile.ZipFile(path, "w") as archive:
        for name in (*skipped, *taken):
            archive.writestr(name, b"" if name.endswith("/") else name)
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "up.jpg")
    names = [entry.name for entry in SOURCES["zip"](str(path)).members()]
    assert names == ["../up.jpg", "/top.png", "a/b.webp", "back/slash.jpg"]
    assert not (tmp_path.parent / "up.jpg").exists()


def test_zip_names_of_old_tools(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"xx.jpg": b"1"})
    whole = path.read_bytes()
    for raw, name in ((b"\x81a.jpg", "üa.jpg"), ("ü.jpg".encode(), "ü.jpg")):  # code page 437; UTF-8 without the flag
        path.write_bytes(whole.replace(b"xx.jpg", raw))
        assert contents(SOURCES["zip"](str(path))) == {name: b"1"}


def test_zip_member_without_a_name_is_no_picture(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"xx.jpg": b"1", "yy.jpg": b"2"})
    path.write_bytes(path.read_bytes().replace(b"xx.jpg", b"\0x.jpg"))  # a name ends at a NUL
    source = SOURCES["zip"](str(path))
    assert contents(source) == {"yy.jpg": b"2"}
    assert source.skipped.total() == 1


def test_zip_members_of_equal_names_all_count(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a.jpg", b"first")
        archive.writestr("a.jpg", b"second")
    found = members_of(tmp_path / "faces.zip")
    with Reader() as reader:
        assert [reader.read(member) for member in found] == [b"first", b"second"]
    assert {Path(member.path).name for member in found} == {"faces.zip!a.jpg"}


def test_zip_damage_stays_with_its_member(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"a.jpg": b"good", "b.jpg": b"some bytes", "c.jpg": b"fine"}, zipfile.ZIP_STORED)
    replaced(path, b"some bytes", b"some bugs!")
    assert contents(SOURCES["zip"](str(path))) == {
        "a.jpg": b"good",
        "b.jpg": "damaged in the archive (Bad CRC-32 for file 'b.jpg')",
        "c.jpg": b"fine",
    }


def test_zip_bomb_ends_at_the_size_it_promises(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"a.jpg": bytes(1 << 24)})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 1 << 24), struct.pack("<L", 1 << 10)))
    tracemalloc.start()
    found = contents(SOURCES["zip"](str(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(found["a.jpg"]).startswith("damaged in the archive (Bad CRC-32") and peak < 1 << 20


@pytest.mark.parametrize(
    ("field", "value", "reason"), [(8, 1, "encrypted"), (10, 99, "method 99"), (10, 12, "method 12")]
)
def test_zip_members_that_cannot_be_unpacked(tmp_path: Path, field: int, value: int, reason: str) -> None:
    path = zipped(tmp_path, {"a.jpg": b"1"})
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\1\2") + field, value)
    path.write_bytes(data)
    (member,) = members_of(path)
    assert member.status == "unreadable" and reason in member.reason and member.reason.startswith(member.path)


def test_zip64_and_bytes_before_it_and_a_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)  # makes zipfile write its 64-bit forms
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    path = zipped(tmp_path, PICTURES, zipfile.ZIP_STORED)
    data = path.read_bytes()
    assert b"PK\6\6" in data and data.count(struct.pack("<2L", 2**32 - 1, 2**32 - 1)) >= 1
    path.write_bytes(b"#!/bin/sh\n" * 50 + data)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"by hand"
    assert contents(SOURCES["zip"](str(path))) == PICTURES


def crafted(path: Path, entries: int, name: bytes) -> Path:
    """Write a zip archive that is nothing but a directory of many entries, all of one member of no bytes."""
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0) + name
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0) + name
    size = entries * len(entry)
    with path.open("wb") as file:
        file.write(local)
        for _ in range(entries // 4096):
            file.write(entry * 4096)
        file.write(entry * (entries % 4096))
        # A record of the end that says 1 entry: only the size of the directory counts.
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size, len(local), 0))
    return path


@pytest.mark.parametrize(
    ("entries", "name", "says"),
    [(1 << 21, b"a.jpg", "directory has 2097152 members"), (2100, b"n" * 65_000, "directory has 136596600 bytes")],
)
def test_zip_directories_are_bounded(tmp_path: Path, entries: int, name: bytes, says: str) -> None:
    path = crafted(tmp_path / "faces.zip", entries, name)
    tracemalloc.start()
    with pytest.raises(InputError, match=says):
        list(SOURCES["zip"](str(path)).members())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 140 << 20
    small = SOURCES["zip"](str(crafted(tmp_path / "small.zip", 3, b"a.jpg")))
    assert [entry.name for entry in small.members()] == ["a.jpg"] * 3
    small.close()


def test_zip_written_to_a_pipe(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()  # sizes follow the data: only the directory knows them
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", b"1" * 1000)
    (tmp_path / "faces.zip").write_bytes(pipe.getvalue())
    assert contents(SOURCES["zip"](str(tmp_path / "faces.zip"))) == {"a.jpg": b"1" * 1000}


# tar


def test_tar_takes_only_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        for kind, name in (
            (tarfile.REGTYPE, "./a.jpg"),
            (tarfile.REGTYPE, "../up.jpg"),
            (tarfile.REGTYPE, "long/" * 60 + "a.jpg"),
            (tarfile.SYMTYPE, "link.jpg"),
            (tarfile.LNKTYPE, "hard.jpg"),
            (tarfile.CHRTYPE, "device.jpg"),
            (tarfile.FIFOTYPE, "pipe.jpg"),
            (tarfile.DIRTYPE, "folder.jpg"),
            (tarfile.REGTYPE, "._a.jpg"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, "a.jpg", 3 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"abc"))
    assert contents(SOURCES["tar"](str(tmp_path / "faces.tar"))) == dict.fromkeys(
        ("a.jpg", "../up.jpg", "long/" * 60 + "a.jpg"), b"abc"
    )


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_cut_short_anywhere_or_with_a_damaged_header(
    tmp_path: Path, format: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarfile.TarFile, "format", format)
    path = tarred(tmp_path, {"a.jpg": b"1" * 700, "b.jpg": b"2" * 700, "c.jpg": b"3" * 700})
    whole = path.read_bytes()
    for end in (100, 600, 1500, 1600, 2000, 3200):  # in headers, in data
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match="not a tar archive that can be read, or cut short"):
            list(SOURCES["tar"](str(path)).members())
    path.write_bytes(whole[:1540] + b"?" * 300 + whole[1840:])
    with pytest.raises(InputError, match="damaged at byte 1536"):
        list(SOURCES["tar"](str(path)).members())


@pytest.mark.parametrize(("name", "mode"), [("f.tar.gz", "w:gz"), ("f.tgz", "w:gz"), ("f.tar.xz", "w:xz")])
def test_compressed_tar_is_unpacked_once(tmp_path: Path, name: str, mode: str) -> None:
    path = tarred(tmp_path, PICTURES, name, mode)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    work = tmp_path / "work"
    plain = SOURCES["tar"].prepare(path, work)
    assert plain.is_relative_to(work) and contents(SOURCES["tar"](str(plain))) == PICTURES
    assert members_of(path)[0].path == f"{path}!a.jpg"

    tarred(tmp_path, {"z.jpg": b"new"}, name, mode)
    changed = SOURCES["tar"].prepare(path, work)
    assert contents(SOURCES["tar"](str(changed))) == {"z.jpg": b"new"}
    assert list((work / "unpacked").iterdir()) == [changed]  # the old one went


def test_unpacked_tar_is_used_again_when_its_archive_is_old_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tarred(tmp_path, PICTURES, "f.tar.gz", "w:gz")
    written = path.stat().st_ctime_ns
    for seconds, again in ((1, True), (3, True), (4, False)):  # unpacked too early; early the last time; trusted
        monkeypatch.setattr("time.time_ns", lambda seconds=seconds: written + seconds * 10**9)
        before = {file: file.stat().st_ino for file in (tmp_path / "unpacked").glob("*")}
        plain = SOURCES["tar"].prepare(path, tmp_path)
        assert (before.get(plain) != plain.stat().st_ino) == again


@pytest.mark.parametrize(("name", "mode"), [("f.tar.gz", "w:gz"), ("f.tar.xz", "w:xz"), ("f.tar.bz2", "w:bz2")])
def test_compressed_tar_cut_short(tmp_path: Path, name: str, mode: str) -> None:
    path = tarred(tmp_path, PICTURES, name, mode)
    for data in (path.read_bytes()[:-40], b"not compressed", bz2.compress(b"x")[:10]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged or cut short"):
            SOURCES["tar"].prepare(path, tmp_path / "work")
        assert not list((tmp_path / "work" / "unpacked").iterdir())


def header(name: str, kind: bytes, size: bytes | int, data: bytes = b"", extended: bool = False) -> bytes:
    """A header of a tar archive and what follows it; a size in bytes is written as it is."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, 0 if isinstance(size, bytes) else size
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if isinstance(size, bytes):
        block[124:136] = size
    block[482] = extended  # of a sparse file: another block of its map follows
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    return bytes(block) + data + bytes(-len(data) % 512)


def with_pax(values: dict[str, str], data: bytes = b"") -> bytes:
    """A member a.jpg with a pax header."""
    info = tarfile.TarInfo("a.jpg")
    info.pax_headers, info.size = values, len(data)
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)


HUGE = b"\x80" + (1 << 42).to_bytes(11, "big")  # base 256
BACK = b"\xff" + (-1024).to_bytes(11, "big", signed=True)
SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
HOSTILE_TARS: dict[str, list[bytes]] = {
    "chain of long names": [header("././@LongLink", b"L", 6, b"a.jpg\0")] * 2000,
    "chain of pax headers": [header("x", b"x", 13, b"13 a=bcdefgh\n")] * 2000,
    "huge long name": [header("././@LongLink", b"L", HUGE)],
    "huge pax header": [header("x", b"x", HUGE)],
    "name that leads back": [header("a.jpg", b"0", 3, b"abc"), header("././@LongLink", b"L", BACK)],
    "member that leads back": [header("a.jpg", b"0", 3, b"abc"), header("b.jpg", b"0", BACK)],
    "digits": [header("x", b"x", 1 << 19, b"1" * (1 << 19))],
    "long sparse map": [with_pax(SPARSE, b"9999999\n" + (b"0" * 200 + b"\n") * 8000)],
    "sparse map in blocks": [header("a.jpg", b"S", 0, extended=True), *[bytes(504) + b"\1" + bytes(7)] * 3000],
}


@pytest.mark.parametrize("kind", HOSTILE_TARS)
def test_hostile_tars_end_soon_in_little_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "faces.tar"
    with path.open("wb") as file:
        file.writelines(HOSTILE_TARS[kind])
        file.truncate(1 << 33)  # sparse: what is promised is there
    tracemalloc.start()
    with pytest.raises(InputError, match="not a tar archive that can be read"):
        for _ in zip(range(10_000), SOURCES["tar"](str(path)).members(), strict=False):
            pass
        raise AssertionError("no end")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_tar_member_of_a_negative_size(tmp_path: Path) -> None:
    (tmp_path / "f.tar").write_bytes(with_pax({"size": "-1"}) + bytes(1024))
    found = contents(SOURCES["tar"](str(tmp_path / "f.tar")))
    assert [str(reason) for reason in found.values()] == ["-1 bytes are more than a picture may have (1073741824)"]


def test_overlong_names_in_archives_are_counted(tmp_path: Path) -> None:
    for make in (zipped, tarred):
        source = SOURCES[make.__name__[:3]](str(make(tmp_path, {"n" * 5000 + ".jpg": b"1", "a.jpg": b"2"})))
        assert list(contents(source).values()) == [b"2"]
        assert source.skipped == {"name of more than 4096 characters": 1}


def test_compressed_tar_that_unfolds_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvert.extraction.sources.tar._SMALL", 1 << 20)
    path = tarred(tmp_path, {"a.jpg": bytes(3 << 20)}, "f.tar.gz", "w:gz")
    with pytest.raises(InputError, match="unfolds to more than 1048576 bytes"):
        SOURCES["tar"].prepare(path, tmp_path / "work")
    assert not list((tmp_path / "work" / "unpacked").iterdir())


def test_what_a_killed_run_unpacked_is_swept(tmp_path: Path) -> None:
    path = tarred(tmp_path, PICTURES, "f.tar.gz", "w:gz")
    stray = tmp_path / "unpacked" / ".x.0123abcd-1-0123abcd.part.tar"
    stray.parent.mkdir()
    stray.write_bytes(b"half")
    assert list(stray.parent.iterdir()) == [stray]
    plain = SOURCES["tar"].prepare(path, tmp_path)
    assert list(stray.parent.iterdir()) == [plain]


# parquet


def test_parquet_names_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"image": [b"1", b"2", b"3"], "name": ["a", "n" * 5000, "c"]}), path)
    assert contents(SOURCES["parquet"](str(path))) == {"a": b"1", "1": b"2", "c": b"3"}
    pq.write_table(pa.table({"image": [b"1"] * 4, "name": [c * 8192 for c in "abcd"]}), path, use_dictionary=False)
    with pytest.raises(InputError, match=r"wanted names in the column name, got .* bytes in 4 rows"):
        members_of(path)


@pytest.mark.slow
def test_parquet_that_a_dictionary_makes_large(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    same = pa.array([0] * 200, pa.int32())
    columns = {"image": pa.array([b"i" * (4 << 20)]), "name": pa.array(["n" * (1 << 18)])}
    table = pa.table({name: pa.DictionaryArray.from_arrays(same, value) for name, value in columns.items()})
    pq.write_table(table, path, dictionary_pagesize_limit=1 << 30, write_statistics=False, store_schema=False)
    assert path.stat().st_size < 1 << 20
    before = pa.total_allocated_bytes()
    source, peak = SOURCES["parquet"](str(path)), 0
    for entry in source.members():
        assert len(fetch(source, entry.locator)) == 4 << 20
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 32 << 20


def test_parquet_of_hugging_face(tmp_path: Path) -> None:
    rows = [{"bytes": b"1", "path": "one.jpg"}, {"bytes": b"2", "path": None}, {"bytes": None, "path": "three.jpg"}]
    table = pa.table({"image": pa.array([*rows, None]), "label": [0, 1, 2, 3]})
    pq.write_table(table, tmp_path / "faces.parquet", row_group_size=3)
    lost = "the table holds no bytes for it"
    found = contents(SOURCES["parquet"](str(tmp_path / "faces.parquet")))
    assert found == {"one.jpg": b"1", "1": b"2", "three.jpg": lost, "3": lost}


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"features": [b"f"], "image": [b"i"]}, b"i"),
        ({"photo": [b"p"], "caption": ["text"]}, b"p"),
        ({"crop": [b"c"], "png": [b"n"]}, b"c"),
        ({"jpg": pa.array([b"l"], pa.large_binary())}, b"l"),
    ],
)
def test_parquet_column(tmp_path: Path, columns: dict[str, list[bytes]], chosen: bytes) -> None:
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    assert contents(SOURCES["parquet"](str(tmp_path / "f.parquet"))) == {"0": chosen}


@pytest.mark.parametrize("columns", [{"a": [b"1"], "b": [b"2"]}, {"image": ["text"]}, {"image": pa.nulls(3)}])
def test_parquet_without_a_clear_column(tmp_path: Path, columns: dict[str, list[bytes]]) -> None:
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    with pytest.raises(InputError, match="wanted a column of image bytes"):
        members_of(tmp_path / "f.parquet")


def test_parquet_rows_are_found_forwards_backwards_and_over_groups(tmp_path: Path) -> None:
    data = [bytes([i]) * (i + 1) for i in range(50)]
    pq.write_table(pa.table({"image": data}), tmp_path / "f.parquet", row_group_size=20)
    source = SOURCES["parquet"](str(tmp_path / "f.parquet"))
    order = [*range(50), *range(49, -1, -3), 7, 7, 30, 8]
    assert [fetch(source, f"{i // 20}:{i % 20}") for i in order] == [data[i] for i in order]
    with pytest.raises(PhotoError, match="has lost this row"):
        fetch(source, "2:10")
    assert fetch(source, "0:0") == data[0]


def test_aligned_table_of_another_version(tmp_path: Path) -> None:
    table = pa.table({"image_id": ["a"], "crop": [b"1"]}).replace_schema_metadata({"table": "aligned"})
    pq.write_table(table, tmp_path / "aligned.parquet")
    with pytest.raises(InputError, match="align the photographs again"):
        members_of(tmp_path / "aligned.parquet")


def test_equal_crops_of_an_aligned_table_stay_apart_and_in_its_order(tmp_path: Path) -> None:
    found = members_of(aligned(tmp_path, {"b": b"same", "a": b"same", "c": b"other"}))
    assert [member.image_id for member in found] == ["b-0", "a-0", "c-0"]
    assert found[0].photo_id == content_id(b"same", "b-0") == hashlib.sha256(b"b-0\0same").hexdigest()


# lists


def lists(path: Path, names: list[str]) -> list[Path]:
    (path / "list.txt").write_text("\ufeff" + "\r\n".join(names), encoding="utf-8")
    (path / "list.jsonl").write_text("\n\n".join(json.dumps({"path": name, "age": 3}) for name in names))
    with (path / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("age", "path"), *((3, name) for name in names)])
    return [path / "list.txt", path / "list.jsonl", path / "list.csv"]


def test_lists_name_files_from_their_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "data", {"a, b.jpg": b"1", "no ending": b"2"})
    names = ["photos/a, b.jpg", str(tmp_path / "data/photos/no ending"), "./photos/gone.jpg", "photos"]
    monkeypatch.chdir(tmp_path)
    for path in lists(tmp_path / "data", names):
        found = members_of(path.relative_to(tmp_path))
        assert [(member.path, member.status) for member in found] == [
            ("data/photos", "unreadable"),
            ("data/photos/a, b.jpg", "ok"),
            ("data/photos/gone.jpg", "unreadable"),
            ("data/photos/no ending", "ok"),
        ]
        with Reader() as reader:
            assert [reader.read(member) for member in (found[1], found[3])] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.jsonl", "{"), ("b.jsonl", "[]"), ("c.jsonl", '{"file": "a"}'), ("d.csv", "file\na.jpg\n"), ("e.jsonl", "3")],
)
def test_lists_of_no_known_form(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"{name}: cannot be read as a list after 0 names"):
        members_of(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.txt", "a" * 5000, "name of more than 4096"),
        ("a.txt", "#" * (1 << 21), "line of 1048576"),
        ("a.jsonl", '"' + "a" * (1 << 21), "line of 1048576"),
        ("a.csv", "path\n" + "a" * 200_000, "field larger than field limit"),
    ],
)
def test_lists_without_line_ends(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=reason):
        members_of(tmp_path / name)


def test_numbers_of_any_length_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"path": "a.jpg", "id": ' + "9" * 6000 + "}")
    assert list(contents(SOURCES["list"](str(tmp_path / "a.jsonl")))) == ["a.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_lists_of_any_encoding_that_editors_write(tmp_path: Path, encoding: str) -> None:
    folder(tmp_path, {"ü.jpg": b"1"})
    (tmp_path / "list.txt").write_text("photos/ü.jpg\r\n", encoding=encoding)
    assert contents(SOURCES["list"](str(tmp_path / "list.txt"))) == {"photos/ü.jpg": b"1"}


@pytest.mark.parametrize("data", ["a.jpg\n".encode("utf-16-le"), b"\x89PNG\0\0\0\rIHDR"])
def test_lists_that_are_no_text_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(InputError, match=r"list\.txt: not text, or UTF-16 without a byte order mark; save it as UTF-8"):
        members_of(tmp_path / "list.txt")


def test_notes_in_a_list_are_counted(tmp_path: Path) -> None:
    folder(tmp_path, {"a.jpg": b"1", "no ending": b"2", "#3.jpg": b"3"})
    lines = ["# photos/gone.jpg", "Faces of the first day:", "photos/a.jpg", "  ", "photos/no ending", "photos/#3.jpg"]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "photos/lost.jpg"]))
    source = SOURCES["list"](str(tmp_path / "list.txt"))
    assert list(contents(source)) == ["photos/a.jpg", "photos/no ending", "photos/#3.jpg", "photos/lost.jpg"]
    assert source.skipped == {"note": 2, "blank line": 1}


@pytest.mark.parametrize("make", [folder, zipped, tarred])
def test_what_is_left_out_is_counted_and_said(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], caplog: pytest.LogCaptureFixture
) -> None:
    names = ("a.jpg", "b.dng", "c.DNG", "d.jxl", "IMG_1", ".hidden.dng")
    path = make(tmp_path, {name: name.encode() for name in names})
    if path.is_dir():
        (path / "link").symlink_to(tmp_path)
    with Catalogue(tmp_path / "work" / "c.sqlite") as catalogue:
        scan = catalogue.scan([path])
    assert scan.found == 1 and scan.skipped == 4 + path.is_dir()
    link = ", 1 linked folder" if path.is_dir() else ""
    (said,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    counts = {"2 .dng", "1 .jxl", "1 no ending"} | ({"1 linked folder"} if link else set())
    assert str(path) in said and set(said[said.index("(") + 1 : -1].split(", ")) == counts


@pytest.mark.parametrize("name", ["pipe.zip", "pipe.txt", "pipe", "pipe.jpg"])
def test_a_pipe_given_as_an_input_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="neither a folder nor a regular file"):
        kind_of(tmp_path / name)


@pytest.mark.parametrize("kind", [kind for kind, source in SOURCES.items() if source.whole])
def test_a_path_is_said_once(tmp_path: Path, kind: str) -> None:
    path = MAKE[kind](tmp_path, PICTURES)
    path.unlink()
    with pytest.raises(InputError) as caught:
        list(SOURCES[kind](str(path)).members())
    assert str(caught.value).count(str(path)) == 1


# stamps


def test_stamp_is_trusted_only_when_the_file_is_older_than_two_seconds(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"1")
    changed = file.stat().st_ctime_ns
    for seconds, settled in ((-3600, False), (0, False), (1.9, False), (2, True), (3600, True)):
        assert stamp_of(str(file), changed + int(seconds * 1e9))[1] == settled
    os.utime(file, ns=(0, changed + 3600 * 10**9))  # a modification ahead of the clock
    assert not stamp_of(str(file), changed + 10 * 10**9)[1]


def test_stamp_tells_files_of_equal_size_and_time_apart(tmp_path: Path) -> None:
    seen = set()
    for data in (b"1", b"2"):
        (tmp_path / "new.jpg").write_bytes(data)
        os.utime(tmp_path / "new.jpg", ns=(0, 0))
        (tmp_path / "new.jpg").replace(tmp_path / "a.jpg")
        seen.add(stamp_of(str(tmp_path / "a.jpg"), 0)[0])
    assert len(seen) == 2
    with pytest.raises(PhotoError, match="not a regular file"):
        stamp_of(str(tmp_path), 0)
