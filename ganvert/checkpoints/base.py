"""Content of a file before and after a format has read it. Both are data; neither can run anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import Tensor

__all__ = ["Checkpoint", "Content", "Format", "Instance", "Refused"]


class Instance:
    """An object of a file's pickle as data: the name of its class, its constructor's arguments, its state.

    Nothing of that class is imported or called.
    """

    __slots__ = ("args", "kind", "state")

    def __init__(self, kind: str, args: tuple[Any, ...] = ()) -> None:
        self.kind, self.args = kind, args  # kind: "module.name" as the file spells it
        self.state: Any = None  # argument of the BUILD opcode

    def __repr__(self) -> str:
        return f"<{self.kind}>"


@dataclasses.dataclass(frozen=True)
class Content:
    """A whole file, read safely.

    Attributes:
        container: kind of file.
        root: a tree of dict, list, tuple, set, str, bytes, numbers, bool, None, Tensor, numpy arrays and Instance.
            Dict subclasses (OrderedDict, EasyDict) are plain dicts, parameters are plain tensors, numpy scalars are
            Python numbers.
        metadata: of a safetensors file.
        size: of the file [bytes].
        kept: whether the content stays in memory for as long as what is read from it, which then needs no copies.
    """

    container: Literal["safetensors", "pickle", "torch_zip", "torch_legacy", "npy", "npz"]
    root: Any
    metadata: Mapping[str, str]
    size: int
    kept: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A network in ganvert's names, whatever the file called its tensors.

    Attributes:
        format: name in ``ganvert.checkpoints.FORMATS``.
        architecture: name in ``ganvert.generators.GENERATORS``, or ``ganvert.discriminators.DISCRIMINATORS``.
        state: tensors by the names of our module; float32, contiguous.
        config: properties that the tensors do not show (JSON values only).
        ignored: what the reader left out or assumed, in words, for users.
    """

    format: str
    architecture: str
    state: dict[str, Tensor]
    config: dict[str, Any]
    ignored: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Format:
    """One format of checkpoints.

    Attributes:
        matches: returns whether a file's content has this format; inspects names and kinds only, never raises.
        read: reads the generator (EMA weights); raises CheckpointError if something is missing or does not fit.
        discriminator: reads the discriminator, None if the file has none; without it, discriminators of this format
            are not supported.
    """

    matches: Callable[[Content], bool]
    read: Callable[[Content], Checkpoint]
    discriminator: Callable[[Content], Checkpoint | None] | None = None


@dataclasses.dataclass(frozen=True)
class Refused:
    """Files that are known and not read.

    Attributes:
        matches: as in :class:`Format`.
        reason: why they are not, and what to do, in words for users.
    """

    matches: Callable[[Content], bool]
    reason: str
