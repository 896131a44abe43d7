"""Tables of directions that come from outside: checked on reading, refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganvert import tables
from ganvert.base.errors import TableError
from ganvert.directions import Direction, load_directions
from ganvert.generators.mobile_stylegan import MobileStyleGAN

GOOD = Direction("smile", "w", "mine", np.eye(16)[0], 1.5, 0, 8)
NAN = float("nan")


def write(path: Path, generator: MobileStyleGAN, **changes: Any) -> Path:
    facts = {"generator": generator.fingerprint()}
    tables.write(path, tables.DIRECTIONS, [{**GOOD.row(), **changes}], facts)
    return path


def test_a_good_one_is_read(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    (direction,) = load_directions(write(tmp_path / "d.parquet", tiny_generator), tiny_generator).values()
    assert direction.row() | {"vector": 0} == GOOD.row() | {"vector": 0}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"space": "x"}, "wanted the space z, w, zplus, wplus, s, got 'x'"),
        ({"vector": np.full(16, NAN)}, "wanted a vector of length 1, got nan"),
        ({"vector": np.full(16, np.inf)}, "wanted a vector of length 1, got inf"),
        ({"vector": np.eye(16)[0] * 2}, "wanted a vector of length 1, got 2.0"),
        ({"vector": np.zeros(0)}, "wanted a vector of length 1, got 0.0"),
        ({"vector": np.eye(17)[0]}, "wanted a vector of 16 numbers, got 17"),
        ({"unit": NAN}, "wanted a positive unit, got nan"),
        ({"unit": 0.0}, "wanted a positive unit, got 0.0"),
        ({"first_row": -1}, "wanted rows first_row < last_row"),
        ({"first_row": 8}, "wanted rows first_row < last_row"),
        ({"last_row": 9}, "wanted rows within the generator's 8, got 9"),
        ({"quality": "{"}, "wanted its quality as JSON"),
        ({"quality": "[" * 100_000}, "wanted its quality as JSON"),
        ({"quality": "[1]"}, "wanted its quality as a JSON object"),
        ({"quality": '{"range": 3}'}, "wanted a range of an amount below 0 and one above, got 3"),
        ({"quality": '{"range": [1, 3]}'}, "wanted a range of an amount below 0 and one above, got [1, 3]"),
        ({"quality": '{"range": [-1, NaN]}'}, "wanted a range of an amount below 0 and one above, got [-1, nan]"),
        ({"quality": '{"range": [-1, "2"]}'}, "wanted a range of an amount below 0 and one above, got [-1, '2']"),
    ],
)
def test_one_that_is_none_is_refused(
    changes: dict[str, Any], says: str, tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    path = write(tmp_path / "d.parquet", tiny_generator, **changes)
    with pytest.raises(TableError, match=r"d\.parquet: direction 'smile': ") as caught:
        load_directions(path, tiny_generator)
    assert says in str(caught.value)


def test_a_range_is_read_where_there_is_one(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", tiny_generator, quality='{"range": [-3, 4.5]}')
    (direction,) = load_directions(path, tiny_generator).values()
    assert direction.tested == (-3, 4.5)
    assert GOOD.tested is None


def test_damage_anywhere_is_an_error_or_none(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    """Bytes changed one after the other: the table is refused, or its directions are directions."""
    path = write(tmp_path / "d.parquet", tiny_generator)
    data = path.read_bytes()
    refused = 0
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            directions = load_directions(path, tiny_generator)
        except TableError:
            refused += 1
        else:
            assert all(np.isfinite(direction.vector).all() for direction in directions.values())
    assert refused > len(data) // 7 // 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x93NUMPY\x01\x00", r"a NumPy array \(.npy\)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"", "not a readable Parquet file"),
    ],
)
def test_other_files_are_called_what_they_are(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    path.write_bytes(data)
    with pytest.raises(TableError, match=says):
        load_directions(path)
