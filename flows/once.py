"""A flow as a command: its exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from flows import settings  # noqa: F401  (before prefect, which reads its environment when imported)

# isort: split
from prefect.client.schemas.objects import State

__all__ = ["run_once"]


def run_once(run: Callable[[], State[Any]]) -> int:
    """Run a flow and return the exit code: 0 if it completed, 1 if not, 130 after Ctrl-C, 143 after SIGTERM."""
    # Prefect re-raises SIGTERM once the flow has ended; the default handler would leave our own server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        state = run()
    except KeyboardInterrupt:
        return 130
    return 0 if state.is_completed() else 1
