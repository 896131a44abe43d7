"""Directions: ways to move a code that change one thing about the picture.

A finder is one file with a dataclass of options and a function ``(inputs, options) -> list[Direction]``, and one line
here. The package may import `codes` and what lies below.
"""

from __future__ import annotations

from ganvert.directions.base import (
    Direction,
    DirectionSpace,
    Finder,
    FinderInputs,
    Samples,
    add_directions,
    choose,
    load_directions,
    load_samples,
    save_directions,
    unconditional,
)
from ganvert.directions.ganspace import GanspaceOptions, find_ganspace
from ganvert.directions.interfacegan import InterfaceganOptions, find_interfacegan
from ganvert.directions.labelled import LabelledOptions, find_labelled, read_ratings
from ganvert.directions.lowrank import LowRankOptions, find_lowrank
from ganvert.directions.random_draws import RandomOptions, find_random
from ganvert.directions.rows import choose_rows, movable_rows, named_rows, split_rows
from ganvert.directions.sefa import SefaOptions, find_sefa
from ganvert.directions.stylespace import StyleSpaceOptions, find_stylespace

__all__ = [
    "DIRECTIONS",
    "Direction",
    "DirectionSpace",
    "Finder",
    "FinderInputs",
    "LabelledOptions",
    "Samples",
    "add_directions",
    "choose",
    "choose_rows",
    "find_labelled",
    "load_directions",
    "load_samples",
    "movable_rows",
    "named_rows",
    "read_ratings",
    "save_directions",
    "split_rows",
    "unconditional",
]

DIRECTIONS: dict[str, Finder] = {
    "ganspace": Finder(
        find_ganspace, GanspaceOptions, spaces=("w", "z"), needs=("directions",), names=GanspaceOptions.names
    ),
    "interfacegan": Finder(
        find_interfacegan, InterfaceganOptions, spaces=("w", "z"), names=lambda options: options.found
    ),
    "lowrank": Finder(
        find_lowrank, LowRankOptions, spaces=("w",), needs=("generator", "masks", "parser"), names=LowRankOptions.names
    ),
    "random": Finder(find_random, RandomOptions, spaces=("w", "z"), names=RandomOptions.names),
    "sefa": Finder(find_sefa, SefaOptions, spaces=("w",), needs=("generator",), names=SefaOptions.names),
    "stylespace": Finder(
        find_stylespace,
        StyleSpaceOptions,
        spaces=("s",),
        needs=("generator", "parser", "codes", "photographs"),
        names=StyleSpaceOptions.names,
    ),
}
