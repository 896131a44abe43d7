"""What a process sets up once: numeric strictness, device, logging, progress, memory of downloads."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeVar

import torch

if TYPE_CHECKING:
    from tqdm import tqdm

from ganvert.errors import UnsupportedError

__all__ = ["by_hand", "keep_freed_memory", "log_to_stderr", "progress", "progress_bar", "resolve_device", "strict_math"]

T = TypeVar("T")
log = logging.getLogger(__name__)


#: Set to False, PyTorch's own operators do everything: what benchmarks and tests compare with.
HAND_WRITTEN = True


def by_hand(x: torch.Tensor) -> bool:
    """Whether operators of ours may stand in for PyTorch's: on a CPU, where they were measured, eager, no autocast."""
    free = not (torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type))
    return HAND_WRITTEN and free and x.device.type == "cpu"


def strict_math(threads: int | None = None) -> None:
    """Full float32 everywhere and no autotuned kernels, so that equal inputs give equal results."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    if threads:
        torch.set_num_threads(threads)


def resolve_device(name: str) -> torch.device:
    """'auto' (a GPU when there is one), 'cpu', 'cuda' or 'cuda:N'.

    Raises:
        UnsupportedError: a GPU was asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UnsupportedError(f"device: wanted auto, cpu or cuda[:N], got {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UnsupportedError(f"device {name!r} was asked for, but this machine offers no CUDA GPU; use cpu or auto")
    return device


def log_to_stderr(level: int = logging.INFO) -> None:
    """One line per message on stderr; only entry points (stages, the command) call this."""
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Iterate with a progress bar and an estimate of the time left (:func:`progress_bar`)."""
    with progress_bar(total, what) as bar:
        for item in items:
            yield item
            bar.update()


def progress_bar(total: int, what: str, done: int = 0) -> tqdm[NoReturn]:
    """A bar to be moved by hand; a live one on a terminal, otherwise (Prefect, a log file) a line now and then.

    `done` of `total` were done before; the estimate is by the others.
    """
    from tqdm import tqdm

    live = sys.stderr.isatty()
    return tqdm(
        total=total, initial=done, desc=what, dynamic_ncols=live, mininterval=0.5 if live else 20, file=sys.stderr
    )


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory instead of giving it back to the kernel after every large tensor.

    A synthesis step allocates and frees hundreds of 60 MB activations; with the default every one is mapped and
    page-faulted anew, which measured half of the time of a forward + backward at 1024 px on a CPU.

    Returns:
        Whether the C library took the settings (False where it is not glibc, which costs speed only).
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
    return all([mallopt(m_trim_threshold, 2**31 - 1), mallopt(m_top_pad, 1 << 27), mallopt(m_mmap_max, 0)])
