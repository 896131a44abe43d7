"""The reader of params.yaml: what is wrong is named with its path."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import pytest

from ganvert.base.errors import ParamsError
from ganvert.base.params import build, load, section


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    size: int
    name: str | None = None

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ParamsError(f"size must not be negative, got {self.size}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    rate: float
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    parts: tuple[Inner, ...] = ()
    pair: tuple[int, float] | None = None
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    either: int | str = 0
    anything: Any = None


def test_values_become_dataclasses() -> None:
    raw = {
        "rate": 1,
        "kind": "b",
        "flag": True,
        "parts": [{"size": 2, "name": "x"}, {"size": 3}],
        "pair": [1, 2],
        "weights": {"w": 3},
        "either": "text",
        "anything": [{}],
    }
    got = build(Outer, raw, "top")
    assert got == Outer(
        rate=1.0,
        kind="b",
        flag=True,
        parts=(Inner(size=2, name="x"), Inner(size=3)),
        pair=(1, 2.0),
        weights={"w": 3.0},
        either="text",
        anything=[{}],
    )
    assert isinstance(got.rate, float)
    assert isinstance(got.weights["w"], float)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([1], r"^top: wanted a mapping, got \[1\]$"),
        ({}, r"^top: missing keys \['rate'\]"),
        ({"rate": 1, "kindd": "a"}, r"^top: unknown keys \['kindd'\].*; did you mean 'kind'\?$"),
        ({"rate": 1, "zzz": 0}, r"^top: unknown keys \['zzz'\]; known: \['anything', .*\]$"),
        ({"rate": "fast"}, r"^top.rate: wanted float, got 'fast'$"),
        ({"rate": True}, r"^top.rate: wanted float, got True$"),
        ({"rate": None}, r"^top.rate: wanted float, got None$"),
        ({"rate": 1, "kind": "c"}, r"^top.kind: wanted one of a, b, got 'c'$"),
        ({"rate": 1, "flag": 1}, r"^top.flag: wanted bool, got 1$"),
        ({"rate": 1, "parts": {"size": 1}}, r"^top.parts: wanted a list"),
        ({"rate": 1, "parts": [{"size": 1}, {"size": 1.5}]}, r"^top.parts\[1\].size: wanted int, got 1.5$"),
        ({"rate": 1, "parts": [{"siz": 1}]}, r"^top.parts\[0\]: unknown keys \['siz'\].*did you mean 'size'"),
        ({"rate": 1, "parts": [{"size": -1}]}, r"^top.parts\[0\]: size must not be negative"),
        ({"rate": 1, "pair": [1]}, r"^top.pair: wanted 2 values, got 1$"),
        ({"rate": 1, "weights": [1]}, r"^top.weights: wanted a mapping"),
        ({"rate": 1, "weights": {"w": "x"}}, r"^top.weights.w: wanted float"),
        ({"rate": 1, "weights": {1: 1}}, r"^top.weights key: wanted str, got 1$"),
        ({"rate": 1, "either": 1.5}, r"^top.either: wanted str, got 1.5$"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(raw: Any, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        build(Outer, raw, "top")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(ParamsError, match="no such file"):
        load(path)
    path.write_text("a: [1")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load(path)
    path.write_text("- a")
    with pytest.raises(ParamsError, match="wanted a mapping, got list"):
        load(path)
    path.write_text("a: {b: {c: 1}}")
    assert load(path) == {"a": {"b": {"c": 1}}}
    for text, line in (("steps: 100\nlr: 1\nsteps: 200", 3), ("a:\n  - {b: 1, c: 2, b: 1}", 2)):
        path.write_text(text)
        with pytest.raises(ParamsError, match=rf"params.yaml: line {line}: the key '(steps|b)' stands twice"):
            load(path)
    path.write_text("a: &a {b: 1}\nc: {<<: *a, b: 2}\n1: x\n'1': y")
    assert load(path) == {"a": {"b": 1}, "c": {"b": 2}, 1: "x", "1": "y"}


def test_sections() -> None:
    raw = {"a": {"b": {"c": 1}}}
    assert section(raw, "a.b") == {"c": 1}
    with pytest.raises(ParamsError, match=r"no 'a.x'; known there: b"):
        section(raw, "a.x.c")
    with pytest.raises(ParamsError, match=r"no 'a.b.c.d'; known there: nothing"):
        section(raw, "a.b.c.d")
