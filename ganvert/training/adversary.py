"""A discriminator that is trained along with an encoder: of images (IDInvert, PadInv) or of rows of ws (e4e)."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError, ParamsError, ShapeError, UnsupportedError
from ganvert.base.seeds import item_seed
from ganvert.compute.random import normal
from ganvert.discriminators import Discriminator, fresh
from ganvert.discriminators.losses import logistic_generator, r1_penalty
from ganvert.generators.base import Generator, check_shape
from ganvert.images import area_resize
from ganvert.training.distributed import collect, sum_, sum_gradients, world
from ganvert.training.optimisers import flat_state, load_flat_state, set_learning_rate

__all__ = ["Adversary", "AdversaryOptions", "LatentDiscriminator", "ReplayPool"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversaryOptions:
    """params.yaml: train_encoder.options.NAME.adversary.

    Attributes:
        kind: ``picture`` judges reconstructions against photographs; ``latent`` judges rows of ws against w's of the
            mapping network.
        weight: of the adversarial loss in the encoder's total.
        lr, betas: Adam's, for the discriminator.
        decay: whether this rate decays as the encoder's does (IDInvert: one schedule for both).
        r1: weight gamma of the gradient penalty gamma / 2 * |grad D|^2 at the real ones; 0 for none.
        r1_every: steps between penalties, which are as many times stronger (lazy regularisation, Karras et al. 2020,
            section 4.1). With 1 the penalty is part of the loss (IDInvert). Otherwise it has an Adam step of its own;
            PadInv corrects for the 17 steps in 16 by lr * 16/17 and betas ** (16/17).
        pool: ``latent``: number of codes remembered from earlier steps.
        px: ``picture``: images are judged at this size. The checkpoint's own discriminator is used if it has that
            size, otherwise a new one. None is the size of the own one, or for a new one 256 px or the generator's.
        base: ``picture``: a new discriminator has ``base / r`` channels at r px, at most 512; None is 16384.
    """

    kind: Literal["picture", "latent"]
    weight: float
    # IDInvert's rate and betas; e4e's latent discriminator has a rate of 2e-5.
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    decay: bool = False
    r1: float = 10.0
    r1_every: int = 1
    pool: int = 50
    px: int | None = None
    base: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf or not 0 < self.lr < math.inf or not 0 <= self.r1 < math.inf:
            raise ParamsError("weight and lr must be above 0, r1 not negative")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ParamsError(f"betas must be from 0 to below 1, got {list(self.betas)}")
        if self.r1_every < 1 or self.pool < 0:
            raise ParamsError("r1_every must be at least 1, pool not negative")
        if self.kind == "latent" and (self.px is not None or self.base is not None):
            raise ParamsError("px and base are options of a discriminator of images (kind: picture)")


class LatentDiscriminator(nn.Module):
    """Judges whether a w came from the mapping network: four dense layers (e4e, Tov et al. 2021, section 3.3).

    The three hidden layers are as wide as w.
    """

    def __init__(self, w_dim: int, seed: int) -> None:
        """Build it with PyTorch's initial weights from `seed`."""
        super().__init__()
        # PyTorch initialises from the global generator: a fork leaves everybody else's numbers as they are.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            hidden = [layer for _ in range(3) for layer in (nn.Linear(w_dim, w_dim), nn.LeakyReLU(0.2))]
            self.layers = nn.Sequential(*hidden, nn.Linear(w_dim, 1))

    def forward(self, w: Tensor) -> Tensor:
        """Map w [..., w_dim] to logits [...], larger for real ones."""
        return self.layers(w).squeeze(-1)


class ReplayPool:
    """Codes of earlier steps, so that a discriminator does not forget them (Shrivastava et al. 2017, section 2.3).

    Once it is full, half of the new codes are judged themselves. Each of the others replaces a remembered code, which
    is judged instead. The choices follow from seed, step and place in the batch, so that a checkpoint needs to hold the
    codes only.
    """

    def __init__(self, size: int, seed: int) -> None:
        """Start empty, with room for `size` codes; 0 remembers nothing."""
        self.size, self.seed, self.codes = size, seed, torch.empty(0, 0)

    def swap(self, codes: Tensor, step: int) -> Tensor:
        """Remember new codes [N, w_dim], and return those to judge in their place, [N, w_dim]."""
        known, judged = list(self.codes.to(codes)), []
        for i, code in enumerate(codes.detach()):
            # On the CPU: a GPU's generator gives other numbers for the same seed.
            source = torch.Generator("cpu").manual_seed(item_seed("pool", self.seed, step, i))
            stays = float(torch.rand((), generator=source)) < 0.5
            if len(known) < self.size:
                known.append(code)
            elif self.size and not stays:
                place = int(torch.randint(self.size, (), generator=source))
                code, known[place] = known[place], code
            judged.append(code)
        self.codes = torch.stack(known) if known else codes.detach()[:0]
        return torch.stack(judged) if judged else codes.detach()


