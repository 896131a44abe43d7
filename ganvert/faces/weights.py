"""Weights of face networks, which are stored by the order of their layers."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ganvert import assets
from ganvert.base.errors import AssetError, CheckpointError

__all__ = ["load_in_order"]

_NAMES = {nn.Conv2d: "conv", nn.PReLU: "prelu", nn.Linear: "linear"}


def load_in_order(network: nn.Module, name: str, folder: Path | None) -> None:
    """Load an asset into a network: ``conv{i}``, ``prelu{i}`` and ``linear{i}``, numbered as the network defines them.

    Args:
        network: blank, whose convolutions, PReLUs and linear layers are defined in the order in which they run.
        name: of the file.
        folder: of the assets.

    Raises:
        AssetError: the file is missing or damaged.
        CheckpointError: it is of another network.
    """
    path = assets.path(name, folder)
    try:
        stored = load_file(path)
    except (SafetensorError, OSError) as error:
        raise AssetError(f"{path}: not a readable weights file ({error}); delete it and run `ganvert fetch`") from error
    counts = dict.fromkeys(_NAMES.values(), 0)
    state = {}
    for place, module in network.named_modules():
        if kind := _NAMES.get(type(module)):
            for part in module.state_dict():
                state[f"{place}.{part}"] = stored.pop(f"{kind}{counts[kind]}.{part}", None)
            counts[kind] += 1
    try:
        if stored or None in state.values():
            raise RuntimeError(f"missing or extra layers, such as {next(iter(stored), 'the last one')}")
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: does not fit {type(network).__name__}: {error}; run `ganvert fetch`") from error
