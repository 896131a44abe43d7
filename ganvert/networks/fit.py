"""Networks whose sizes come from the tensors of a file, which may claim anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError
from ganvert.networks.blank import Blank

__all__ = ["fitted"]

#: Of one network; the largest that are read, StyleGAN1 to 3 at 1024 px, have about 300.
_MOST_TENSORS = 2000
Network = TypeVar("Network", bound=nn.Module)


def fitted(make: Callable[[], Network], state: Mapping[str, Tensor], what: str) -> Network:
    """Build a blank network whose tensors have exactly the shapes of a state dict; its values are not loaded.

    Args:
        make: builds it with sizes that it takes from the state dict.
        state: the tensors.
        what: what error messages call the network.

    Raises:
        CheckpointError: names or shapes are not those of such a network.
    """
    if len(state) > _MOST_TENSORS:
        raise CheckpointError(f"not a {what}: {len(state)} tensors; wanted at most {_MOST_TENSORS}")
    if empty := next((name for name, value in state.items() if not value.numel()), None):
        raise CheckpointError(f"not a {what}: {empty} has shape {list(state[empty].shape)}, which is empty")
    try:
        # On the meta device first, which takes no memory: a contradicting tensor could ask for any amount of it. What
        # is built afterwards is as large as the file's own tensors.
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in make().state_dict().items()}
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"not a {what}: {error!r}") from error
    given = {name: tuple(value.shape) for name, value in state.items()}
    if given != wanted:
        raise CheckpointError(f"not a {what}: {_difference(given, wanted)}")
    with Blank():
        return make()


def _difference(given: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> str:
    """Describe the first tensor whose shape differs from the wanted one."""
    name = next(name for name in sorted({*given, *wanted}) if given.get(name) != wanted.get(name))
    if name not in given:
        return f"{name} is missing"
    if name not in wanted:
        return f"{name} is not part of it"
    return f"{name} has shape {list(given[name])}, wanted {list(wanted[name])}"
