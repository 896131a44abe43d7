"""What generator and discriminator minimise: the non-saturating logistic losses and R1, one value per picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["logistic_discriminator", "logistic_generator", "r1_penalty"]


def logistic_generator(logits: Tensor) -> Tensor:
    """-log of how probably a drawn picture is real (Goodfellow et al. 2014, arXiv 1406.2661, section 3): [N] to [N]."""
    return F.softplus(-logits)


def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-log of how probably both are what they are (Goodfellow et al. 2014, equation 1).

    Args:
        real: logits [N] of real pictures.
        fake: logits [N] of drawn ones.

    Returns:
        [N], pair by pair.
    """
    return F.softplus(-real) + F.softplus(fake)


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Squared norm of a logit's gradient at real pictures (Mescheder et al. 2018, arXiv 1801.04406, equation 9).

    The paper's factor gamma / 2 is the caller's. Its own gradient reaches the discriminator's parameters.

    Args:
        discriminator: [N, C, r, r] to logits [N].
        real: [N, C, r, r].

    Returns:
        [N]; in groups of more than one picture the gradient is that of the group's sum.
    """
    at = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(at).sum(), at, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))
