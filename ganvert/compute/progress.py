"""Progress bars with an estimate of the time left, and one-line log messages on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["log_to_stderr", "progress", "progress_bar"]

T = TypeVar("T")


def log_to_stderr(level: int = logging.INFO) -> None:
    """Log one line per message to stderr; only entry points (stages, the command) call this."""
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Iterate with a progress bar and an estimate of the time left (:func:`progress_bar`)."""
    with progress_bar(total, what) as bar:
        for item in items:
            yield item
            bar.update()


def progress_bar(total: int, what: str, done: int = 0) -> tqdm[NoReturn]:
    """Return a bar to be moved by hand: a live one on a terminal, otherwise (Prefect, a log file) a line every 20 s.

    Args:
        total: how many items there are.
        what: the bar's label.
        done: items that were done before; they do not count for the estimate of the time left.
    """
    from tqdm import tqdm

    live = sys.stderr.isatty()
    return tqdm(
        total=total, initial=done, desc=what, dynamic_ncols=live, mininterval=0.5 if live else 20, file=sys.stderr
    )
