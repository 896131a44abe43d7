"""The running mean of the weights in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganvert.base.errors import CheckpointError, ParamsError
from ganvert.training.ema import Ema


def moved(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)


def test_the_average_in_closed_form() -> None:
    module = nn.Linear(2, 1).double()
    moved(module, 7.0)
    ema = Ema(module, 0.3)
    wanted = 7.0
    for t, value in enumerate((1.0, -2.0, 4.0, 3.0, 5.0, 6.0), start=1):
        moved(module, value)
        ema.update()
        decay = min(0.3, t / (t + 9))  # 0.1, 0.18, 0.25, 0.3, 0.3, ...
        wanted = decay * wanted + (1 - decay) * value
    for average in ema.average.values():
        torch.testing.assert_close(average, torch.full_like(average, wanted))


def test_applied_and_put_back_to_the_bit() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    ema = Ema(module, 0.9)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1)
        module[1].running_mean.fill_(5.0)
    ema.update()
    own = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(RuntimeError, match="stop"), ema.applied():
        inside = module.state_dict()
        for name, value in ema.average.items():
            assert torch.equal(inside[name], value) and not torch.equal(value, own[name])
        assert torch.equal(inside["1.running_mean"], own["1.running_mean"])  # buffers are the module's
        raise RuntimeError("stop")
    assert all(torch.equal(value, own[name]) for name, value in module.state_dict().items())


def test_a_resumed_average_is_the_same() -> None:
    def steps(module: nn.Module, ema: Ema, values: range) -> None:
        for value in values:
            moved(module, value / 7)
            ema.update()

    module = nn.Linear(2, 2)
    moved(module, 0.0)
    whole, first = Ema(module, 0.99), Ema(module, 0.99)
    steps(module, whole, range(20))
    steps(module, first, range(9))
    state = first.state()
    steps(module, first, range(3))  # a state is a copy
    second = Ema(module, 0.99)
    second.load_state(state)
    steps(module, second, range(9, 20))
    assert second.count == whole.count == 20
    assert all(torch.equal(value, second.average[name]) for name, value in whole.average.items())


def test_off() -> None:
    module = nn.Linear(2, 2)
    ema = Ema(module, 0.0)
    ema.update()
    assert ema.state() == {} and ema.average == {}
    ema.load_state({})
    before = module.weight.detach().clone()
    with ema.applied():
        assert torch.equal(module.weight, before)


def test_refusals() -> None:
    for decay in (1.0, -0.1):
        with pytest.raises(ParamsError, match="ema"):
            Ema(nn.Linear(2, 2), decay)
    for state in ({}, Ema(nn.Linear(2, 3), 0.9).state()):
        with pytest.raises(CheckpointError, match="not of this encoder"):
            Ema(nn.Linear(2, 2), 0.9).load_state(state)
