"""The expression network: its weights and padding are those of its publication."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ganvert.assets.shipped import shipped
from ganvert.base.errors import AssetError
from ganvert.checkpoints.weights import read_weights
from ganvert.faces.expression import EXPRESSION_FILE, EXPRESSIONS, ExpressionNet, log_odds


def test_weights_are_those_published() -> None:
    state, metadata = read_weights(shipped(EXPRESSION_FILE))
    assert metadata["licence"].startswith("MIT")
    assert sum(not name.endswith(".range") for name in state) == 49
    # The first kernel: 8 bits, scale 0.00579301... and minimum -0.712540... of the published manifest.
    kernel = state["blocks.0.layers.0.weight"]
    assert kernel.dtype == torch.uint8
    assert state["blocks.0.layers.0.weight.range"].tolist() == pytest.approx([0.0057930146946, -0.7125408074])
    restored = ExpressionNet().state_dict()["blocks.0.layers.0.weight"]
    torch.testing.assert_close(restored, kernel.float() * 0.0057930146946625559 - 0.7125408074435067)


def test_first_convolution_pads_as_tensorflow_does() -> None:
    """At stride 2 the last row and column see one row and column of zeros, the first ones see none."""
    net = ExpressionNet()
    first = net.get_submodule("blocks.0.layers.0")
    assert isinstance(first, nn.Conv2d) and first.bias is not None
    x = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    outputs: list[torch.Tensor] = []
    first.register_forward_hook(lambda _, __, out: outputs.append(out))
    net.blocks[0](x)
    corner = (x[0, :, :3, :3] * first.weight[5]).sum() + first.bias[5]
    last = (x[0, :, 110:, 110:] * first.weight[5, :, :2, :2]).sum() + first.bias[5]
    assert outputs[0].shape == (1, 32, 56, 56)
    torch.testing.assert_close(outputs[0][0, 5, 0, 0], corner)
    torch.testing.assert_close(outputs[0][0, 5, -1, -1], last)


def test_log_odds_by_hand() -> None:
    logits = np.log(np.array([0.1, 0.6, 0.05, 0.05, 0.05, 0.1, 0.05]))
    assert log_odds(logits, "happy") == pytest.approx(np.log(0.6 / 0.4))
    assert log_odds(np.array([0, 1000.0, 0, 0, 0, 0, 0]), "happy") == pytest.approx(1000 - np.log(6))
    assert len(EXPRESSIONS) == 7


def test_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"broken")
    with pytest.raises(AssetError, match="not the expression network"):
        ExpressionNet(tmp_path / "x.safetensors")
