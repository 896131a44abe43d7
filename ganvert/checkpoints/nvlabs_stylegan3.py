"""StyleGAN3 in the pickles of NVlabs' stylegan3 repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.nvlabs import NvlabsModule, ignored_of, network_of
from ganvert.checkpoints.tensors import take

__all__ = ["matches", "read"]

_WHERE = "NVlabs StyleGAN3"
_LR_MULTIPLIER = 0.01  # the default of the repository's mapping network


def matches(content: Content) -> bool:
    """Return whether the file's generator has a Fourier input."""
    try:
        synthesis = network_of(content).modules.get("synthesis")
    except CheckpointError:
        return False
    return synthesis is not None and "input" in synthesis.modules and "layer_names" in synthesis.attributes


def read(content: Content) -> Checkpoint:
    """Read the generator ``G_ema``.

    Raises:
        CheckpointError: a module or an attribute is missing or of the wrong kind.
    """
    network = network_of(content)
    mapping, synthesis = _module(network, "mapping"), _module(network, "synthesis")
    names = _layer_names(synthesis)
    layers = [synthesis.modules[name] for name in names]
    tensors: dict[str, Tensor] = {}
    for name, value in mapping.tensors().items():
        tensors["w_avg" if name == "w_avg" else f"mapping.{name}"] = value
    tensors |= synthesis.modules["input"].tensors("synthesis.input.")
    for i, layer in enumerate(layers):
        tensors |= layer.tensors(f"synthesis.layers.{i}.")
    config: dict[str, Any] = {
        "input": _input_facts(synthesis.modules["input"]),
        "layers": [_layer_facts(layer, name) for name, layer in zip(names, layers, strict=True)],
        "output_scale": _real(synthesis, "output_scale", "synthesis"),
    }
    multiplier = _lr_multiplier(mapping)
    if multiplier != _LR_MULTIPLIER:
        config["lr_multiplier"] = multiplier
    ignored = ignored_of(content)
    if any(layer.attributes.get("use_fp16") for layer in layers):
        ignored += ("use_fp16: every layer computes in float32",)
    return Checkpoint(
        format="nvlabs_stylegan3",
        architecture="stylegan3",
        state=take(content, tensors, _WHERE),
        config=config,
        ignored=ignored,
    )


def _module(parent: NvlabsModule, name: str) -> NvlabsModule:
    if name not in parent.modules:
        raise CheckpointError(f"{_WHERE}: the network has no module {name!r}")
    return parent.modules[name]


def _layer_names(synthesis: NvlabsModule) -> list[str]:
    """Return the names of the layers in execution order: all modules but the input, each once."""
    names = _attribute(synthesis, "layer_names", "synthesis")
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{_WHERE}: synthesis.layer_names is not a list of names")
    if sorted(["input", *names]) != sorted(synthesis.modules):
        raise CheckpointError(f"{_WHERE}: synthesis.layer_names does not name every layer once")
    return list(names)


def _input_facts(module: NvlabsModule) -> dict[str, Any]:
    width, height = _whole_numbers(module, "size", "input", 2)
    if width != height:
        raise CheckpointError(f"{_WHERE}: input.size: the map is not square: {width} x {height}")
    return {
        "size": width,
        "sampling_rate": _real(module, "sampling_rate", "input"),
        "bandwidth": _real(module, "bandwidth", "input"),
    }


def _layer_facts(module: NvlabsModule, where: str) -> dict[str, Any]:
    is_torgb = _attribute(module, "is_torgb", where)
    if not isinstance(is_torgb, bool):
        raise CheckpointError(f"{_WHERE}: {where}.is_torgb: wanted true or false, got {is_torgb!r:.100}")
    clamp = _attribute(module, "conv_clamp", where)
    return {
        "up_factor": _whole_numbers(module, "up_factor", where, 1)[0],
        "down_factor": _whole_numbers(module, "down_factor", where, 1)[0],
        "padding": _whole_numbers(module, "padding", where, 4),
        "kernel": _whole_numbers(module, "conv_kernel", where, 1)[0],
        "is_torgb": is_torgb,
        "conv_clamp": None if clamp is None else _real(module, "conv_clamp", where),
    }


def _lr_multiplier(mapping: NvlabsModule) -> float:
    """Return the multiplier that all layers of the mapping network share; the embedding of labels has its own, 1."""
    layers: Mapping[str, NvlabsModule] = {name: m for name, m in mapping.modules.items() if name.startswith("fc")}
    values = {_real(layer, "bias_gain", f"mapping.{name}") for name, layer in layers.items()}
    if len(values) != 1:
        raise CheckpointError(f"{_WHERE}: mapping: wanted layers of one learning rate multiplier, got {sorted(values)}")
    return values.pop()


def _attribute(module: NvlabsModule, name: str, where: str) -> Any:
    if name not in module.attributes:
        raise CheckpointError(f"{_WHERE}: {where} has no {name}")
    value = module.attributes[name]
    return value.tolist() if isinstance(value, np.ndarray) and value.size <= 16 else value


def _real(module: NvlabsModule, name: str, where: str) -> float:
    value = _attribute(module, name, where)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 3e38:
        raise CheckpointError(f"{_WHERE}: {where}.{name}: wanted a number, got {value!r:.100}")
    return float(value)


def _whole_numbers(module: NvlabsModule, name: str, where: str, count: int) -> list[int]:
    """Return `count` whole numbers; numpy scalars and floats without a fraction are accepted, as the file has them."""
    value = _attribute(module, name, where)
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    fit = len(numbers) == count and all(
        isinstance(n, int | float) and not isinstance(n, bool) and abs(n) < 2**31 and n == int(n) for n in numbers
    )
    if not fit:
        raise CheckpointError(f"{_WHERE}: {where}.{name}: wanted {count} whole numbers, got {value!r:.100}")
    return [int(n) for n in numbers]
