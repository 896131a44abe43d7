"""ALAE (Pidhorskyi et al. 2020, arXiv 2004.04467): known by its content, and refused with the reason."""

from __future__ import annotations

from ganvert.checkpoints.base import Content

__all__ = ["REASON", "matches"]

REASON = (
    "a checkpoint of ALAE, which is not read: its encoder was trained together with its own generator, a network that "
    "is none of ganvert's, and predicts codes of that one alone; take an encoder of your generator (docs/encoders.md)"
)
#: Keys of ALAE's checkpointer: "mapping_fl" is its F, "mapping_tl" its D; those of running means end in "_s".
_MAPPINGS = ("mapping_tl", "mapping_fl")


def matches(content: Content) -> bool:
    """Return whether the file is one of ALAE's training checkpoints."""
    models = content.root.get("models") if isinstance(content.root, dict) else None
    return isinstance(models, dict) and all(name in models or f"{name}_s" in models for name in _MAPPINGS)
