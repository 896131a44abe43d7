"""The command lines that do what the page does."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ganvert.assets.shipped import shipped
from ganvert.studio.changes import Changes
from ganvert.studio.models import Models

__all__ = ["command", "moves"]

_MOVING = ("edit", "stimuli")  # commands that take directions


def command(name: str, given: Sequence[str], models: Models, method: str | None = None) -> str:
    """Return a command line.

    Args:
        name: of the command, such as ``edit``.
        given: its own arguments and options.
        models: options that say which generator, table of directions and recipe they are of are added where it needs
            them.
        method: the preset, where photographs are inverted.
    """
    words = ["ganvert", name, *given]
    if method is not None:
        words += ["--method", method]
        words += [word for path in models.encoders for word in ("--encoder", str(path))]
        words += ["--recipe", models.recipe] if models.recipe != "ffhq" else []
    if name in _MOVING and models.directions_path != shipped("directions_ffhq.parquet"):
        words += ["--directions", str(models.directions_path)]
    source = models.generator.source
    if source is not None and Path(source).resolve() != (models.assets / "mobile_stylegan.safetensors").resolve():
        words += ["--generator", str(source)]
    if models.generator.label is not None:
        words += ["--label", str(models.generator.label)]
    return shlex.join(words)


def moves(changes: Changes) -> list[str]:
    """Return the options of changes: a direction each, and the region."""
    words = [word for name, amount in changes.amounts.items() for word in ("--direction", f"{name}={amount:g}")]
    return words + (["--local", changes.region] if changes.region else [])
