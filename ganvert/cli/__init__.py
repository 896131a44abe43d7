"""The `ganvert` command: single pictures and data sets from a shell, on the functions that the stages use.

A module for each group of commands; it may import every package of the library.
"""

from __future__ import annotations

from ganvert.cli import editing, generators, invert
from ganvert.cli.app import app, main

__all__ = ["app", "editing", "generators", "invert", "main"]
