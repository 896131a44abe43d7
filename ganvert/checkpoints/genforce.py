"""What the checkpoints of genforce and BDInvert share, whatever network they hold."""

from __future__ import annotations

from typing import Any

from ganvert.checkpoints.base import Content

__all__ = ["generator_state", "ignored_of"]

#: The averaged generator comes first: it is the one that draws.
GENERATORS = ("generator_smooth", "generator")
PREFIX = "module."  # of a network that was trained on several GPUs


def generator_state(content: Content) -> dict[str, Any] | None:
    """Tensors of the averaged generator by the file's names; None where the file is not built like genforce's."""
    networks = _networks(content)
    state = next((networks[name] for name in GENERATORS if name in networks), None)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        return None
    if state and all(name.startswith(PREFIX) for name in state):
        return {name.removeprefix(PREFIX): value for name, value in state.items()}
    return state


def ignored_of(content: Content) -> tuple[str, ...]:
    """What :func:`generator_state` left out, in words."""
    networks = _networks(content)
    used = next((name for name in GENERATORS if name in networks), None)
    notes = [f"{name}: not the generator used" for name in networks if name != used]
    if used == GENERATORS[1]:
        notes.insert(0, f"no {GENERATORS[0]}: {used} was used, whose weights are not averaged")
    return tuple(notes)


def _networks(content: Content) -> dict[Any, Any]:
    """Releases hold the networks at the top, training runs under ``models`` (genforce/genforce, runners)."""
    root = content.root if isinstance(content.root, dict) else {}
    models = root.get("models")
    return models if isinstance(models, dict) else root
