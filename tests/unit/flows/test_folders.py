"""What a request may read and write."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.folders import FolderError, Folders


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    for name in ("project/data/photos", "project/data/extracted", "project/secret", "more", "results", "outside"):
        (tmp_path / name).mkdir(parents=True)
    return Folders.of(tmp_path / "project", [tmp_path / "more"], [tmp_path / "results"])


@pytest.mark.parametrize("path", ["data", "data/photos/a.jpg", "data/photos/../sample_photos", "{}/more/set.zip"])
def test_photographs_come_from_the_project_and_the_folders_that_were_named(
    folders: Folders, tmp_path: Path, path: str
) -> None:
    assert folders.photo(path.format(tmp_path)).is_absolute()


@pytest.mark.parametrize(
    "path",
    ["", ".", "/etc/passwd", "..", "data/../secret", "data/photos/../../../outside", "{}/moreover", "{}/results", "~"],
)
def test_photographs_come_from_nowhere_else(folders: Folders, tmp_path: Path, path: str) -> None:
    with pytest.raises(FolderError, match=r"photos: wanted a path in .*--photos FOLDER"):
        folders.photo(path.format(tmp_path))


@pytest.mark.parametrize("path", ["data", "data/codes", ".", "presets", "/tmp", "{}/more", "data/extracted/../.."])
def test_tables_go_nowhere_else(folders: Folders, tmp_path: Path, path: str) -> None:
    assert folders.output("data/extracted/today") == tmp_path / "project/data/extracted/today"
    assert folders.output(f"{tmp_path}/results") == tmp_path / "results"
    with pytest.raises(FolderError, match=r"out: wanted a path in .*--out FOLDER"):
        folders.output(path.format(tmp_path))


def test_a_link_leads_nowhere_else(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "project/data/photos/link").symlink_to(tmp_path / "outside")
    (tmp_path / "project/data/extracted/link").symlink_to(tmp_path / "outside")
    (tmp_path / "project/data/photos/circle").symlink_to("circle")
    for path in ("data/photos/link", "data/photos/link/a.jpg", "data/photos/a\0b"):
        with pytest.raises(FolderError):
            folders.photo(path)
    with pytest.raises(FolderError):
        folders.output("data/extracted/link")


def test_a_folder_of_the_project_that_is_a_link_is_allowed_itself(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/photos").symlink_to(tmp_path / "disk")
    assert Folders.of(tmp_path).photo("data/photos/a.jpg") == tmp_path / "disk/a.jpg"
