"""Encoders by name, and how a weights file becomes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ganvert.encoders.base import Encoder
from ganvert.encoders.compact import CompactEncoder
from ganvert.errors import CheckpointError
from ganvert.generators import read_weights
from ganvert.generators.base import Generator
from ganvert.registry import lookup

__all__ = ["ENCODERS", "Encoder", "load_encoder"]

#: kind -> constructor(generator, asset folder)
ENCODERS: dict[str, Callable[[Generator, Path | None], Encoder]] = {"compact": CompactEncoder}


def load_encoder(path: Path, generator: Generator, folder: Path | None = None) -> Encoder:
    """Read an encoder's weights and refuse those of another generator.

    Raises:
        CheckpointError: missing, damaged, not an encoder, or made for another generator.
    """
    state, metadata = read_weights(Path(path))
    kind = metadata.get("kind", "")
    if not kind.startswith("encoder/"):
        raise CheckpointError(f"{path}: a safetensors file, but not an encoder of ganvert")
    if metadata.get("generator") != generator.fingerprint():
        raise CheckpointError(
            f"{path}: trained for generator {metadata.get('generator', '?')[:12]}, not for "
            f"{generator.fingerprint()[:12]}; train one for it (stage train_encoder, with start: null, first_step: 0 "
            "in its parameters), or choose a method that starts without an encoder"
        )
    encoder = lookup(ENCODERS, kind.removeprefix("encoder/"), "encoder")(generator, folder)
    try:
        missing, unexpected = encoder.load_state_dict(
            {name: value.float() for name, value in state.items()}, strict=False
        )
    except RuntimeError as error:
        raise CheckpointError(f"{path}: tensors do not fit encoder {kind!r}: {error}") from error
    if unexpected or set(missing) - {"w_avg"}:
        raise CheckpointError(
            f"{path}: tensors do not fit encoder {kind!r}: missing {missing}, unexpected {unexpected}"
        )
    return encoder.to(generator.w_avg.device).eval().requires_grad_(False)
