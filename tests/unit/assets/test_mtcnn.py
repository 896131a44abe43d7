"""The converter of MTCNN: the order of its layers and of the inputs of dense ones, and files of something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ganvert.assets.converters.mtcnn import mtcnn_state
from ganvert.base.errors import CheckpointError


def test_layers_are_numbered_through_all_files(tmp_path: Path) -> None:
    first = {"conv1.weight": torch.ones(2, 3, 1, 1), "conv1.bias": torch.ones(2), "prelu1.weight": torch.ones(2)}
    second = {
        "conv4_1.weight": torch.zeros(2, 2, 1, 1),
        "dense5.weight": torch.ones(4, 2),
        "dense5.bias": torch.ones(4),
    }
    torch.save(first, tmp_path / "pnet.pt")
    torch.save(second, tmp_path / "rnet.pt")
    state = mtcnn_state([tmp_path / "pnet.pt", tmp_path / "rnet.pt"])
    assert sorted(state) == [
        *("conv0.bias", "conv0.weight", "conv1.weight"),
        *("linear0.bias", "linear0.weight", "prelu0.weight"),
    ]
    assert not state["conv1.weight"].any() and state["linear0.weight"].shape == (4, 2)


def test_dense_layers_take_channels_first(tmp_path: Path) -> None:
    """The files flatten columns, rows, channels."""
    weight, activations = torch.randn(7, 5 * 9), torch.randn(2, 5, 3, 3)
    torch.save({"dense4.weight": weight}, tmp_path / "rnet.pt")
    ours = mtcnn_state([tmp_path / "rnet.pt"])["linear0.weight"]
    theirs = activations.permute(0, 3, 2, 1).flatten(1) @ weight.T
    torch.testing.assert_close(nn.functional.linear(activations.flatten(1), ours), theirs)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pnet.pt"
    torch.save({"conv1.weight": torch.ones(1), "gru.weight": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match=r"gru\.weight is no part of MTCNN"):
        mtcnn_state([path])
    torch.save([torch.ones(1)], path)
    with pytest.raises(CheckpointError, match="wanted a state dict"):
        mtcnn_state([path])
