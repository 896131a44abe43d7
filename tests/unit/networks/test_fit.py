"""Sizes from a file are compared with its tensors before memory is taken for them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganvert.base.errors import CheckpointError
from ganvert.networks.fit import fitted


def test_a_network_of_the_state_dicts_sizes() -> None:
    network = fitted(lambda: nn.Linear(3, 2), nn.Linear(3, 2).state_dict(), "line")
    assert network.weight.device.type == "cpu"
    assert network.weight.shape == (2, 3)


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ({"weight": torch.zeros(1, 1), "bias": torch.zeros(1)}, r"bias has shape \[1\], wanted \[1000000\]"),
        ({"weight": torch.zeros(1, 1)}, "bias is missing"),
        ({"weight": torch.zeros(1, 0), "bias": torch.zeros(1)}, r"weight has shape \[1, 0\], which is empty"),
        ({f"{i}": torch.zeros(1) for i in range(2001)}, "2001 tensors"),
    ],
)
def test_sizes_that_no_tensor_has_are_refused_without_memory(state: dict[str, torch.Tensor], match: str) -> None:
    # Built on the real device, the layer would ask for 4 TB.
    with pytest.raises(CheckpointError, match=f"not a line: .*{match}"):
        fitted(lambda: nn.Linear(10**6, 10**6), state, "line")


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyError, TypeError, AttributeError, RuntimeError])
def test_sizes_that_no_network_has(error: type[Exception]) -> None:
    def make() -> nn.Linear:
        raise error("x")

    with pytest.raises(CheckpointError, match="not a line"):
        fitted(make, {}, "line")
