"""The outer layout of genforce's and BDInvert's checkpoints, whichever network they hold."""

from __future__ import annotations

from typing import Any

from ganvert.checkpoints.base import Content

__all__ = ["generator_state", "ignored_of"]

#: The averaged generator is preferred.
GENERATORS = ("generator_smooth", "generator")
PREFIX = "module."  # added by torch's DistributedDataParallel


def generator_state(content: Content) -> dict[str, Any] | None:
    """Return the tensors of the averaged generator by the file's names; None if the file is not genforce's."""
    networks = _networks(content)
    state = next((networks[name] for name in GENERATORS if name in networks), None)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        return None
    if state and all(name.startswith(PREFIX) for name in state):
        return {name.removeprefix(PREFIX): value for name, value in state.items()}
    return state


def ignored_of(content: Content) -> tuple[str, ...]:
    """Describe in words what :func:`generator_state` left out."""
    networks = _networks(content)
    used = next((name for name in GENERATORS if name in networks), None)
    notes = [f"{name}: not the generator used" for name in networks if name != used]
    if used == GENERATORS[1]:
        notes.insert(0, f"no {GENERATORS[0]}: {used} was used, whose weights are not averaged")
    return tuple(notes)


def _networks(content: Content) -> dict[Any, Any]:
    """Return the networks: at the top level of a release, under ``models`` of a training run (genforce, runners)."""
    root = content.root if isinstance(content.root, dict) else {}
    models = root.get("models")
    return models if isinstance(models, dict) else root
