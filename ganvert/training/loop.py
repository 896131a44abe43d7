"""The training loop. What is compared with what stands in :mod:`ganvert.training.losses`.

A killed run resumes from its last checkpoint and ends with the weights of an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ganvert.base.errors import ParamsError
from ganvert.base.seeds import item_seed
from ganvert.compute.progress import progress
from ganvert.discriminators import Discriminator
from ganvert.encoders import Encoder, Prediction
from ganvert.generators.base import Generator
from ganvert.images import area_resize
from ganvert.training.batch import StepBatch, load_batch
from ganvert.training.data import Photos
from ganvert.training.distributed import sum_gradients
from ganvert.training.optimisers import decayed_learning_rate, set_learning_rate
from ganvert.training.options import TrainOptions
from ganvert.training.setup import Setup, prepare
from ganvert.training.validation import validate

__all__ = ["Trained", "train"]

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Trained:
    """The result of a training.

    Attributes:
        encoder: in eval mode, with the running mean of the weights if one was kept.
        records: one per step: step, every loss, total, and the gradient's norm.
        validation: one per validation: step, mse_256, lpips_alex_256.
        sheet: held-out photographs above their reconstructions after the last step; None without photographs.
    """

    encoder: Encoder
    records: list[dict[str, float]]
    validation: list[dict[str, float]]
    sheet: Image.Image | None


def train(
    generator: Generator,
    options: TrainOptions,
    work: Path,
    *,
    start: Path | None = None,
    photos: Photos | None = None,
    folder: Path | None = None,
    discriminator: Discriminator | None = None,
) -> Trained:
    """Train an encoder.

    Under ``torchrun`` every process takes its share of each batch; the result is that of one process
    (:mod:`ganvert.training.distributed`, which names the exceptions).

    Args:
        generator: frozen, on its device.
        options: see there.
        work: folder for drawn samples, cached features and checkpoints; a run with the same options resumes from it.
        start: weights to start from; None starts from scratch.
        photos: aligned photographs; needed where the options want a share of them, and for validation.
        folder: the asset folder.
        discriminator: the checkpoint's own; an adversary of images starts from it.

    Raises:
        ParamsError, InputError, UnsupportedError: the options want what this generator, or these photographs, lack; or
            the gradient stops being finite.
    """
    setup = prepare(generator, options, work, start, photos, folder, discriminator)
    state, sheet = setup.state, None
    todo = range(state.done, options.steps)
    for step in progress(todo, len(todo), "training the encoder"):
        with setup.losses.reconstructor.engine.running():
            state.records.append(train_step(setup, step))
        done, last = step + 1, step + 1 == options.steps
        if last or (options.validate_every and done % options.validate_every == 0):
            sheet = _validated(setup, done)
        if setup.world.is_main and (last or done % options.checkpoint_every == 0):
            setup.checkpoint.save(state)
    if not todo:  # finished by an earlier run: only the sheet is not in the checkpoint
        sheet = _validated(setup, options.steps)
    with state.ema.applied():
        # Cloned, because the module gets its own weights back when the block ends.
        weights = {name: value.detach().clone() for name, value in state.encoder.state_dict().items()}
    state.encoder.load_state_dict(weights)
    return Trained(state.encoder.eval(), state.records, state.validation, sheet)


def train_step(setup: Setup, step: int) -> dict[str, float]:
    """Update the encoder once, and the discriminator if there is one.

    Args:
        setup: of the training; its state is changed in place.
        step: of this run, from 0 on.

    Returns:
        step (over all runs of this encoder), every loss before its weight, total, gradient (its norm before clipping).
    """
    options, state, world = setup.options, setup.state, setup.world
    encoder, adversary = state.encoder, state.adversary
    number = options.first_step + step
    # The decay belongs to this run; data and progressive heads count over all runs of this encoder.
    lr = decayed_learning_rate(step, options.steps, options.optimiser)
    set_learning_rate(state.optimiser, lr)
    if adversary:
        adversary.set_decay(lr / options.optimiser.lr)
    torch.manual_seed(item_seed("train_encoder", options.seed, number, world.rank))  # for dropout and misalignment
    encoder.train()
    encoder.at_step(number)
    state.optimiser.zero_grad(set_to_none=True)

    batch = load_batch(setup.data, options, number, world)
    record: dict[str, float] = {}
    fakes: list[Tensor] = []
    previous: Prediction | None = None
    # ReStyle: every pass has its losses, gradients add up to one step, and none goes back to the pass before.
    for _ in range(options.encoder.passes):
        prediction = _predicted(setup, batch, previous)
        losses, drawn = setup.losses(batch, prediction)
        total = torch.zeros((), device=batch.seen.device)
        for loss in losses.values():
            total = total + batch.mean(loss.weight * loss.values, loss.subject)
        if total.requires_grad:  # a step, or a process's share of it, may have nothing to compare
            total.backward()
        record |= {name: float(batch.mean(loss.values.detach(), loss.subject)) for name, loss in losses.items()}
        record["total"] = float(total.detach())
        previous = {name: value.detach() for name, value in prediction.items()}
        if adversary:
            fakes.append(setup.losses.judged(previous, drawn.detach()))

    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    sum_gradients(trained, world)
    # After the sum, so that all processes clip by the same norm. An infinite limit only measures it.
    norm = float(torch.nn.utils.clip_grad_norm_(trained, options.clip or float("inf")))
    if not math.isfinite(norm):  # before the step: it would make every weight nan
        raise ParamsError(
            f"step {number}: the gradient stopped being finite, losses {world.sum(record)}; lower optimiser.lr, or the "
            "weight of the loss that grew"
        )
    state.optimiser.step()
    state.ema.update()
    if adversary:
        # On the reconstructions that the encoder was judged by: drawing new ones would cost a second forward pass.
        # Every pass drew its own, so targets repeat to be as many. The others are not compared, and may not be loaded.
        real = torch.cat([batch.target[batch.drawn]] * options.encoder.passes) if adversary.of_pictures else None
        record["discriminator"] = adversary.update(real, torch.cat(fakes), number)
    return {"step": float(number), **world.sum(record), "gradient": norm}


def _predicted(setup: Setup, batch: StepBatch, previous: Prediction | None) -> Prediction:
    """Return the encoder's prediction, in its only pass or in the one after `previous`; float32."""
    encoder, device = setup.state.encoder, batch.seen.device
    with torch.autocast(device.type, torch.bfloat16, enabled=setup.options.precision == "bf16"):
        if encoder.spec.passes > 1:
            small = area_resize(batch.seen, encoder.input_px)
            prediction = encoder.correct(small, previous)
        else:
            prediction = encoder.predict(setup.data.taps(batch.items, batch.seen))
    # Generator and losses choose their own precision (picture_precision).
    return {name: value.float() for name, value in prediction.items()}


def _validated(setup: Setup, step: int) -> Image.Image | None:
    """Reconstruct the held-out photographs with the mean weights and record how well; return the sheet."""
    held_out, state = setup.data.held_out, setup.state
    if held_out is None or not len(held_out.ids) or not setup.world.is_main:
        return None
    with state.ema.applied():
        record, sheet = validate(state.encoder, held_out, setup.folder)
    number = float(setup.options.first_step + step)
    # Of a run that was finished before: its photographs may have been others.
    if state.validation and state.validation[-1]["step"] == number:
        state.validation.pop()
    state.validation.append({"step": number, **record})
    log.info("step %d, %d held-out photographs: %s", step, len(held_out.ids), record)
    return sheet
