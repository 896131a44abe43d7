"""StyleGAN2 by NVlabs' names in a flat table of tensors: what ``G.state_dict()`` gives, as safetensors or from torch.

Such a table does not say the clamp of activations, nor the learning rate multiplier of the mapping network. A
safetensors file may have the arguments of the network's constructor as JSON in its metadata, :data:`ARGUMENTS`.
"""

from __future__ import annotations

import json
from typing import Any

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.states import StateDict, find_state
from ganvert.checkpoints.stylegan2 import check_blurs, mean_w
from ganvert.checkpoints.tensors import take

__all__ = ["ARGUMENTS", "BLUR", "MEAN", "matches", "read"]

FORMAT = "nvlabs_state"
#: Name in the metadata: arguments of stylegan2-ada-pytorch's ``training.networks.Generator``.
ARGUMENTS = "init_kwargs"
MEAN = "mapping.w_avg"
BLUR = "resample_filter"
_LR_MULTIPLIER = 0.01  # the constructor's default, which no configuration names
_MARKS = ("mapping.fc0.weight", "synthesis.b4.const", "synthesis.b4.conv1.affine.weight")


def matches(content: Content) -> bool:
    """Return whether the file is a table with NVlabs' names."""
    return _found(content) is not None


def read(content: Content) -> Checkpoint:
    """Read the generator."""
    found = _found(content)
    if found is None:
        raise CheckpointError(f"{FORMAT}: no table with these names")
    tensors = take(content, found.tensors, FORMAT)
    blurs = {name: value for name, value in tensors.items() if name.endswith(BLUR)}
    check_blurs(blurs, FORMAT, gain=1)
    state = {name: value for name, value in tensors.items() if name not in blurs}
    config, ignored = _config(content), list(found.notes)
    if ARGUMENTS not in content.metadata:
        ignored.append("assumed: activations are not clamped, as in stylegan2-ada-pytorch; the file does not say")
    mean = state.pop(MEAN, None)
    if mean is None:
        mean = mean_w(state, config.get("lr_multiplier", 0.01))
        ignored.append("assumed: w_avg from samples")
    return Checkpoint(
        format=FORMAT,
        architecture="stylegan2",
        state={**state, "w_avg": mean},
        config=config,
        ignored=tuple(ignored),
    )


def _found(content: Content) -> StateDict | None:
    return find_state(content, lambda tensors: all(name in tensors for name in _MARKS))


def _config(content: Content) -> dict[str, Any]:
    """Return what the constructor's arguments say that the tensors do not show."""
    try:
        arguments = json.loads(content.metadata.get(ARGUMENTS, "{}"))
        clamp = arguments.get("synthesis_kwargs", {}).get("conv_clamp")
        multiplier = arguments.get("mapping_kwargs", {}).get("lr_multiplier")
    except (AttributeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{FORMAT}: {ARGUMENTS} of its metadata is not JSON of that kind: {error}") from error
    # The network refuses what is no number above 0.
    known = {"conv_clamp": clamp, "lr_multiplier": None if multiplier == _LR_MULTIPLIER else multiplier}
    return {name: value for name, value in known.items() if value is not None}
