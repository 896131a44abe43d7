"""StyleGAN1 of idinvert_pytorch and InterFaceGAN: flat state dicts, which differ in a few names."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.states import StateDict, find_state
from ganvert.checkpoints.stylegan1 import Dialect, assemble, names_of
from ganvert.checkpoints.tensors import flip_kernel, hwio_to_oihw

__all__ = ["matches", "read"]

FORMAT = "idinvert"


def _dialect(linear: str, const: str) -> Dialect:
    return Dialect(
        dense=(f"{linear}.weight", "wscale.bias"),
        parts={
            "bias": "epilogue.bias",
            "noise_weight": "epilogue.apply_noise.weight",
            "noise_const": "epilogue.apply_noise.noise",
            "style.weight": f"epilogue.style_mod.dense.{linear}.weight",
            "style.bias": "epilogue.style_mod.dense.wscale.bias",
        },
        const=const,
        weight="conv.weight",
        fused="weight",
        output="conv.weight",
    )


DIALECTS = {"idinvert": _dialect("fc", "const"), "interfacegan": _dialect("linear", "first_layer")}
TRUNCATION = "truncation.truncation"


def matches(content: Content) -> bool:
    """Return whether the file is a flat state dict with the names of either code."""
    return _generator(content) is not None


def read(content: Content) -> Checkpoint:
    """Read the file's only generator."""
    found = _generator(content)
    kind = _kind(found.tensors) if found else None
    if found is None or kind is None:
        raise CheckpointError("neither a state dict of idinvert_pytorch nor of InterFaceGAN")
    source = {name: value for name, value in found.tensors.items() if name != TRUNCATION}
    names = names_of(source, DIALECTS[kind])
    # Fused layers keep their kernel directly in the layer, the others in a module `conv`.
    fused = [ours for ours, theirs in names.items() if ours.endswith(".weight") and theirs == ours and "layer" in ours]
    # A bare file is what these codes publish, so nothing is assumed about it.
    ignored = list(found.notes) if found.key else []
    if TRUNCATION in found.tensors:
        ignored.append(f"{TRUNCATION}: give psi and cutoff when mapping")
    config = {"final_tanh": True} if kind == "idinvert" else {}
    if config:
        ignored.append("assumed: images end in tanh, as those of the published models do")
    return assemble(
        content,
        source,
        names,
        format=FORMAT,
        relayouts=dict.fromkeys(fused, _fused_kernel),
        lod="synthesis.lod",
        config=config,
        ignored=tuple(ignored),
    )


def _fused_kernel(kernel: Tensor, where: str) -> Tensor:
    """Convert the kernel of a fused layer, which these codes keep in TensorFlow's axis order."""
    return flip_kernel(hwio_to_oihw(kernel, where), where)


def _generator(content: Content) -> StateDict | None:
    return find_state(content, lambda tensors: _kind(tensors) is not None)


def _kind(tensors: dict[str, Any]) -> str | None:
    for kind, dialect in DIALECTS.items():
        if f"mapping.dense0.{dialect.dense[0]}" in tensors and f"synthesis.layer0.{dialect.const}" in tensors:
            return kind
    return None
