"""What the papers print: complete, in the order that is claimed, and with something that stands for every method."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ganvert.base.preset_files import METHODS, Presets
from ganvert.study.published import presets_of, published
from ganvert.study.tabulate import higher_is_better

TABLES = published().tables
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", TABLES)
def test_rows_name_known_methods_and_columns(name: str) -> None:
    table = TABLES[name]
    for row in table.rows:
        assert row.method in published().methods
        assert set(row.deviations) <= set(row.values) <= set(table.metrics)
        assert all(np.all(np.asarray(value) > 0) for value in row.values.values())
    for metric in table.metrics.values():
        if not metric.startswith("identity_photo"):
            assert higher_is_better(metric) is not None


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.orders])
def test_orders_are_those_of_the_printed_numbers(name: str) -> None:
    means = {(row.method, column): np.mean(value) for row in TABLES[name].rows for column, value in row.values.items()}
    for column, chains in TABLES[name].orders.items():
        for chain in chains:
            assert all(means[larger, column] > means[smaller, column] for larger, smaller in pairwise(chain))


@pytest.mark.parametrize("name", published().methods)
def test_every_method_is_measured_or_says_why_not(name: str) -> None:
    method = published().methods[name]
    assert method.papers and (method.presets or method.reason)
    assert set(method.presets) <= set(Presets(METHODS, folders=[ROOT / "presets"])) | {"fzplus"}


def test_the_first_preset_of_a_study_stands_for_a_method() -> None:
    assert presets_of("F/Z+", ["cpu_zplus", "cpu_fzplus"]) == "cpu_fzplus"
    assert presets_of("ALAE", ["cpu_fzplus"]) is None
