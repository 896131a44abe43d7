"""ganvert: reproducible GAN inversion and latent editing.

Read a checkpoint (`checkpoints`, `generators`), find faces (`faces`), invert photographs (`inversion`), find directions
(`directions`), edit codes (`editing`), score pictures (`scoring`), show everything (`report`). Packages have an order
(tests/unit/test_layers.py): each may import those before it. This module imports none of them until it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganvert.generators import load_generator

__all__ = ["__version__", "load_generator"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load_generator":  # imported on first use: `ganvert --help` does not wait for torch
        from ganvert.generators import load_generator

        return load_generator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
