"""Generators by architecture, and how a file becomes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ganvert.errors import CheckpointError
from ganvert.generators.base import FeaturePoint, Generator, StyleSlot, SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.registry import lookup

__all__ = ["GENERATORS", "FeaturePoint", "Generator", "StyleSlot", "SynthesisInput", "load_generator", "read_weights"]


#: architecture -> module for a state dict
GENERATORS: dict[str, Callable[[Mapping[str, Tensor]], Generator]] = {
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


def load_generator(path: Path | str) -> Generator:
    """Load a generator from a ganvert safetensors file, frozen and in eval mode, on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, of an unknown architecture, or its tensors do not fit.
    """
    state, metadata = read_weights(Path(path))
    if metadata.get("format") != "ganvert" or "architecture" not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but not a ganvert generator (its metadata names none)")
    generator = lookup(GENERATORS, metadata["architecture"], "generator architecture")(state)
    try:
        generator.load_state_dict({name: value.float() for name, value in state.items()})
    except RuntimeError as error:
        raise CheckpointError(f"{path}: tensors do not fit {metadata['architecture']}: {error}") from error
    return generator.eval().requires_grad_(False)
