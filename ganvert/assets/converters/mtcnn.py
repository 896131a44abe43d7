"""MTCNN (Zhang et al. 2016) from the three files of torch in the facenet-pytorch package, which are read as data."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ganvert.assets.base import Product, pack_product
from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.tensors import take

__all__ = ["make_mtcnn", "mtcnn_state"]

_KINDS = {"conv": "conv", "prelu": "prelu", "dense": "linear"}
_NAME = re.compile(r"(?P<kind>conv|prelu|dense)\d(_\d)?\.(?P<part>weight|bias)")
_FLATTENED = 3  # side of the activations that the first dense layer of a network flattens


def make_mtcnn(product: Product, parts: Sequence[bytes]) -> bytes:
    """Return the networks' file; the parts are the state dicts of the first, second and third network.

    Raises:
        CheckpointError: not such files.
    """
    with tempfile.TemporaryDirectory() as folder:  # the reader takes files
        paths = [Path(folder) / Path(member).name for member in product.members]
        for path, data in zip(paths, parts, strict=True):
            path.write_bytes(data)
        return pack_product(product, "mtcnn", mtcnn_state(paths))


def mtcnn_state(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Return the weights of three published state dicts.

    Args:
        paths: of the first, second and third network's file.

    Returns:
        float32 ``conv{i}.weight``, ``conv{i}.bias``, ``prelu{i}.weight``, ``linear{i}.weight`` and ``linear{i}.bias``,
        each numbered through all three in the order of execution.

    Raises:
        CheckpointError: a file cannot be read safely, or holds something else.
    """
    counts = dict.fromkeys(_KINDS.values(), -1)
    state: dict[str, Tensor] = {}
    for path in paths:
        content = read_content(path)
        if not isinstance(content.root, dict):
            raise CheckpointError(f"{path.name}: wanted a state dict, got {type(content.root).__name__}")
        layers: dict[str, Tensor] = {}
        for name in content.root:
            match = _NAME.fullmatch(str(name))
            if match is None:
                raise CheckpointError(f"{path.name}: {name} is no part of MTCNN")
            kind, part = _KINDS[match["kind"]], match["part"]
            counts[kind] += part == "weight"  # which stands before the bias
            layers[f"{kind}{counts[kind]}.{part}"] = content.root[name]
        state |= {name: _channels_first(value) for name, value in take(content, layers, path.name).items()}
    return state


def _channels_first(value: Tensor) -> Tensor:
    """Reorder the inputs of a dense layer that flattens activations: these files flatten columns, rows, channels."""
    cells = _FLATTENED**2
    if value.ndim != 2 or value.shape[1] % cells:
        return value
    return value.unflatten(1, (_FLATTENED, _FLATTENED, -1)).permute(0, 3, 2, 1).flatten(1).contiguous()