class Adversary:
    """A discriminator with its optimiser, and the adversarial loss of the encoder.

    Under ``torchrun`` its steps are those of one process with the whole batch (:mod:`ganvert.training.distributed`).
    """

    def __init__(self, options: AdversaryOptions, generator: Generator, own: Discriminator | None, seed: int) -> None:
        """Build or copy the discriminator.

        Args:
            options: see there.
            generator: frozen; real rows come from its mapping network.
            own: the discriminator of the generator's checkpoint, which is copied; None without one.
            seed: of new weights, real rows and the pool.

        Raises:
            ParamsError: the generator draws fewer pixels than ``options.px``.
            UnsupportedError: the own one takes images of other channels than the generator draws.
        """
        self.options, self.generator, self.seed, self.world = options, generator, seed, world()
        judge = _judge(options, generator, own, seed)
        self.px, self.channels = (
            (judge.resolution, judge.image_channels) if isinstance(judge, Discriminator) else (0, 0)
        )
        self.judge = judge.to(generator.w_avg.device).train().requires_grad_(True)
        self.adam = torch.optim.Adam(self.judge.parameters(), lr=options.lr, betas=options.betas)
        self.pool = ReplayPool(options.pool, seed)

    @property
    def of_pictures(self) -> bool:
        """Whether it judges images, not rows of ws."""
        return self.options.kind == "picture"

    def generator_loss(self, fake: Tensor) -> Tensor:
        """Return the encoder's non-saturating loss ``softplus(-D)``, before its weight.

        Args:
            fake: reconstructions [N, C, h, w] about [-1, 1], or ws [N, rows, w_dim], whose rows are all judged.

        Returns:
            [N], with gradients for `fake` and none for the discriminator; for ws the mean over rows.
        """
        # Only the gradient of `fake` is wanted here; that of the weights would cost time and be thrown away.
        self.judge.requires_grad_(False)
        try:
            logits = self._logits(fake if self.of_pictures else self._rows(fake))
        finally:
            self.judge.requires_grad_(True)
        loss = logistic_generator(logits)
        return loss if self.of_pictures else loss.mean(dim=1)

    def set_decay(self, factor: float) -> None:
        """Set the learning rate to `factor` times the first one, if the options let it decay."""
        set_learning_rate(self.adam, self.options.lr * (factor if self.options.decay else 1.0))

    def update(self, real: Tensor | None, fake: Tensor, step: int) -> float:
        """Train the discriminator for one step.

        Args:
            real: photographs [N, C, h, w] of at least `px`; or ws [N, rows, w_dim], None for new ones of the generator.
            fake: reconstructions [N, C, h, w], or ws [N, rows, w_dim], of which one random row is judged, or a row
                from the pool in its place.
            step: number of the step, from 0 on.

        Returns:
            The discriminator's logistic loss before the step; with several processes this one's part of the sum.

        Raises:
            ShapeError: photographs are smaller than the discriminator's images.
        """
        # The discriminator's step must not reach the encoder, which had its own in this training step.
        fake = fake.detach()
        if self.of_pictures:
            if real is None:
                raise ShapeError("adversary: a discriminator of images needs photographs")
            real, fake = self._resized(real.detach()), self._resized(fake)
        else:
            # Rows are small: every process judges those of all processes, and all take the same step.
            fake = self.pool.swap(self._one_row(collect(fake, self.world), "fake", step), step)
            ws = self._drawn(len(fake), step) if real is None else collect(real, self.world)
            real = self._one_row(ws, "real", step)
        # Sums over the whole batch's count, not means over a share: summed gradients are then those of one process.
        # Every process takes part in them, even one without images: the others would wait for it.
        counts = [self._count(len(real)), self._count(len(fake))]
        loss = logistic_generator(self._logits(real)).sum() / counts[0]
        loss = loss + logistic_generator(-self._logits(fake)).sum() / counts[1]
        # R1 differentiates a gradient, which costs more than the loss itself: hence only every `r1_every` steps.
        due = self.options.r1 > 0 and step % self.options.r1_every == 0
        if due and self.options.r1_every == 1:
            self._descend(loss + self._r1(real) / counts[0])
        else:
            # Apart, so that the strong but rare penalty does not enter Adam's step together with the logistic loss.
            self._descend(loss)
            if due:
                self._descend(self._r1(real) / counts[0])
        return float(loss.detach()) / (1 if self.of_pictures else self.world.size)

    def _count(self, mine: int) -> int:
        """Return the number of items in the whole batch, at least 1."""
        there = int(sum_(self.generator.w_avg.new_tensor(mine), self.world)) if self.of_pictures else mine
        return max(there, 1)

    def _descend(self, loss: Tensor) -> None:
        self.adam.zero_grad(set_to_none=True)
        if loss.requires_grad:  # a process may have no images
            loss.backward()
        if self.of_pictures:  # rows were collected: every process has the whole gradient already
            sum_gradients(self.judge.parameters(), self.world)
        self.adam.step()

    def _r1(self, real: Tensor) -> Tensor:
        """Return the sum of the gradient penalties, times ``r1_every`` for the steps without one."""
        if not len(real):
            return real.new_zeros(())
        if self.of_pictures:
            penalties = r1_penalty(self.judge, real)
        else:  # r1_penalty takes images: a w is one of 1 x 1 px
            penalties = r1_penalty(self._of_pixels, real[..., None, None])
        # Times `r1_every`, so that the mean strength over all steps is that of a penalty in every step.
        return self.options.r1 / 2 * self.options.r1_every * penalties.sum()

    def _of_pixels(self, w: Tensor) -> Tensor:
        return self.judge(w[..., 0, 0])

    def _logits(self, judged: Tensor) -> Tensor:
        if not len(judged):
            return judged.new_zeros(0) if self.of_pictures else judged.new_zeros(judged.shape[:-1])
        return self.judge(self._as_judged(judged) if self.of_pictures else judged)

    def _as_judged(self, images: Tensor) -> Tensor:
        """Return images with the discriminator's channels and size."""
        return area_resize(images[:, : self.channels], self.px)

    def _resized(self, images: Tensor) -> Tensor:
        if images.shape[-1] < self.px:
            raise ShapeError(
                f"adversary: images of {images.shape[-1]} px cannot be judged at {self.px} px: an enlarged photograph "
                "is recognised by its blur; use larger ones, or set adversary.px"
            )
        return self._as_judged(images) if len(images) else images

    def _rows(self, ws: Tensor) -> Tensor:
        check_shape(ws, (None, None, self.generator.w_dim), "ws")
        return ws

    def _one_row(self, ws: Tensor, name: str, step: int) -> Tensor:
        """Return a random row of each of ws [N, rows, w_dim], [N, w_dim]."""
        rows = self._rows(ws).shape[1]
        sources = (
            torch.Generator().manual_seed(item_seed("adversary", name, self.seed, step, i)) for i in range(len(ws))
        )
        chosen = [int(torch.randint(rows, (), generator=source)) for source in sources]
        return ws.detach()[torch.arange(len(ws)), chosen]

    @torch.no_grad()
    def _drawn(self, count: int, step: int) -> Tensor:
        """Return the ws of `count` new seeds, without truncation."""
        seeds = [item_seed("adversary", self.seed, step, i) for i in range(count)]
        return self.generator.map(normal(seeds, (self.generator.z_dim,)).to(self.generator.w_avg))

    def state(self) -> dict[str, Tensor]:
        """Return copies on the CPU for a checkpoint: "judge.NAME", "adam.INDEX.NAME", "pool"."""
        judge = {
            name: value.detach().to("cpu", copy=True).contiguous() for name, value in self.judge.state_dict().items()
        }
        state = {f"judge.{name}": value for name, value in judge.items()}
        state |= {f"adam.{name}": value for name, value in flat_state(self.adam).items()}
        if len(self.pool.codes):
            state["pool"] = self.pool.codes.to("cpu", copy=True)
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Resume from :meth:`state`, bit for bit.

        Raises:
            CheckpointError: the state is of another adversary.
        """
        parts: dict[str, dict[str, Tensor]] = {"judge": {}, "adam": {}, "pool": {}}
        for key, value in state.items():
            part, _, name = key.partition(".")
            if part not in parts:
                raise CheckpointError(f"adversary state: {key} is not part of it")
            parts[part][name] = value
        wanted = {name: value.shape for name, value in self.judge.state_dict().items()}
        if {name: value.shape for name, value in parts["judge"].items()} != wanted:
            raise CheckpointError("adversary state: its discriminator has other sizes")
        self.judge.load_state_dict(parts["judge"])
        load_flat_state(self.adam, parts["adam"])
        codes = parts["pool"].get("", torch.empty(0, 0))
        if len(codes) > self.pool.size or (len(codes) and list(codes.shape[1:]) != [self.generator.w_dim]):
            raise CheckpointError(f"adversary state: a pool of {list(codes.shape)} codes")
        self.pool.codes = codes.to(self.generator.w_avg.device, copy=True)


def _judge(options: AdversaryOptions, generator: Generator, own: Discriminator | None, seed: int) -> nn.Module:
    """Return the discriminator that training starts with."""
    seed, channels = item_seed("adversary", seed), generator.image_channels
    if options.kind == "latent":
        return LatentDiscriminator(generator.w_dim, seed)
    if own is not None and options.px in (None, own.resolution):
        if own.image_channels != channels:
            raise UnsupportedError(
                f"the checkpoint's discriminator takes {own.image_channels} channels, its generator draws {channels}"
            )
        return copy.deepcopy(own)
    # 16384 is half of config-f's base, as StyleGAN2-ADA has it at 256 px.
    px = options.px or min(256, generator.resolution)
    if px > generator.resolution:
        raise ParamsError(f"adversary.px is {px}, but the generator draws {generator.resolution} px")
    return fresh(px, channels_base=options.base or 16384, image_channels=channels, seed=seed)
