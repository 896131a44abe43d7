"""What the files of other tools have in common: they are read as data, and their numbers become tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvert.base.errors import InputError, TableError
from ganvert.base.files import file_names
from ganvert.checkpoints.base import Content
from ganvert.checkpoints.containers import read_content

__all__ = ["is_numbers", "names_of_files", "read_file", "readings", "save_tensors", "tensor", "unwrapped"]

#: What is cut off a name: the endings of pictures and arrays, and nothing else that follows a dot.
_ENDINGS = re.compile(r"\.(jpe?g|png|webp|bmp|tiff?|heic|avif|npy|pt)$", re.IGNORECASE)


def read_file(path: Path) -> Content:
    """Return the content of a file of torch, numpy or safetensors, or of a pickle, as data.

    Raises:
        InputError: there is no such file.
        CheckpointError: it is damaged, or asks for something that is not allowed.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    return read_content(path)


def is_numbers(value: object) -> bool:
    """Return whether a value of a file is an array or tensor of numbers."""
    if isinstance(value, Tensor):
        return value.dtype.is_floating_point and bool(value.numel())
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and bool(value.size)


def tensor(value: Any, what: str) -> Tensor:
    """Return an array or tensor of a file as a contiguous float32 tensor of its own.

    Raises:
        TableError: it holds no floats, or floats that are not finite.
    """
    if not is_numbers(value):
        raise TableError(f"{what}: wanted an array of floats, got {type(value).__name__}")
    if isinstance(value, np.ndarray):
        # torch takes neither foreign byte orders nor read-only memory.
        value = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
    result: Tensor = value.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)
    if not result.isfinite().all():
        raise TableError(f"{what}: it has numbers that are not finite")
    return result


def unwrapped(root: Any) -> Any:
    """Return the only value of a list, tuple or dict of one, such as an .npz of one array; anything else as it is."""
    while isinstance(root, list | tuple | dict) and len(root) == 1 and not isinstance(root, str):
        inner = next(iter(root.values())) if isinstance(root, dict) else root[0]
        if not is_numbers(inner):
            break
        root = inner
    return root


def readings(content: Content) -> Iterator[Any]:
    """Yield what the content of a file may be: itself, and then its only value.

    A dict of one entry may be one of many, such as the codes of images by name where there is one image. An .npz is
    never so: its arrays have names because they must.
    """
    inner = unwrapped(content.root)
    if inner is not content.root and content.container != "npz":
        yield content.root
    yield inner


def save_tensors(value: Any, path: Path) -> None:
    """Write tensors, or a list or dict of them, as torch does; equal ones give equal bytes."""
    # To an open file: torch writes the name of a path into the file, and here it is a temporary one.
    with path.open("wb") as file:
        torch.save(value, file)


def names_of_files(paths: Sequence[str]) -> list[str]:
    """Return names for the images of files, no two alike: ``a/b c.jpg`` becomes ``b c``."""
    return file_names([_ENDINGS.sub("", re.split(r"[/\\]", path)[-1]) for path in paths])
