"""One lookup for every registry: a literal dict, name to entry."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from ganvert.base.errors import UnknownNameError
from ganvert.base.texts import brief, shortened

__all__ = ["lookup"]

T = TypeVar("T")
_MOST = 80  # characters of a name in messages: some registries hold names that a user gave


def lookup(registry: Mapping[str, T], name: str, kind: str) -> T:
    """Return ``registry[name]``, or raise an error that lists the entries and suggests the closest one.

    Args:
        registry: the family's literal dict.
        name: the entry asked for.
        kind: what an entry is called in messages, e.g. ``"inverter"``.

    Raises:
        UnknownNameError: there is no such entry.

    >>> lookup({"adam": 1, "mean": 2}, "adm", "inverter")
    Traceback (most recent call last):
    ganvert.base.errors.UnknownNameError: unknown inverter 'adm'; known: adam, mean. Did you mean 'adam'?
    """
    if isinstance(name, str) and name in registry:  # from YAML any value may come, also an unhashable one
        return registry[name]
    close = difflib.get_close_matches(name[:80] if isinstance(name, str) else brief(name), registry, n=1)
    hint = f" Did you mean {brief(close[0])}?" if close else ""
    known = ", ".join(shortened(entry, _MOST) for entry in sorted(registry)) or "none"
    raise UnknownNameError(f"unknown {kind} {brief(name)}; known: {known}.{hint}")
