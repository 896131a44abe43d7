"""What a training needs before its first step, and refusals of options that do not go together."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.compute.precision import Speed, speed_here
from ganvert.discriminators import Discriminator
from ganvert.encoders import HEADS, Encoder, load_encoder
from ganvert.generators.base import Generator
from ganvert.sampling import generator_key
from ganvert.spaces import Space, make_space
from ganvert.training.adversary import Adversary
from ganvert.training.checkpoint import Checkpoint, TrainingState
from ganvert.training.data import Data, Photos
from ganvert.training.distributed import World, synchronised, world
from ganvert.training.draft import Draft
from ganvert.training.draft_data import DraftData
from ganvert.training.ema import Ema
from ganvert.training.losses import Losses
from ganvert.training.optimisers import make_optimiser
from ganvert.training.options import TrainOptions
from ganvert.training.penalties import PART_OF
from ganvert.training.reconstruct import Reconstructor

__all__ = ["Setup", "prepare"]

log = logging.getLogger(__name__)

#: Images that the draft network sees at least, the same ones several times if need be.
_DRAFT_SEEN = 1600
#: Losses of an objective that its drafts are trained by too.
_DRAFT_LOSSES = ("identity_dlib",)


@dataclasses.dataclass(frozen=True)
class Setup:
    """What stays the same over the steps of a training, and the state that they change."""

    options: TrainOptions
    world: World
    folder: Path | None
    data: Data
    losses: Losses
    state: TrainingState
    checkpoint: Checkpoint


def prepare(
    generator: Generator,
    options: TrainOptions,
    work: Path,
    start: Path | None,
    photos: Photos | None,
    folder: Path | None,
    discriminator: Discriminator | None,
) -> Setup:
    """Build everything, draw the samples, and take up the checkpoint if there is one. Args and errors of ``train``."""
    generator.requires_grad_(False)
    # Decided here, so that it is part of the checkpoint's key: a run that resumes on another machine computes anew.
    speed = speed_here(Speed(precision=options.picture_precision), generator.w_avg.device)
    options = dataclasses.replace(options, picture_precision=speed.precision)
    here = world()
    encoder = _initial_encoder(generator, options, start, folder)
    initial = encoder.fingerprint()
    for name in options.freeze:
        encoder.part(name).requires_grad_(False)
    if not any(parameter.requires_grad for parameter in encoder.parameters()):
        raise ParamsError(f"freeze: {', '.join(options.freeze)}: nothing is left to train; leave one out")
    synchronised(encoder, here)  # replaces layers: before an optimiser holds their parameters
    space = make_space(options.encoder.space, generator)
    also = make_space(options.also, generator) if options.also else None
    _check_losses(encoder, options, [space, also] if also else [space])
    if not here.is_main:  # the main process draws; the others then find everything drawn
        here.wait()
    data = Data(generator, encoder, options.data, photos, options.seed, work)
    data.prepare(range(options.first_step, options.first_step + options.steps), options.batch)
    draft = _trained_draft(options, data, encoder, work, folder) if options.picture == "draft" else None
    if here.is_main:
        here.wait()
    adversary = Adversary(options.adversary, generator, discriminator, options.seed) if options.adversary else None
    losses = Losses(options, data, Reconstructor(options, data, space, also, draft), adversary, folder)
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    state = TrainingState(encoder, make_optimiser(trained, options.optimiser), Ema(encoder, options.ema), adversary)
    shown = options.data.photos or (options.picture == "draft" and options.draft_photos)
    used_photos = photos.fingerprint() if photos and shown else ""
    judge = discriminator.fingerprint() if discriminator and adversary and adversary.of_pictures else ""
    checkpoint = Checkpoint(work / "checkpoints", generator, options, initial, used_photos, judge)
    checkpoint.restore(state)
    if state.done:
        log.info("resuming from %s at step %d", checkpoint.path, state.done)
    return Setup(options, here, folder, data, losses, state, checkpoint)


def _initial_encoder(generator: Generator, options: TrainOptions, start: Path | None, folder: Path | None) -> Encoder:
    """Return a new encoder, with the weights of the one in `start` where they have the same parts.

    Raises:
        ParamsError: the other one has another trunk, no head of this one, or one with other options.
    """
    encoder = Encoder(options.encoder, generator, folder, options.seed)
    if start is None:
        return encoder
    given, wanted = load_encoder(start, generator, folder), options.encoder
    # Heads may be added, and the space grow with them: a base code on top of rows, for example. A frozen backbone may
    # be tuned from now on.
    grown = dataclasses.replace(
        given.spec, space=wanted.space, heads=wanted.heads, descriptor=wanted.descriptor, pixels=wanted.pixels
    )
    tuned = dataclasses.replace(grown, backbone=wanted.backbone)
    same = grown == wanted or (tuned == wanted and encoder.backbone.frozen_as == given.spec.backbone)
    shared = given.spec.heads.keys() & wanted.heads.keys()
    if not same or not shared or any(wanted.heads[name] != given.spec.heads[name] for name in shared):
        raise ParamsError(f"{start} holds another encoder ({given.spec}), wanted {wanted}, or some of its heads")
    if left_out := sorted(given.spec.heads.keys() - shared):
        log.info("%s: heads left out: %s", start, ", ".join(left_out))
    encoder.load_state_dict(given.state_dict(), strict=False)
    return encoder


def _check_losses(encoder: Encoder, options: TrainOptions, spaces: Sequence[Space]) -> None:
    """Refuse losses of something that this encoder does not predict.

    Raises:
        ParamsError: a loss has nothing to act on.
        UnsupportedError: photographs are to be reconstructed by an encoder that predicts no rows, or rows cannot learn.
    """
    # Only the heads know what they predict: they run once, in eval mode, which leaves BN's statistics alone.
    blank = {side: encoder.w_avg.new_zeros(1, c, side, side) for side, c in encoder.taps.items()}
    with torch.no_grad():
        predicted = set(encoder.eval().predict(blank))
    predicted |= {name for head in options.encoder.heads for name in HEADS[head].trained_by}
    rows, feature = "ws" in predicted, any(name[0] == "f" for name in predicted)
    latent_adversary = options.adversary is not None and options.adversary.kind == "latent"
    for name, wanted, there in (
        ("latent", bool(options.latent), rows),
        ("feature", bool(options.feature), feature),
        ("own_feature", bool(options.own_feature), feature and rows),
        *((f"regularise: {name}", True, PART_OF[name] in predicted) for name in options.regularise),
        ("adversary", latent_adversary, rows),
        ("fade", options.fade > 0, feature),
    ):
        if wanted and not there:
            raise ParamsError(f"{name}: this encoder predicts only {', '.join(sorted(predicted))}")
    for space in spaces:
        if rows and space.direction_space == "z":
            raise UnsupportedError(
                f"encoder: space {space.name!r}: its z are searched for, so that no gradient reaches the rows; "
                "train in wplus or fs16/wplus, and use the encoder in any space"
            )
    if options.draws and not rows and options.data.photos and options.objective_on != "samples":
        raise UnsupportedError("an encoder without rows is compared on samples only: objective_on: samples")


def _trained_draft(options: TrainOptions, data: Data, encoder: Encoder, work: Path, folder: Path | None) -> Draft:
    """Return the draft network of samples and predictions, trained once and kept in the work folder."""
    pairs, draft = DraftData(data, encoder, options.draft_photos, work), Draft(data.generator)
    name = f"{generator_key(data.generator)}-{data.options.px}-{pairs.samples}-{data.options.psi:g}-"
    name += f"{data.options.cutoff}{pairs.name}"
    more = {term.loss: term.weight for term in options.objective if term.loss in _DRAFT_LOSSES}
    name += "".join(f"-{loss}-{weight:g}" for loss, weight in more.items())
    path = work / "drafts" / f"{name}.safetensors"
    if not path.exists():
        pairs.draw()
        epochs = max(2, math.ceil(_DRAFT_SEEN / pairs.count))
        draft.train_(
            data.generator, pairs.ws_of, pairs.pictures_of, pairs.count, folder=folder, more=more, epochs=epochs
        )
        draft.save(path)
    return Draft.load(path, data.generator).eval().requires_grad_(False)
