"""Folders of results are never input."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganvert.base.errors import InputError
from ganvert.base.files import OUTPUT_MARK, mark_output
from ganvert.extraction.catalogue import Catalogue
from ganvert.faces.listing import check_output, find_photos


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode())
    return path


def test_pictures_of_earlier_runs_are_left_out(tmp_path: Path) -> None:
    own, folder = photo(tmp_path / "photos" / "a.jpg"), tmp_path / "photos"
    for run in range(3):  # each run would take the pictures of the ones before
        with Catalogue(tmp_path / "c.sqlite") as catalogue:
            assert catalogue.scan([folder]).found == 1
        assert find_photos([folder]) == [own]
        mark_output(folder / f"out{run % 2}")
        photo(folder / f"out{run % 2}" / "sub" / f"{run}_crop.png")


def test_a_folder_of_results_given_by_name_is_refused(tmp_path: Path) -> None:
    mark_output(tmp_path)
    photo(tmp_path / "a_crop.png")
    with pytest.raises(InputError, match=f"a folder of results.*delete {OUTPUT_MARK}"):
        find_photos([tmp_path])
    with Catalogue(tmp_path / "c.sqlite") as catalogue, pytest.raises(InputError, match="a folder of results"):
        catalogue.scan([tmp_path])
    assert find_photos([tmp_path / "a_crop.png"])  # named by the user
    (tmp_path / OUTPUT_MARK).unlink()
    assert find_photos([tmp_path])


def test_results_do_not_go_among_the_inputs(tmp_path: Path) -> None:
    own = photo(tmp_path / "photos" / "a.jpg")
    (tmp_path / "link").symlink_to("photos")
    for out in (tmp_path / "photos", tmp_path / "link", tmp_path / "photos" / ".." / "photos"):
        for given in (tmp_path / "photos", own):
            with pytest.raises(InputError, match="name another folder"):
                check_output(out, [given])
    check_output(tmp_path / "photos" / "out", [tmp_path / "photos", own])
    check_output(tmp_path / "photos", [tmp_path / "photos" / "faces.zip"])  # an archive has nothing to mix with
    check_output(tmp_path, [tmp_path / "photos"])  # as the project's data/ and data/photos/
