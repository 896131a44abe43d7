"""Discriminator of NVlabs' pickles: StyleGAN2's, in stylegan2-ada-pytorch as in stylegan3."""

from __future__ import annotations

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.nvlabs import FORMAT, clamp_of, discriminator_of, lr_multiplier_of
from ganvert.checkpoints.stylegan2 import check_blurs
from ganvert.checkpoints.tensors import take

__all__ = ["read"]

_LINEAR = ("skip", "out", "embed")


def read(content: Content) -> Checkpoint | None:
    """Read the discriminator ``D``; returns None if the file has none.

    Raises:
        CheckpointError: it is damaged, or not the residual one.
    """
    network = discriminator_of(content)
    if network is None:
        return None
    modules = dict(network.walk())
    for name, module in modules.items():
        kind = module.attributes.get("architecture", "resnet")
        if kind != "resnet":
            raise CheckpointError(f"{FORMAT}: D.{name} is of kind {str(kind)[:40]!r}; only 'resnet' is read")
        wanted = "linear" if name.rpartition(".")[2] in _LINEAR else "lrelu"
        activation = module.attributes.get("activation", wanted)
        if activation != wanted:
            raise CheckpointError(f"{FORMAT}: D.{name} has activation {str(activation)[:40]!r}; wanted {wanted!r}")
    tensors = take(content, network.tensors(), f"{FORMAT}: D")
    blurs = {name: value for name, value in tensors.items() if name.endswith("resample_filter")}
    check_blurs(blurs, FORMAT, gain=1)
    return Checkpoint(
        format=FORMAT,
        architecture="stylegan2",
        state={name: value for name, value in tensors.items() if name not in blurs},
        config={**clamp_of(modules), **lr_multiplier_of(modules)},
    )
