"""Registries: unknown names say what exists, and every entry is documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganvert.base.errors import GanvertError, UnknownNameError
from ganvert.base.registry import lookup
from ganvert.checkpoints import FORMATS
from ganvert.directions import DIRECTIONS
from ganvert.discriminators import DISCRIMINATORS
from ganvert.editing.edits import EDITS
from ganvert.encoders import BACKBONES, HEADS
from ganvert.generators import GENERATORS
from ganvert.inversion.penalties import PENALTIES
from ganvert.inversion.presets import INVERTERS
from ganvert.losses import LOSSES
from ganvert.scoring.metrics import METRICS
from ganvert.spaces import SPACES
from ganvert.training.optimisers import OPTIMISERS
from ganvert.training.penalties import PREDICTION_PENALTIES

REGISTRIES = {
    "generator": GENERATORS,
    "checkpoint format": FORMATS,
    "space": SPACES,
    "inverter": INVERTERS,
    "loss": LOSSES,
    "penalty": PENALTIES,
    "backbone": BACKBONES,
    "head": HEADS,
    "optimiser": OPTIMISERS,
    "penalty of predictions": PREDICTION_PENALTIES,
    "discriminator": DISCRIMINATORS,
    "direction finder": DIRECTIONS,
    "edit": EDITS,
    "metric": METRICS,
}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_unknown_names(kind: str) -> None:
    registry = REGISTRIES[kind]
    for name, entry in registry.items():
        assert lookup(registry, name, kind) is entry
        with pytest.raises(UnknownNameError, match=f"unknown {kind} '{name}x'; known: .*{name}.*Did you mean '"):
            lookup(registry, f"{name}x", kind)
    with pytest.raises(UnknownNameError) as caught:
        lookup(registry, "0", kind)
    assert str(caught.value) == f"unknown {kind} '0'; known: {', '.join(sorted(registry))}."
    assert isinstance(caught.value, GanvertError)
    assert isinstance(caught.value, KeyError)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_entry_is_documented(kind: str) -> None:
    """By its whole name in backticks; names of metrics end in a resolution there (`psnr_R`)."""
    docs = "\n".join(path.read_text() for path in (Path(__file__).parents[3] / "docs").glob("*.md"))
    assert [name for name in REGISTRIES[kind] if f"`{name}`" not in docs and f"`{name}_R`" not in docs] == []
