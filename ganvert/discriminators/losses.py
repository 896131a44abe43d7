"""Losses of generator and discriminator: the non-saturating logistic losses and R1, one value per image."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["logistic_discriminator", "logistic_generator", "r1_penalty"]


def logistic_generator(logits: Tensor) -> Tensor:
    """Return -log of the probability that drawn images are real, logits [N] to [N].

    -log sigmoid(x) = softplus(-x). The non-saturating loss (Goodfellow et al. 2014, arXiv 1406.2661, section 3): where
    the discriminator is sure, log(1 - D) has no gradient left, and -log D has.
    """
    return F.softplus(-logits)


def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return -log of the probability that both are classified rightly (Goodfellow et al. 2014, equation 1).

    Args:
        real: logits [N] of real images.
        fake: logits [N] of drawn ones.

    Returns:
        [N], pair by pair.
    """
    return F.softplus(-real) + F.softplus(fake)


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Return the squared norm of a logit's gradient at real images (R1, Mescheder et al. 2018, equation 9).

    The factor gamma / 2 of the paper (arXiv 1801.04406) is left to the caller. The penalty has a gradient to the
    discriminator's parameters.

    Args:
        discriminator: [N, C, r, r] to logits [N].
        real: [N, C, r, r].

    Returns:
        [N]; in groups of more than one image the gradient is that of the group's sum.
    """
    # Only at real images: at the equilibrium the discriminator is constant there, so that the penalty costs nothing and
    # does not shift it.
    at = real.detach().requires_grad_()
    # The sum of the batch, because each logit depends on its own image only: its gradient holds that of every image.
    # The graph is kept, since training differentiates the penalty itself.
    (gradient,) = torch.autograd.grad(discriminator(at).sum(), at, create_graph=True)
    # The sum over pixels, as in the paper, and not their mean: gamma therefore depends on the resolution.
    return gradient.square().sum(dim=(1, 2, 3))
