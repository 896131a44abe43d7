"""The converter of the face parsing network: names, what is dropped, and files that are something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganvert.assets.converters.bisenet import bisenet_state
from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.weights import read_weights
from ganvert.faces.parsing import CLASSES, PARSER_FILE
from ganvert.networks.bisenet import BiSeNet


def test_asset_fills_the_network(assets: Path) -> None:
    state, metadata = read_weights(assets / PARSER_FILE)
    assert metadata["architecture"] == "bisenet" and "non-commercial" in metadata["licence"]
    wanted = {name for name, value in BiSeNet(len(CLASSES)).state_dict().items() if value.ndim}
    assert set(state) == wanted


def test_names_and_dropped_outputs(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    parts = {"cp.resnet.conv1.weight": torch.ones(2), "cp.resnet.bn1.num_batches_tracked": torch.tensor(3)}
    torch.save(parts | {"conv_out16.conv.conv.weight": torch.ones(1), "conv_out.conv_out.weight": torch.zeros(3)}, path)
    assert sorted(bisenet_state(path)) == ["classify.weight", "trunk.conv1.weight"]
    torch.save(parts | {"cp.other.weight": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match=r"cp\.other\.weight is no part of a BiSeNet"):
        bisenet_state(path)
    torch.save([torch.ones(1)], path)
    with pytest.raises(CheckpointError, match="wanted a state dict"):
        bisenet_state(path)
