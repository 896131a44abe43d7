"""The mapping network against its formula, and shapes that must not be believed."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from ganvert.base.errors import CheckpointError
from ganvert.compute.random import normal
from ganvert.networks.mapping import MappingNetwork


@pytest.mark.parametrize("bias_gain", [1.0, math.sqrt(2)])
def test_the_formula(bias_gain: float) -> None:
    state = {
        f"mapping.fc{i}.{part}": 100 * normal([i], (6, 6) if part == "weight" else (6,))[0]
        for i in range(2)
        for part in ("weight", "bias")
    }
    network, z_dim = MappingNetwork.for_state(state, bias_gain=bias_gain)
    network.load_state_dict({name.removeprefix("mapping."): value for name, value in state.items()})
    assert z_dim == 6
    z = normal(range(3), (6,))
    x = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for i in range(2):
        weight, bias = (state[f"mapping.fc{i}.{part}"] for part in ("weight", "bias"))
        x = F.leaky_relu(math.sqrt(2) * x @ (weight * 0.01 / math.sqrt(6)).T + bias_gain * 0.01 * bias, 0.2)
    torch.testing.assert_close(network(z), x, rtol=1e-5, atol=1e-5)


def test_layers_that_do_not_follow_each_other_take_no_memory() -> None:
    thin = torch.zeros(10**6, 1)
    state = {
        f"mapping.fc{i}.{part}": thin if part == "weight" else thin[:, 0]
        for i in range(2)
        for part in ("weight", "bias")
    }
    with pytest.raises(CheckpointError, match="do not follow"):
        MappingNetwork.for_state(state)
