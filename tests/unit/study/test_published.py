"""What the papers print: complete, in the order that is claimed, and with something that stands for every method."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ganvert.base.preset_files import METHODS, Presets
from ganvert.study import SECTIONS
from ganvert.study.published import presets_of, published
from ganvert.study.tabulate import higher_is_better, orders

TABLES = published().tables
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", TABLES)
def test_rows_name_known_methods_and_columns(name: str) -> None:
    table = TABLES[name]
    for row in table.rows:
        assert row.method in published().methods
        assert set(row.deviations) <= set(row.values) <= set(table.metrics)
        assert all(np.all(np.asarray(value) > 0) for value in row.values.values())
    assert table.section in SECTIONS
    assert len({row.label for row in table.rows}) == len(table.rows)
    if table.section == "reconstruction":
        assert all(higher_is_better(metric) is not None for metric in table.metrics.values())


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.orders])
def test_orders_are_those_of_the_printed_numbers(name: str) -> None:
    """Of rows without numbers, which the paper shows in pictures, they are those of its text."""
    row_of = {row.label: row for row in TABLES[name].rows}
    for column, chains in TABLES[name].orders.items():
        assert column in TABLES[name].metrics
        for chain in chains:
            means = [np.mean(row_of[label].values.get(column, math.nan)) for label in chain]
            assert all(larger > smaller for larger, smaller in pairwise(means)) or np.isnan(means).all()


@pytest.mark.parametrize("name", published().methods)
def test_every_method_is_measured_or_says_why_not(name: str) -> None:
    method = published().methods[name]
    assert method.papers and (method.presets or method.reason)
    assert set(method.presets) <= set(Presets(METHODS, folders=[ROOT / "presets"])) | {"fzplus"}


def test_the_first_preset_of_a_study_stands_for_a_method() -> None:
    assert presets_of("F/Z+", ["cpu_zplus", "cpu_fzplus"]) == "cpu_fzplus"
    assert presets_of("ALAE", ["cpu_fzplus"]) is None


def test_an_order_is_looked_for_in_its_section_over_all_amounts_of_its_variant() -> None:
    def rows(variant: str, amount: float, values: list[float]) -> list[dict[str, object]]:
        key = {"section": "padding", "method": "cpu_pad_wplus_reg", "variant": variant, "amount": amount}
        return [{**key, "image_id": f"i{i}", "metric": "pose", "value": value} for i, value in enumerate(values)]

    scores = [*rows("padding", 0.5, [4.0, 2.0]), *rows("padding", 1.0, [6.0, 4.0])]
    scores += [*rows("rows", 0.5, [1.0, 1.0]), *rows("rows", 1.0, [2.0, 2.0])]
    found = {(row["source"], row["column"]): row for row in orders(scores)}
    order = found["padinv_parts", "pose"]
    assert (order["larger"], order["smaller"]) == ("PadInv, padding", "PadInv, rows")
    assert (order["count"], order["difference"], order["verdict"]) == (2, pytest.approx(2.5), "yes")
    assert found["padinv_parts", "colour"]["verdict"] == "missing"
    assert found["fz_table_1", "MSE"]["verdict"] == "missing"  # of another section
