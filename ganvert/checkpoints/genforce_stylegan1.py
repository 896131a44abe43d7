"""StyleGAN1 of genforce and BDInvert."""

from __future__ import annotations

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.states import StateDict, find_state
from ganvert.checkpoints.stylegan1 import FUSED_FROM, Dialect, assemble, names_of
from ganvert.checkpoints.tensors import flip_kernel

__all__ = ["matches", "read"]

FORMAT = "genforce_stylegan1"
MARKS = ("mapping.dense0.weight", "synthesis.layer0.const", "synthesis.layer0.apply_noise.weight")
DIALECT = Dialect(
    dense=("weight", "bias"),
    parts={
        "bias": "bias",
        "noise_weight": "apply_noise.weight",
        "noise_const": "apply_noise.noise",
        "style.weight": "style.weight",
        "style.bias": "style.bias",
    },
    const="const",
    weight="weight",
    output="weight",
)


def matches(content: Content) -> bool:
    """Return whether the averaged generator has the names of genforce's StyleGAN1."""
    return _generator(content) is not None


def _generator(content: Content) -> StateDict | None:
    return find_state(content, lambda tensors: all(name in tensors for name in MARKS))


def read(content: Content) -> Checkpoint:
    """Read the averaged generator."""
    found = _generator(content)
    if found is None:
        raise CheckpointError(f"{FORMAT}: no generator with these names")
    source = found.tensors
    names = names_of(source, DIALECT)
    # Even layers upsample. There are two layers per resolution, so the first at 4 * 2^k px has the number 2k.
    first = 2 * (FUSED_FROM.bit_length() - 3)
    fused = [name for i in range(first, len(names), 2) if (name := f"synthesis.layer{i}.weight") in names]
    ignored = found.notes
    if fused:  # the file does not say which layers are
        ignored = (*ignored, f"assumed: layers that upsample to {FUSED_FROM} px or more are fused, the code's default")
    return assemble(
        content,
        source,
        names,
        format=FORMAT,
        relayouts=dict.fromkeys(fused, flip_kernel),
        lod="synthesis.lod",
        ignored=ignored,
    )
