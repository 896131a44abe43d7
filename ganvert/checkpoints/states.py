"""Where torch files keep a generator: under one of several keys, bare, or behind the prefix of parallel training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from ganvert.checkpoints.base import Content

__all__ = ["StateDict", "find_state"]

#: Keys of averaged (EMA) generators: genforce, rosinality, BasicSR, Lightning and other trainers.
AVERAGED = ("g_ema", "generator_smooth", "params_ema", "G_ema", "ema", "generator_ema", "netG_ema", "state_dict_ema")
#: Keys of generators that are not averaged, or of which the file does not say it.
PLAIN = ("g", "generator", "params", "G", "netG", "model", "state_dict")
PREFIX = "module."  # added by torch's DataParallel and DistributedDataParallel


@dataclasses.dataclass(frozen=True)
class StateDict:
    """A table of tensors in a file.

    Attributes:
        key: where it is; empty for the file itself.
        tensors: by the file's names, without :data:`PREFIX`. Values are not checked.
        siblings: the other keys beside it.
    """

    key: str
    tensors: dict[str, Any]
    siblings: tuple[Any, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen and left out, in words, for users."""
        notes = [f"{name}: not the generator used" for name in self.siblings]
        if self.key in PLAIN and self.key != "state_dict":
            averaged = "generator_smooth" if self.key == "generator" else "g_ema"
            notes.insert(0, f"no {averaged}: {self.key} was used, whose weights are not averaged")
        elif not self.key:
            notes.insert(0, "assumed: the weights are averaged; the file does not say")
        return tuple(notes)


def find_state(content: Content, fits: Callable[[dict[str, Any]], bool]) -> StateDict | None:
    """Return the first table of names in a file that `fits` accepts, the averaged generator before others."""
    return next((state for state in _states(content.root) if fits(state.tensors)), None)


def _states(root: object) -> Iterator[StateDict]:
    if not isinstance(root, dict):
        return
    models = root.get("models")  # of genforce's training runs
    if isinstance(models, dict):
        yield from _states(models)
    for key in (*AVERAGED, *PLAIN):
        if (tensors := _tensors(root.get(key))) is not None:
            yield StateDict(key, tensors, tuple(name for name in root if name != key))
    if (tensors := _tensors(root)) is not None:
        yield StateDict("", tensors, ())


def _tensors(value: object) -> dict[str, Any] | None:
    """Return a table of names without the prefix; None for anything else."""
    if not isinstance(value, dict) or not value or not all(isinstance(name, str) for name in value):
        return None
    if all(name.startswith(PREFIX) for name in value):
        return {name.removeprefix(PREFIX): tensor for name, tensor in value.items()}
    return value
