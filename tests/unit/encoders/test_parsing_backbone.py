"""The parsing network's trunk as a backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ganvert.base.errors import ParamsError
from ganvert.compute.random import normal
from ganvert.encoders.backbones import BACKBONES
from ganvert.faces.parsing import load_parser


@pytest.mark.parametrize("name", ["parsing", "parsing_frozen"])
def test_it_starts_as_the_parsing_network(name: str, assets: Path) -> None:
    images = normal([0, 1], (3, 64, 64)).mul(0.5).clamp(-1, 1)
    out = BACKBONES[name](channels=3, px=64, folder=assets).eval()(images)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # ImageNet's
    seen = ((images.permute(0, 2, 3, 1) + 1) / 2 - mean) / std
    wanted = load_parser(assets).network.trunk(seen.permute(0, 3, 1, 2))
    assert list(out) == [8, 4, 2]
    for got, own in zip(out.values(), wanted, strict=True):
        torch.testing.assert_close(got, own, rtol=1e-4, atol=1e-4)


def test_training_leaves_its_statistics_and_the_asset(assets: Path) -> None:
    backbone = BACKBONES["parsing"](channels=3, px=64, folder=assets).train()
    shared = {name: value.clone() for name, value in load_parser(assets).network.trunk.state_dict().items()}
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    parameters = list(backbone.parameters())
    sum(x.square().mean() for x in backbone(normal([0, 1], (3, 64, 64))).values()).backward()  # type: ignore[union-attr]
    torch.optim.SGD(parameters, lr=0.1).step()
    assert all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())
    after = load_parser(assets).network.trunk.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in shared.items())
    first = backbone.state_dict()["trunk.conv1.weight"]
    assert not torch.equal(first, after["conv1.weight"])


def test_batch_norms_over_several_processes_keep_their_statistics_too(assets: Path) -> None:
    backbone = nn.SyncBatchNorm.convert_sync_batchnorm(BACKBONES["parsing"](channels=3, px=64, folder=assets)).train()
    layers = [module for module in backbone.modules() if isinstance(module, nn.SyncBatchNorm)]
    assert layers and not any(layer.training for layer in layers)


def test_sides_that_do_not_divide() -> None:
    with pytest.raises(ParamsError, match="multiple of 32, got 100"):
        BACKBONES["parsing"](channels=3, px=100, folder=None)
