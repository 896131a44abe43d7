"""Official TensorFlow pickles (StyleGAN1, StyleGAN2): their tree of networks as names and arrays.

The official code stores convolution kernels as [h, w, in, out] (HWIO) and dense weights as [in, out]; torch wants
[out, in, h, w] and [out, in].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Content, Instance

__all__ = ["TfGenerator", "TfNetwork", "generator_of", "network_of", "synthesis_has"]

NETWORK = "dnnlib.tflib.network.Network"

#: Arguments of the official code for which our networks have a single value, and the values that mean it.
BUILT_IN: dict[str, tuple[Any, ...]] = {
    "mapping_nonlinearity": ("lrelu",),
    "nonlinearity": ("lrelu",),
    "normalize_latents": (True,),
}


@dataclass(frozen=True, kw_only=True)
class TfNetwork:
    """One ``dnnlib.tflib.network.Network`` as data.

    Attributes:
        name: of the network.
        kwargs: its constructor arguments (``static_kwargs``).
        variables: own arrays by name, without those of its components.
        components: ``mapping`` and ``synthesis`` of a generator.
    """

    name: str
    kwargs: Mapping[str, Any]
    variables: Mapping[str, np.ndarray]
    components: Mapping[str, TfNetwork]

    def component(self, name: str) -> TfNetwork:
        """Return a component, or raise CheckpointError."""
        if name not in self.components:
            raise CheckpointError(f"TensorFlow pickle: the generator has no component {name!r}")
        return self.components[name]


@dataclass(frozen=True, kw_only=True)
class TfGenerator:
    """The averaged generator of an official pickle.

    Attributes:
        mapping: the mapping network.
        synthesis: the synthesis network.
        variables: arrays of the generator and of both components.
        kwargs: constructor arguments of all three.
        ignored: what was left out, in words.
    """

    mapping: TfNetwork
    synthesis: TfNetwork
    variables: Mapping[str, np.ndarray]
    kwargs: Mapping[str, Any]
    ignored: tuple[str, ...]


def generator_of(content: Content, built_in: Mapping[str, tuple[Any, ...]], format: str) -> TfGenerator:
    """Return the generator of an official pickle.

    Args:
        content: the file.
        built_in: arguments of the official code beside :data:`BUILT_IN` for which our network has a single value.
        format: name of the format, for error messages.

    Raises:
        CheckpointError: there is no generator, or an argument has a value that our network is not built for.
    """
    network = network_of(content)
    mapping, synthesis = network.component("mapping"), network.component("synthesis")
    kwargs = {**network.kwargs, **mapping.kwargs, **synthesis.kwargs}
    for name, wanted in {**BUILT_IN, **built_in}.items():
        # Compared as text: a value may be of any kind, and arrays have no single truth value.
        if name in kwargs and repr(kwargs[name]) not in {repr(value) for value in wanted}:
            raise CheckpointError(f"{format}: built with {name}={str(kwargs[name])[:80]}, wanted {wanted[-1]!r}")
    return TfGenerator(
        mapping=mapping,
        synthesis=synthesis,
        variables={**network.variables, **mapping.variables, **synthesis.variables},
        kwargs=kwargs,
        ignored=("G, D: not the generator used",) if isinstance(content.root, tuple | list) else (),
    )


def synthesis_has(content: Content, variable: str) -> bool:
    """Return whether a file holds an official TensorFlow generator whose synthesis network has this variable."""
    if _generator(content.root) is None:
        return False
    try:
        return variable in network_of(content).component("synthesis").variables
    except CheckpointError:
        return False


def network_of(content: Content) -> TfNetwork:
    """Return the averaged generator ``Gs`` of (G, D, Gs), or the file's only network.

    Raises:
        CheckpointError: there is none, or it is not as the official code writes it.
    """
    instance = _generator(content.root)
    if instance is None:
        raise CheckpointError("TensorFlow pickle: no (G, D, Gs) networks in it")
    return _network(instance, "Gs", 0)


def _generator(root: Any) -> Instance | None:
    if isinstance(root, tuple | list) and len(root) == 3:
        root = root[2]
    return root if isinstance(root, Instance) and root.kind == NETWORK else None


def _network(value: Any, where: str, depth: int) -> TfNetwork:
    # The state also holds the source text of the network (`build_module_src`), which is never looked at.
    state = value.state if isinstance(value, Instance) and value.kind == NETWORK else None
    # A generator has components, and these have none: deeper trees are refused before they are walked.
    if not isinstance(state, dict) or depth > 1:
        raise CheckpointError(f"TensorFlow pickle: {where} is not a network")
    kwargs, components = state.get("static_kwargs") or {}, state.get("components") or {}
    for table in (kwargs, components):
        if not isinstance(table, dict) or not all(isinstance(name, str) for name in table):
            raise CheckpointError(f"TensorFlow pickle: {where}: a table without names")
    return TfNetwork(
        name=str(state.get("name")),
        kwargs=kwargs,
        variables=_variables(state.get("variables"), where),
        components={name: _network(child, f"{where}.{name}", depth + 1) for name, child in components.items()},
    )


def _variables(pairs: Any, where: str) -> dict[str, np.ndarray]:
    if not isinstance(pairs, list | tuple):
        raise CheckpointError(f"TensorFlow pickle: {where} has no variables")
    variables: dict[str, np.ndarray] = {}
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise CheckpointError(f"TensorFlow pickle: {where}: a variable is not a pair (name, array)")
        name, value = pair
        if not isinstance(value, np.ndarray | Tensor | float | int):  # 0-d arrays may come as plain numbers
            raise CheckpointError(f"TensorFlow pickle: {where}.{name} is not an array")
        variables[name] = np.asarray(value)
    return variables
