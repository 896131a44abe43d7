"""Adversarial losses in closed form; R1 and its gradient against differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ganvert.compute.random import normal
from ganvert.discriminators.losses import logistic_discriminator, logistic_generator, r1_penalty
from ganvert.discriminators.stylegan2 import StyleGAN2Discriminator, fresh


@pytest.fixture
def tiny() -> StyleGAN2Discriminator:
    network = fresh(8, channels_base=32, channels_max=4).double()
    with torch.no_grad():
        for i, (name, value) in enumerate(network.named_parameters()):
            if name.endswith("bias"):
                value.copy_(0.3 * normal([i], value.shape)[0])
    return network


@pytest.fixture
def images() -> Tensor:
    return normal(range(3), (3, 8, 8)).double()


def test_logistic_losses_in_closed_form() -> None:
    real, fake = torch.tensor([0.0, math.log(3), 50]), torch.tensor([0.0, -math.log(3), 50])
    # The probability of "real" is the logistic function: 1/2, 3/4, 1.
    torch.testing.assert_close(logistic_generator(real), torch.tensor([math.log(2), math.log(4 / 3), 0]))
    wanted = torch.tensor([2 * math.log(2), 2 * math.log(4 / 3), 50])
    torch.testing.assert_close(logistic_discriminator(real, fake), wanted)
    torch.testing.assert_close(logistic_generator(torch.tensor([-100.0])), torch.tensor([100.0]))


def test_r1_of_a_linear_discriminator(images: Tensor) -> None:
    weight = normal([7], (3, 8, 8)).double()
    found = r1_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3)), images)
    torch.testing.assert_close(found, weight.square().sum().expand(3))


def test_r1_against_differences_of_the_pixels(tiny: StyleGAN2Discriminator, images: Tensor) -> None:
    eps, pixels = 1e-6, torch.eye(192).double().reshape(192, 3, 8, 8)
    with torch.no_grad():
        slopes = [(tiny(image + eps * pixels) - tiny(image - eps * pixels)) / (2 * eps) for image in images]
    wanted = torch.stack(slopes).square().sum(dim=1)
    assert float(wanted.std()) > 1e-3
    found = r1_penalty(tiny, images)
    torch.testing.assert_close(found.detach(), wanted, rtol=1e-6, atol=1e-9)
    alone = torch.cat([r1_penalty(tiny, image[None]) for image in images])
    torch.testing.assert_close(found, alone)
    assert not images.requires_grad


def test_gradient_of_r1_against_differences_of_the_weights(tiny: StyleGAN2Discriminator, images: Tensor) -> None:
    parameters = [value for name, value in tiny.named_parameters() if name != "b4.out.bias"]  # which moves no slope
    r1_penalty(tiny, images).sum().backward()
    along = nn.utils.parameters_to_vector([value.grad for value in parameters])
    eps, start = 1e-7 / float(along.norm()), nn.utils.parameters_to_vector(parameters).detach()
    penalties = []
    for sign in (1, -1):
        nn.utils.vector_to_parameters(start + sign * eps * along, parameters)
        penalties.append(float(r1_penalty(tiny, images).sum().detach()))
    measured = (penalties[0] - penalties[1]) / (2 * eps)
    assert measured == pytest.approx(float(along.square().sum()), rel=1e-5)
    assert tiny.b4.out.bias.grad is None
