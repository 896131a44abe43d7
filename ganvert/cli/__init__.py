"""The `ganvert` command: single pictures and data sets from a shell, on the functions that the stages use.

There is a module for each group of commands. The package may import `studio` and what lies below, which is everything.
"""

from __future__ import annotations

from ganvert.cli import (
    compositions,
    directions,
    editing,
    exchange,
    export,
    generators,
    invert,
    references,
    stimuli,
    studio,
    study,
    stylise,
)
from ganvert.cli.app import app, main

__all__ = [
    "app",
    "compositions",
    "directions",
    "editing",
    "exchange",
    "export",
    "generators",
    "invert",
    "main",
    "references",
    "stimuli",
    "studio",
    "study",
    "stylise",
]
