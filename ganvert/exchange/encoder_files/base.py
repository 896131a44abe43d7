"""An encoder of another tool in our names, and what its families of files have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Content
from ganvert.checkpoints.tensors import Joined
from ganvert.encoders import EncoderSpec

__all__ = ["EncoderFile", "ForeignEncoder", "ReadOptions", "fold", "has_all", "names_of", "rename"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a file may leave open.

    Attributes:
        kind: e4e, psp, restyle_psp or restyle_e4e, where a file of their family does not say which.
        feature_px: side of the feature map that BDInvert's encoder predicts.
    """

    kind: str | None = None
    feature_px: int = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForeignEncoder:
    """An encoder of another tool.

    Attributes:
        tool: that it is of.
        spec: its architecture.
        tensors: by our names; views of the file.
        rows: how many rows of ws have tensors of their own; None without such.
        mean: w [w_dim], or a number [1] for all of w, that its offsets are added to; None for the generator's own.
        notes: what was assumed or left out, in words.
    """

    tool: str
    spec: EncoderSpec
    tensors: dict[str, Tensor | Joined]
    rows: int | None = None
    mean: Tensor | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class EncoderFile:
    """One family of files.

    Attributes:
        matches: returns whether a file's content is of the family; inspects names only, never raises.
        read: reads the encoder; raises CheckpointError or ParamsError if it does not fit, or the file leaves open what
            the options do not say.
    """

    matches: Callable[[Content], bool]
    read: Callable[[Content, ReadOptions], ForeignEncoder]


def names_of(value: Any) -> Mapping[str, Any]:
    """Return a state dict of a file without the prefix of DataParallel; an empty one for anything else."""
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        return {}
    return {name.removeprefix("module."): tensor for name, tensor in value.items()}


def has_all(state: Mapping[str, Any], *names: str) -> bool:
    """Return whether all names are there, and are tensors."""
    return all(isinstance(state.get(name), Tensor) for name in names)


def rename(state: Mapping[str, Any], ours: Callable[[str], str | None], where: str) -> tuple[dict[str, Any], list[str]]:
    """Return the tensors by our names, and their names that `ours` does not know.

    Raises:
        CheckpointError: something with a known name is not a tensor, or two of their names are one of ours.
    """
    tensors: dict[str, Any] = {}
    unknown = []
    for name, value in state.items():
        our_name = ours(name)
        if our_name is None:
            unknown.append(name)
        elif not isinstance(value, Tensor) or our_name in tensors:
            raise CheckpointError(f"{where}: {name} is not a tensor, or there twice")
        else:
            tensors[our_name] = value
    return tensors, unknown


def fold(name: str, sizes: Iterable[int]) -> tuple[int, int] | None:
    """Return the stage and the unit within it of the unit with a running number; None if it is none or too large."""
    number = int(name)
    for stage, size in enumerate(sizes):
        if number < size:
            return stage, number
        number -= size
    return None
