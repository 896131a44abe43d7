"""What a file holds before and after a format has read it; both are data, neither is a program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import Tensor

__all__ = ["Checkpoint", "Content", "Format", "Instance"]


class Instance:
    """An object of a file's pickle, as data: which class it names, what its constructor was told, its state.

    Nothing of that class is imported or called.
    """

    __slots__ = ("args", "kind", "state")

    def __init__(self, kind: str, args: tuple[Any, ...] = ()) -> None:
        self.kind, self.args = kind, args  # kind: "module.name" as the file spells it
        self.state: Any = None  # what BUILD gave it

    def __repr__(self) -> str:
        return f"<{self.kind}>"


@dataclasses.dataclass(frozen=True)
class Content:
    """A whole file, read safely.

    Attributes:
        container: what kind of file it is.
        root: a tree of dict, list, tuple, set, str, bytes, numbers, bool, None, Tensor, numpy arrays and Instance.
            Dict subclasses (OrderedDict, EasyDict) are plain dicts, parameters are plain tensors, numpy scalars are
            Python numbers.
        metadata: of a safetensors file.
        size: of the file, in bytes.
    """

    container: Literal["safetensors", "pickle", "torch_zip", "torch_legacy"]
    root: Any
    metadata: Mapping[str, str]
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A network in ganvert's own names, whatever the file called it.

    Attributes:
        format: name in ``ganvert.checkpoints.FORMATS``.
        architecture: name in ``ganvert.generators.GENERATORS``, or ``ganvert.discriminators.DISCRIMINATORS``.
        state: tensors by the names of our module; float32, contiguous.
        config: what the tensors do not show (JSON values only).
        ignored: what the reader left out or assumed, in words, for a person.
    """

    format: str
    architecture: str
    state: dict[str, Tensor]
    config: dict[str, Any]
    ignored: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Format:
    """One layout of checkpoints.

    Attributes:
        matches: whether a file's content has this layout; looks at names and kinds only, never raises.
        read: its generator (EMA weights); raises CheckpointError where something is missing or does not fit.
        discriminator: its discriminator, or None where the file has none; without this they are not read.
    """

    matches: Callable[[Content], bool]
    read: Callable[[Content], Checkpoint]
    discriminator: Callable[[Content], Checkpoint | None] | None = None
