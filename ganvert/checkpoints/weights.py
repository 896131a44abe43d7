"""Reading of safetensors files of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ganvert.base.errors import CheckpointError

__all__ = ["read_metadata", "read_weights"]


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a safetensors file.

    Raises:
        CheckpointError: it is missing, or not a readable safetensors file.
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file, and none of its tensors; raises as :func:`read_weights` does."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file; for errors see :func:`read_weights`."""
    try:
        with safe_open(str(path), framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file; run `ganvert fetch` or give another path") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: {path.stat().st_size} bytes, more than fit into memory") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
