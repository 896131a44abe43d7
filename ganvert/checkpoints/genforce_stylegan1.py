"""StyleGAN1 of genforce and BDInvert."""

from __future__ import annotations

from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.genforce import generator_state, ignored_of
from ganvert.checkpoints.stylegan1 import FUSED_FROM, Dialect, assemble, names_of, over

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
    """Whether the averaged generator has the names of genforce's StyleGAN1."""
    state = generator_state(content)
    return state is not None and all(name in state for name in MARKS)


def read(content: Content) -> Checkpoint:
    """The averaged generator."""
    source = generator_state(content) or {}
    names = names_of(source, DIALECT)
    first = 2 * (FUSED_FROM.bit_length() - 3)  # two layers for each resolution from 4 px
    turned = [name for i in range(first, len(names), 2) if (name := f"synthesis.layer{i}.weight") in names]
    ignored = ignored_of(content)
    if turned:
        ignored = (
            *ignored,
            f"assumed: layers that double to {FUSED_FROM} px and more are fused, as their code chooses",
        )
    return assemble(
        content,
        source,
        names,
        format=FORMAT,
        turns=dict.fromkeys(turned, over),
        lod="synthesis.lod",
        ignored=ignored,
    )
