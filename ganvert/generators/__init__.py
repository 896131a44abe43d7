"""Generators by architecture, and how a file becomes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ganvert.errors import CheckpointError, UnsupportedError
from ganvert.generators.base import FeaturePoint, Generator, PaddableConv, StyleSlot, SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.registry import lookup

__all__ = [
    "GENERATORS",
    "FeaturePoint",
    "Generator",
    "PaddableConv",
    "StyleSlot",
    "SynthesisInput",
    "build_generator",
    "load_generator",
    "read_weights",
]


#: architecture -> module whose sizes fit a state dict and a configuration
GENERATORS: dict[str, Callable[[Mapping[str, Tensor], Mapping[str, Any]], Generator]] = {
    "mobile_stylegan": MobileStyleGAN.for_state,
}


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; CheckpointError when it is not a readable one."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file; run `ganvert fetch` or give another path") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error


def build_generator(
    architecture: str, state: Mapping[str, Tensor], config: Mapping[str, Any], where: str = "checkpoint"
) -> Generator:
    """The generator of a state dict in our own names, frozen and in eval mode, on the CPU.

    Raises:
        UnknownNameError: no such architecture.
        CheckpointError: the tensors do not fit it.
    """
    generator = lookup(GENERATORS, architecture, "generator architecture")(state, config)
    try:
        generator.load_state_dict({name: value.float() for name, value in state.items()})
    except RuntimeError as error:
        raise CheckpointError(f"{where}: tensors do not fit {architecture}: {error}") from error
    generator.config = dict(config)
    return generator.eval().requires_grad_(False)


def load_generator(path: Path | str, label: int | None = None) -> Generator:
    """Load a generator from a ganvert safetensors file, frozen and in eval mode, on the CPU.

    Args:
        path: the file.
        label: the class that a conditional generator draws where no labels are given.

    Raises:
        CheckpointError: the file is missing, damaged, of an unknown architecture, or its tensors do not fit.
        UnsupportedError: `label` is no class of this generator.
    """
    state, metadata = read_weights(Path(path))
    if metadata.get("format") != "ganvert" or "architecture" not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but not a ganvert generator (its metadata names none)")
    generator = build_generator(metadata["architecture"], state, {}, str(path))
    if label is not None and not 0 <= label < generator.label_dim:
        raise UnsupportedError(f"{path}: label {label}: this generator has {generator.label_dim or 'no'} classes")
    generator.label = label
    return generator
