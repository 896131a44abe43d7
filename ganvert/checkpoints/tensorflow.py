"""Official TensorFlow pickles (StyleGAN1, StyleGAN2): their tree of networks as names and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Content, Instance

__all__ = ["TfNetwork", "check_built_in", "is_tensorflow", "network_of", "synthesis_has"]

NETWORK = "dnnlib.tflib.network.Network"


@dataclass(frozen=True, kw_only=True)
class TfNetwork:
    """One ``dnnlib.tflib.network.Network``, as data.

    Attributes:
        name: of the network.
        kwargs: what it was built with (``static_kwargs``).
        variables: own arrays by name, without those of its components.
        components: ``mapping`` and ``synthesis`` of a generator.
    """

    name: str
    kwargs: Mapping[str, Any]
    variables: Mapping[str, np.ndarray]
    components: Mapping[str, TfNetwork]

    def component(self, name: str) -> TfNetwork:
        """A component; CheckpointError where there is none."""
        if name not in self.components:
            raise CheckpointError(f"TensorFlow pickle: the generator has no component {name!r}")
        return self.components[name]


def is_tensorflow(content: Content) -> bool:
    """Whether a file holds networks of the official TensorFlow code."""
    return _generator(content.root) is not None


def synthesis_has(content: Content, variable: str) -> bool:
    """Whether a file holds networks of the official TensorFlow code whose synthesis has a variable of that name."""
    if not is_tensorflow(content):
        return False
    try:
        return variable in network_of(content).component("synthesis").variables
    except CheckpointError:
        return False


def network_of(content: Content) -> TfNetwork:
    """The generator of an official pickle: ``Gs``, the averaged one, of (G, D, Gs), or the file's only network.

    Raises:
        CheckpointError: there is none, or it is not as the official code writes it.
    """
    found = _generator(content.root)
    if found is None:
        raise CheckpointError("TensorFlow pickle: no (G, D, Gs) networks in it")
    return _network(found, "Gs", 0)


def _generator(root: Any) -> Instance | None:
    if isinstance(root, tuple | list) and len(root) == 3:
        root = root[2]
    return root if isinstance(root, Instance) and root.kind == NETWORK else None


def _network(value: Any, where: str, depth: int) -> TfNetwork:
    state = value.state if isinstance(value, Instance) and value.kind == NETWORK else None
    # A generator has components, and these have none.
    if not isinstance(state, dict) or depth > 1:
        raise CheckpointError(f"TensorFlow pickle: {where} is no network")
    kwargs, components = state.get("static_kwargs") or {}, state.get("components") or {}
    for table in (kwargs, components):
        if not isinstance(table, dict) or not all(isinstance(name, str) for name in table):
            raise CheckpointError(f"TensorFlow pickle: {where}: no table of names")
    return TfNetwork(
        name=str(state.get("name")),
        kwargs=kwargs,
        variables=_variables(state.get("variables"), where),
        components={name: _network(child, f"{where}.{name}", depth + 1) for name, child in components.items()},
    )


def _variables(pairs: Any, where: str) -> dict[str, np.ndarray]:
    if not isinstance(pairs, list | tuple):
        raise CheckpointError(f"TensorFlow pickle: {where} has no variables")
    found: dict[str, np.ndarray] = {}
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise CheckpointError(f"TensorFlow pickle: {where}: a variable is no (name, array)")
        name, value = pair
        if not isinstance(value, np.ndarray | Tensor | float | int):  # 0-d arrays may come as plain numbers
            raise CheckpointError(f"TensorFlow pickle: {where}.{name} is no array")
        found[name] = np.asarray(value)
    return found


def check_built_in(kwargs: Mapping[str, Any], built_in: Mapping[str, tuple[Any, ...]], format: str) -> None:
    """Refuse an argument of the official code with a value that our network is not built for."""
    for name, wanted in built_in.items():
        # By their spelling: a value may be of any kind, and arrays have no single truth value.
        if name in kwargs and repr(kwargs[name]) not in {repr(value) for value in wanted}:
            raise CheckpointError(f"{format}: built with {name}={str(kwargs[name])[:80]}, wanted {wanted[-1]!r}")
