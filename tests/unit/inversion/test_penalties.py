"""Penalties of the code against sums over rows in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganvert.compute.random import normal
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.contract import Context
from ganvert.inversion.penalties import PENALTIES, Penalised
from ganvert.spaces import make_space
from ganvert.spaces.prior import prior


def whitened(generator: MobileStyleGAN, ws: np.ndarray) -> np.ndarray:
    """BDInvert's P_N of rows [..., w_dim], from the stored statistics."""
    statistics = prior(generator)
    p = np.where(ws >= 0, ws, 5 * ws) - statistics.mean.numpy()
    return (p @ statistics.vectors.numpy()) / np.sqrt(statistics.values.numpy())


@pytest.mark.parametrize("space_name", ["wplus", "f8/wplus", "f16/wplus", "fs16/wplus"])
@pytest.mark.parametrize("penalty", ["pn", "w_norm", "delta"])
def test_rows_that_a_feature_map_hides_count_as_zeros(
    space_name: str, penalty: str, tiny_generator: MobileStyleGAN
) -> None:
    space = make_space(space_name, tiny_generator)
    ws = 3 * normal([1, 2], (tiny_generator.num_ws, tiny_generator.w_dim))
    variables = space.start(ws, [1, 2])
    variables["ws"].requires_grad_()
    synthesis_input = space.decode(variables)
    images = torch.zeros(2, 3, 64, 64)
    code = Penalised(space, variables, variables, synthesis_input, images, Context(generator=tiny_generator))
    value = PENALTIES[penalty](code)

    coded = variables["ws"].detach().double().numpy()
    hidden = tiny_generator.num_ws - coded.shape[1]
    assert hidden == {"wplus": 0, "fs16/wplus": 0, "f8/wplus": 3, "f16/wplus": 5}[space_name]
    rows = {
        "pn": lambda: whitened(tiny_generator, coded),
        "w_norm": lambda: coded - tiny_generator.w_avg.double().numpy(),
        "delta": lambda: coded - coded.mean(axis=1, keepdims=True),
    }[penalty]()
    everything = np.concatenate([np.zeros((2, hidden, tiny_generator.w_dim)), rows], axis=1)
    np.testing.assert_allclose(value.detach().numpy(), (everything**2).mean(axis=(1, 2)), rtol=1e-5)

    # The gradient is what an optimisation feels: for P_N, 2 v / (all rows x dims), taken back through the whitening.
    (gradient,) = torch.autograd.grad(value.sum(), variables["ws"])
    if penalty == "pn":
        statistics, slope = prior(tiny_generator), np.where(coded >= 0, 1, 5)
        back = (2 * rows / np.sqrt(statistics.values.numpy())) @ statistics.vectors.numpy().T
        wanted = back * slope / (tiny_generator.num_ws * tiny_generator.w_dim)
        np.testing.assert_allclose(gradient.numpy(), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
