"""The adversarial losses of near-perfect GAN inversion (Feng et al. 2022, arXiv 2202.11833)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.base.seeds import item_seed
from ganvert.compute.random import normal
from ganvert.discriminators import Discriminator, fresh
from ganvert.discriminators.losses import logistic_discriminator, logistic_generator, r1_penalty
from ganvert.images import area_resize
from ganvert.inversion.contract import Context
from ganvert.inversion.methods.pivot import Pivot, TunedCopy
from ganvert.inversion.methods.tune_options import Adversarial

__all__ = ["AdversarialLoss"]


class AdversarialLoss:
    """A discriminator that learns beside the tuned generator.

    ``L_adv_local`` compares the photograph with the image of its code, ``L_global`` images of random codes with those
    of the generator as it was. Without the second, the generator fits the photograph and forgets everything else (the
    slides' ablation: FID 164.7 instead of 5.21).
    """

    def __init__(self, pivot: Pivot, tuned: TunedCopy, context: Context, options: Adversarial) -> None:
        """Take a copy of the checkpoint's discriminator, or a new one; UnsupportedError where channels do not fit."""
        self._pivot, self._tuned, self._options = pivot, tuned, options
        self._discriminator = _discriminator(context, options, item_seed(pivot.seed, "discriminator"))
        self._discriminator.to(context.device).requires_grad_(True)
        # Beta1 = 0 and beta2 = 0.99 are those that StyleGAN2 was trained with.
        self._adam = torch.optim.Adam(self._discriminator.parameters(), lr=options.lr, betas=(0.0, 0.99))
        self._photo = pivot.targets[:, : context.generator.image_channels]
        self._local: Tensor | None = None
        self._global: tuple[Tensor, Tensor] | None = None

    def local(self, image: Tensor) -> Tensor | float:
        """Return the generator's loss at the image [1, C, h, h] of the pivot, a number; 0 where it has no weight."""
        self._local = None
        if not self._options.local:  # without the loss, the discriminator does not see the photograph either
            return 0.0
        self._local = image.detach()
        return self._options.local * self._generator_loss(image).mean()

    def everywhere(self, step: int) -> Tensor | float:
        """Return the generator's loss at images of random codes, a number; 0 in the steps where it does not act."""
        self._global = None
        if not self._options.everywhere or step % self._options.every:
            return 0.0
        old, new, px = self._tuned.old, self._tuned.new, self._discriminator.resolution
        seeds = [item_seed(self._pivot.seed, "everywhere", step, i) for i in range(self._options.samples)]
        with torch.no_grad():
            # The real and the fake images are of the same codes. The loss is a sum of two expectations, which that does
            # not change; but the discriminator sees what tuning has done, and not what tells two people apart.
            ws = old.map(normal(seeds, (old.z_dim,)).to(old.w_avg))
            # The paper plays against the generator's training set. It is seldom at hand; the old generator's samples
            # stand in, as what the tuned one must not forget.
            real = old.synthesize(ws=ws, px=px)
        fake = new.synthesize(ws=ws, px=px)
        self._global = real, fake.detach()
        return self._options.everywhere * self._generator_loss(fake).mean()

    def learn(self, step: int, acts: bool) -> None:
        """Take one step of the discriminator, on the images that the generator's step has drawn.

        Args:
            step: of the tuning.
            acts: whether the pivot's image took part.
        """
        pairs = [(self._photo, self._local)] if acts and self._local is not None else []
        pairs += [self._global] if self._global is not None else []
        if not pairs:
            return
        loss = torch.zeros((), device=self._photo.device)
        for real, fake in pairs:
            loss = loss + logistic_discriminator(self._logits(real), self._logits(fake)).mean()
            if self._options.r1 and step % self._options.r1_every == 0:
                penalty = r1_penalty(self._discriminator, area_resize(real, self._discriminator.resolution)).mean()
                # Lazy regularisation (Karras et al. 2020, section 3.1): once in k steps, k times as strong.
                loss = loss + self._options.r1 / 2 * self._options.r1_every * penalty
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        self._adam.step()
        self._local = None

    def _generator_loss(self, images: Tensor) -> Tensor:
        # Frozen meanwhile: its gradients would be thrown away.
        self._discriminator.requires_grad_(False)
        value = logistic_generator(self._logits(images))
        self._discriminator.requires_grad_(True)
        return value

    def _logits(self, images: Tensor) -> Tensor:
        return self._discriminator(area_resize(images, self._discriminator.resolution))


def _discriminator(context: Context, options: Adversarial, seed: int) -> Discriminator:
    """Return a copy of the checkpoint's discriminator, or an untrained one of the generator's size."""
    channels = context.generator.image_channels
    if context.discriminator is None:
        size = min(options.resolution, context.generator.resolution)
        # At most 512 channels, 16384 / r where that is less: StyleGAN2-ADA's widths at 256 px.
        widths = {"channels_base": 32 * options.channels, "channels_max": options.channels}
        new = fresh(size, **widths, image_channels=channels, seed=seed)
        # It says 0 of every image, and so nothing to the generator, until it has learned a difference: the slopes of
        # random layers would move the generator anywhere. (The paper's has been trained with its generator.)
        torch.nn.init.zeros_(new.b4.out.weight)
        return new
    if context.discriminator.image_channels != channels:
        raise UnsupportedError(
            f"the checkpoint's discriminator takes {context.discriminator.image_channels} channels, its generator "
            f"draws {channels}"
        )
    return copy.deepcopy(context.discriminator)
