"""Ranger against its formulas written out, schedules, and states that go through a file."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError, ParamsError, UnknownNameError, UnsupportedError
from ganvert.base.params import build
from ganvert.compute.random import normal
from ganvert.training.optimisers import (
    OPTIMISERS,
    OptimiserOptions,
    Ranger,
    decayed_learning_rate,
    flat_state,
    load_flat_state,
    make_optimiser,
    set_learning_rate,
)


def written_out(weights: Tensor, gradients: list[Tensor], lr: float, decay: float, centre: bool) -> Tensor:
    """RAdam (algorithm 2 of its paper), Lookahead (algorithm 1), centred gradients; weight decay as in AdamW."""
    b1, b2, eps, k, alpha = 0.95, 0.999, 1e-5, 6, 0.5
    fast, slow = weights.double(), weights.double()
    m = v = torch.zeros_like(fast)
    for t, g in enumerate(gradients, start=1):
        g = g.double()
        if centre and g.ndim > 1:
            g = torch.stack([row - row.mean() for row in g])
        fast = fast - lr * decay * fast
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        longest = 2 / (1 - b2) - 1
        length = longest - 2 * t * b2**t / (1 - b2**t)
        way = m / (1 - b1**t)
        if length > 5:
            r = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            # As in the published code, eps joins the root before its bias is corrected.
            way = way * math.sqrt(r) * math.sqrt(1 - b2**t) / (v.sqrt() + eps)
        fast = fast - lr * way
        if t % k == 0:
            slow = slow + alpha * (fast - slow)
            fast = slow
    return fast


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("shape", [(5,), (4, 3), (4, 3, 2, 2)])
def test_ranger_written_out(shape: tuple[int, ...], centre: bool, decay: float) -> None:
    parameter = nn.Parameter(normal([0], shape)[0].double())
    gradients = [normal([i], shape)[0].double() for i in range(1, 41)]
    wanted = written_out(parameter.detach().clone(), gradients, 0.02, decay, centre)
    before = parameter.detach().clone()
    optimiser = Ranger([parameter], 0.02, weight_decay=decay, centre=centre)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimiser.step()
    assert float((parameter.detach() - before).abs().max()) > 0.01
    torch.testing.assert_close(parameter.detach(), wanted, rtol=1e-10, atol=1e-12)


def test_every_sixth_step_of_ranger_ends_between() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    optimiser = Ranger([parameter], 1.0)
    for _ in range(5):
        parameter.grad = torch.ones(3)
        optimiser.step()
    # No scaling yet (the moment is too uncertain): five steps of length 1, a sixth, then half of the way.
    torch.testing.assert_close(parameter.detach(), torch.full((3,), -5.0))
    parameter.grad = torch.ones(3)
    optimiser.step()
    assert float(parameter.detach()[0]) == pytest.approx(-3.0, abs=0.5)
    assert torch.equal(parameter.detach(), optimiser.state[parameter]["slow"])


def test_ranger_leaves_parameters_without_gradients_alone() -> None:
    moving, still = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimiser = Ranger([moving, still], 0.1)
    moving.grad = torch.ones(2)
    assert optimiser.step(lambda: 3.0) == 3.0
    assert torch.equal(still.detach(), torch.ones(2)) and still not in optimiser.state
    still.grad = torch.ones(2)  # joins later, as a progressive head's
    optimiser.step()
    assert int(optimiser.state[still]["step"]) == 1


# --- state -----------------------------------------------------------------------------------------------------------


def run(options: OptimiserOptions, interrupted: bool, path: Path) -> dict[str, Tensor]:
    """Twenty steps; maybe with a new process after the eighth, which is no multiple of Lookahead's six."""
    source = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=source))
    optimiser = make_optimiser(network.parameters(), options)
    for step in range(20):
        if step == 8 and interrupted:
            save_file(flat_state(optimiser), path)
            weights = {name: value.clone() for name, value in network.state_dict().items()}
            network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
            network.load_state_dict(weights)
            optimiser = make_optimiser(network.parameters(), options)
            load_flat_state(optimiser, load_file(path))
        set_learning_rate(optimiser, decayed_learning_rate(step, 20, options))
        optimiser.zero_grad()
        network(normal([step], (4, 6))[0]).square().mean().backward()
        optimiser.step()
    return {**network.state_dict(), **flat_state(optimiser)}


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_resumed_run_is_the_same_to_the_bit(kind: str, tmp_path: Path) -> None:
    options = OptimiserOptions(kind=kind, lr=0.01, weight_decay=0.01, decay="cosine")
    whole, parts = (run(options, interrupted, tmp_path / "state") for interrupted in (False, True))
    assert set(whole) == set(parts) and ("0.slow" in whole) == (kind == "ranger")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_state_is_a_copy_both_ways() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimiser = make_optimiser([parameter], OptimiserOptions(lr=0.1))
    assert flat_state(optimiser) == {}
    parameter.grad = torch.ones(3)
    optimiser.step()
    state = flat_state(optimiser)
    before = {name: value.clone() for name, value in state.items()}
    optimiser.step()
    load_flat_state(optimiser, state)
    optimiser.step()
    assert all(torch.equal(state[name], before[name]) for name in before)


def test_states_of_something_else() -> None:
    optimiser = make_optimiser([nn.Parameter(torch.ones(3))], OptimiserOptions(lr=0.1))
    for name, value, message in (
        ("1.exp_avg", torch.ones(3), "none of its 1 parameters"),
        ("exp_avg", torch.ones(3), "none of its"),
        ("0.exp_avg", torch.ones(4), r"shape \[4\], wanted \[3\]"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_flat_state(optimiser, {name: value})
    optimiser.state[optimiser.param_groups[0]["params"][0]]["count"] = 3
    with pytest.raises(UnsupportedError, match="keeps count as a int"):
        flat_state(optimiser)


# --- schedules -------------------------------------------------------------------------------------------------------


def test_schedules_in_closed_form() -> None:
    def rates(**given: object) -> list[float]:
        options = build(OptimiserOptions, {"lr": 2.0, **given}, "optimiser")
        return [decayed_learning_rate(step, 100, options) for step in (0, 25, 50, 99, 100)]

    assert rates() == [2.0] * 5
    assert rates(decay="cosine")[::2] == pytest.approx([2.0, 1.1, 0.2])
    assert rates(decay="step", decay_factor=0.1, decay_every=50) == pytest.approx([2.0, 2.0, 0.2, 0.2, 0.02])
    wanted = [2.0, 1.6, 1.28, 2 * 0.8 ** (99 / 25), 2 * 0.8**4]
    assert rates(decay="exponential", decay_factor=0.8, decay_every=25) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "given",
    [
        {"lr": 0.0},
        {"lr": math.nan},
        {"lr": 1.0, "eps": 0.0},
        {"lr": 1.0, "betas": [0.9, 1.0]},
        {"lr": 1.0, "weight_decay": -1.0},
        {"lr": 1.0, "decay": "step", "decay_factor": 0.1},
        {"lr": 1.0, "decay": "exponential", "decay_factor": 1.5, "decay_every": 3},
        {"lr": 1.0, "decay": "step", "decay_factor": 0.5, "decay_every": 0},
        {"lr": 1.0, "decay_every": 3},
        {"lr": 1.0, "decay": "linear"},
    ],
)
def test_refusals(given: dict[str, object]) -> None:
    with pytest.raises(ParamsError, match="optimiser"):
        build(OptimiserOptions, given, "optimiser")


def test_unknown_kinds() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'ranger'"):
        OptimiserOptions(kind="rangr", lr=1.0)
