"""Products per image: both memory formats compute the same."""

from __future__ import annotations

import torch

from ganvert.compute.kernels import to_channels_last
from ganvert.compute.random import normal
from ganvert.networks.modulation import pointwise


def test_pointwise_in_bfloat16_is_nearly_that_of_float32() -> None:
    x, weight, bias = normal([1, 2], (6, 3, 5)), normal([3, 4], (4, 6)), normal([5], (4,))[0]
    slope = normal([6, 7], (4, 3, 5))

    def run(x: torch.Tensor) -> list[torch.Tensor]:
        inputs = [x.requires_grad_(), weight.clone().requires_grad_(), bias.to(x.dtype).requires_grad_()]
        out = pointwise(*inputs)
        return [out, *torch.autograd.grad((out.float() * slope).sum(), inputs)]

    for near, exact in zip(run(to_channels_last(x)), run(x.clone()), strict=True):
        assert (near.float() - exact).norm() < 0.01 * exact.norm()
