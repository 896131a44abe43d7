"""Entries of columns: those of sound files, and an error for those that contradict themselves."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ganvert.base.errors import InputError
from ganvert.extraction.sources import SOURCES
from ganvert.tables.facts import ColumnFacts


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.parquet"
    pq.write_table(pa.table({"image": [b"1", b"2", None], "name": ["a", "b", None]}), path, row_group_size=2)
    return path


@pytest.fixture
def damaged(sound: Path) -> Path:
    """The names' entry says that none is missing, while its statistics count two levels."""
    # Thrift's compact protocol: the field 3 of the schema's element, how often it is there, then 4, its name.
    optional, required = (b"\x25" + often + b"\x18\x04name" for often in (b"\x02", b"\x00"))
    data = sound.read_bytes()
    assert data.count(optional) == 1
    path = sound.with_name("damaged.parquet")
    path.write_bytes(data.replace(optional, required))
    return path


def facts_of(path: Path) -> ColumnFacts:
    return ColumnFacts(pq.ParquetFile(path), path.stat().st_size)


def test_entries_are_those_of_the_file(sound: Path) -> None:
    facts, metadata = facts_of(sound), pq.ParquetFile(sound).metadata
    for group in range(2):
        assert [part.to_dict() for part in facts.of(group)] == [
            metadata.row_group(group).column(i).to_dict() for i in range(2)
        ]


def test_a_damaged_entry_is_an_error(damaged: Path) -> None:
    # Looked at without ColumnFacts, it ends the process.
    with pytest.raises(OSError, match="level histogram size mismatch"):
        facts_of(damaged).of(0)


def test_a_table_of_pictures_with_one_is_refused(damaged: Path) -> None:
    source = SOURCES["parquet"](str(damaged))
    with pytest.raises(InputError, match=r"damaged\.parquet"):
        list(source.members())
