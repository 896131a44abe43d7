"""Training an encoder of any kind: what is compared with what stands in the options, not here.

A killed run goes on from its last checkpoint to the weights that an uninterrupted one ends with.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.base.seeds import item_seed
from ganvert.compute.progress import progress
from ganvert.compute.random import normal
from ganvert.discriminators import Discriminator
from ganvert.encoders import Encoder, Prediction, load_encoder
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.images import area_resize, as_rgb
from ganvert.inversion.contract import Batch, Context
from ganvert.inversion.objective import Objective
from ganvert.sampling import prior_of
from ganvert.spaces import Space, make_space
from ganvert.spaces.feature import point_of_size
from ganvert.training.adversary import Adversary
from ganvert.training.checkpoint import Checkpoint
from ganvert.training.data import Data, Item, Photos
from ganvert.training.distributed import share, sum_gradients, synchronised, world
from ganvert.training.draft import Draft
from ganvert.training.ema import Ema
from ganvert.training.optimisers import learning_rate, make_optimiser, set_learning_rate
from ganvert.training.options import TrainOptions
from ganvert.training.regularisers import REGULARISERS
from ganvert.training.validation import validate

__all__ = ["Trained", "train"]

log = logging.getLogger(__name__)

#: Samples that a stand-in for the generator learns from, at most.
_DRAFTED = 2900


@dataclasses.dataclass
class Trained:
    """What training leaves behind.

    Attributes:
        encoder: in eval mode, with the running mean of the weights if one was kept.
        records: one per step: step, every part of the loss, total, and the gradient's norm.
        validation: one per look at the held-out photographs: step, mse_256, lpips_alex_256.
        sheet: photographs above their reconstructions after the last step; None without photographs.
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

    Under ``torchrun`` every process takes its share of each batch; the result is that of one process.

    Args:
        generator: frozen, on its device.
        options: see there.
        work: folder for drawn samples, cached features and checkpoints; a run with the same options goes on from it.
        start: weights to go on from; None starts from scratch.
        photos: aligned photographs; needed where the options want a share of them, and for validation.
        folder: the asset folder.
        discriminator: the checkpoint's own; an adversary of pictures starts from it.

    Raises:
        ParamsError, InputError, UnsupportedError: the options want what this generator, or these photographs, lack.
    """
    run = _Run(generator, options, work, start, photos, folder, discriminator)
    todo = range(run.done, options.steps)
    for step in progress(todo, len(todo), "training the encoder"):
        run.step(step)
        last = step + 1 == options.steps
        if last or (options.validate_every and (step + 1) % options.validate_every == 0):
            run.look(step + 1)
        if run.world.is_main and (last or (step + 1) % options.checkpoint_every == 0):
            run.save()
    if not todo:  # finished before: only the picture is missing
        run.look(options.steps)
    return run.result()


class _Run:
    """One training on its way."""

    def __init__(
        self,
        generator: Generator,
        options: TrainOptions,
        work: Path,
        start: Path | None,
        photos: Photos | None,
        folder: Path | None,
        discriminator: Discriminator | None,
    ) -> None:
        self.generator, self.options, self.folder = generator.requires_grad_(False), options, folder
        self.device, self.world = generator.w_avg.device, world()
        self.encoder = _start(generator, options, start, folder)
        began = self.encoder.fingerprint()
        synchronised(self.encoder, self.world)
        self.space = make_space(options.encoder.space, generator)
        self.also = make_space(options.also, generator) if options.also else None
        self.context = Context(generator=generator, folder=folder)
        _check(self.encoder, options)
        if not self.world.is_main:  # one process draws; the others find it done
            self.world.wait()
        self.data = Data(generator, self.encoder, options.data, photos, options.seed, work)
        first = options.first_step
        self.data.prepare(range(first, first + options.steps), options.batch)
        self.draft = _draft(self.data, work, folder) if options.picture == "draft" else None
        if self.world.is_main:
            self.world.wait()
        self.parameters = [p for p in self.encoder.parameters() if p.requires_grad]
        self.optimiser = make_optimiser(self.parameters, options.optimiser)
        self.ema = Ema(self.encoder, options.ema)
        self.adversary = (
            Adversary(options.adversary, generator, discriminator, options.seed) if options.adversary else None
        )
        self.spread = _spread(generator) if options.latent else None
        self.strength: dict[str, Tensor] = {}
        self.records: list[dict[str, float]] = []
        self.validation: list[dict[str, float]] = []
        self.sheet: Image.Image | None = None
        seen = photos.fingerprint() if photos and options.data.photos else ""
        self.checkpoint = Checkpoint(work / "checkpoints", generator, options, began, seen)
        self.checkpoint.restore(self)
        if self.done:
            log.info("going on from %s at step %d", self.checkpoint.path, self.done)

    @property
    def done(self) -> int:
        """Steps of this run that are behind it."""
        return len(self.records)

    def step(self, step: int) -> None:
        """One update of the encoder, and of the discriminator if there is one."""
        options = self.options
        number = options.first_step + step
        items = self.data.items(number, options.batch)
        counts = {kind: sum(item.kind == kind for item in items) for kind in ("sample", "photo")}
        mine = share(items, self.world)
        set_learning_rate(self.optimiser, learning_rate(step, options.steps, options.optimiser))
        torch.manual_seed(item_seed("train_encoder", options.seed, number, self.world.rank))  # dropout only
        self.encoder.train()
        self.encoder.at_step(number)
        self.optimiser.zero_grad(set_to_none=True)
        seen, target = self._pictures(mine)
        record: dict[str, float] = {}
        fake: list[Tensor] = []
        before: Prediction | None = None
        for _ in range(options.encoder.passes):
            prediction = self._predict(mine, seen, before)
            parts, drawn = self._parts(mine, prediction, target, number)
            total = torch.zeros((), device=self.device)
            for weight, value, on in parts.values():
                total = total + _mean(weight * value, on, counts)
            if total.requires_grad:  # a step, or a process's share of it, may have nothing to compare
                total.backward()
            for name, (_, value, on) in parts.items():
                record[name] = float(_mean(value.detach(), on, counts))
            record["total"] = float(total.detach())
            before = {name: value.detach() for name, value in prediction.items()}
            if self.adversary:
                fake.append(drawn.detach() if self.adversary.of_pictures else before["ws"])
        sum_gradients(self.parameters, self.world)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, options.clip or float("inf"))
        self.optimiser.step()
        self.ema.update()
        if self.adversary:
            real = torch.cat([target] * options.encoder.passes) if self.adversary.of_pictures else None
            record["discriminator"] = self.adversary.update(real, torch.cat(fake), number)
        self.records.append({"step": float(number), **self.world.sum(record), "gradient": float(norm)})

    def _pictures(self, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
        """What the encoder sees and what its pictures are compared with; left out (zero) where nobody looks."""
        options, px = self.options, self.options.data.px
        compared = bool(options.objective) or (self.adversary is not None and self.adversary.of_pictures)
        fresh = [i for i, item in enumerate(items) if not self.data.keeps(item)]
        kept = [i for i in self._about(items) if compared and self.data.keeps(items[i])]
        seen = torch.zeros(len(items), 3, px, px, device=self.device)
        target = torch.zeros_like(seen)
        for places, spoilt in ((fresh, True), (kept, False)):
            if places:
                some = self.data.pictures([items[i] for i in places], spoilt=spoilt)
                seen[places], target[places] = some[0].to(self.device), some[1].to(self.device)
        return seen, target

    def _about(self, items: Sequence[Item]) -> list[int]:
        """The places of those items whose pictures are drawn and compared."""
        return [i for i, item in enumerate(items) if self.options.objective_on in ("all", f"{item.kind}s")]

    def _predict(self, items: Sequence[Item], seen: Tensor, before: Prediction | None) -> Prediction:
        """What the encoder says, in one pass or the next one of several."""
        encoder = self.encoder
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            if encoder.spec.passes > 1:
                small = area_resize(seen, encoder.input_px)
                prediction = encoder.correct(small, before or encoder.mean(len(items)))
            else:
                prediction = encoder.predict(self.data.taps(items, seen))
        return {name: value.float() for name, value in prediction.items()}

    def _parts(
        self, items: Sequence[Item], prediction: Prediction, target: Tensor, number: int
    ) -> tuple[dict[str, tuple[float, Tensor, str]], Tensor]:
        """Every part of the loss as (weight, one number per picture it is about, kind of picture); what was drawn."""
        options = self.options
        parts: dict[str, tuple[float, Tensor, str]] = {}
        samples = [i for i, item in enumerate(items) if item.kind == "sample"]
        truth = self.data.ws_of([items[i].index for i in samples]) if samples else None
        if options.latent and truth is not None:
            assert self.spread is not None
            error = ((prediction["ws"][samples] - truth) / self.spread).square().mean(dim=(1, 2))
            parts["latent"] = (options.latent, error, "sample")
        features = {name: value for name, value in prediction.items() if name[0] == "f"}
        if options.feature and truth is not None:
            for name, value in features.items():
                own = self._feature(truth, name)
                if name not in self.strength:
                    many = self._feature(self.data.ws_of(range(32)), name)
                    self.strength[name] = many.square().mean()
                error = (value[samples] - own).square().mean(dim=(1, 2, 3)) / self.strength[name]
                parts[f"feature {name}"] = (options.feature, error, "sample")
        for name, weight in options.regularise.items():
            parts[name] = (weight, REGULARISERS[name](prediction, self.generator.w_avg), "all")
        if options.own_feature:
            for name, value in features.items():
                own = self._feature(prediction["ws"].detach(), name)
                parts[f"own {name}"] = (options.own_feature, (value - own).square().mean(dim=(1, 2, 3)), "all")
        judged = self.adversary is not None
        drawn, on = target[:0], {"all": "all", "samples": "sample", "photos": "photo"}[options.objective_on]
        if options.objective or (judged and self.adversary.of_pictures):  # type: ignore[union-attr]
            about = self._about(items)
            if about:
                drawn = self._drawn(items, prediction, about, number, self.space)
                compared = Objective(
                    options.objective,
                    Batch(targets=target[about], seeds=[0] * len(about)),
                    self.context,
                    drawn.shape[-1],
                )
                if options.objective:
                    parts["picture"] = (1.0, compared(drawn), on)
                if self.also is not None:
                    plain = self._drawn(items, prediction, about, number, self.also)
                    parts[f"picture in {self.also.name}"] = (1.0, compared(plain), on)
        if self.adversary:
            told, whose = (drawn, on) if self.adversary.of_pictures else (prediction["ws"], "all")
            parts["adversary"] = (self.adversary.options.weight, self.adversary.generator_loss(told), whose)
        return parts, drawn

    def _drawn(
        self, items: Sequence[Item], prediction: Prediction, about: Sequence[int], number: int, space: Space
    ) -> Tensor:
        """The pictures [N, 3, r, r] of a prediction, in full or as drafts, with gradients."""
        chosen = {name: value[list(about)] for name, value in prediction.items()}
        if "ws" not in chosen:  # a base code alone: the rows behind it are the sample's own (BDInvert)
            chosen["ws"] = self.data.ws_of([items[i].index for i in about])
        fade = min(1.0, (number + 1) / self.options.fade) if self.options.fade else 1.0
        if fade < 1:
            for name in [name for name in chosen if name[0] == "f"]:
                chosen[name] = torch.lerp(self._feature(chosen["ws"], name), chosen[name], fade)
        variables = space.adopt(chosen, [0] * len(about))
        told = space.decode(variables)
        if self.draft:
            return self.draft.draw(self.generator, told)
        return as_rgb(self.generator.synthesize(told))

    def _feature(self, ws: Tensor, name: str) -> Tensor:
        """The generator's own feature "fSIZE" of ws."""
        point = point_of_size(self.generator, int(name[1:])).name
        return self.generator.features(SynthesisInput(ws=ws), [point])[point]

    def look(self, step: int) -> None:
        """Reconstruct the held-out photographs."""
        held_out = self.data.held_out
        if held_out is None or not len(held_out.ids) or not self.world.is_main:
            return
        with self.ema.applied():
            record, self.sheet = validate(self.encoder, held_out, self.folder)
        number = float(self.options.first_step + step)
        if not self.validation or self.validation[-1]["step"] != number:
            self.validation.append({"step": number, **record})
            log.info("step %d, %d held-out photographs: %s", step, len(held_out.ids), record)

    def save(self) -> None:
        """Write a checkpoint."""
        self.checkpoint.save(self)

    def result(self) -> Trained:
        """The finished encoder."""
        with self.ema.applied():
            state = {name: value.detach().clone() for name, value in self.encoder.state_dict().items()}
        self.encoder.load_state_dict(state)
        return Trained(self.encoder.eval(), self.records, self.validation, self.sheet)


def _mean(values: Tensor, on: str, counts: dict[str, int]) -> Tensor:
    """The sum over this process's pictures, over the number of such pictures in the whole batch."""
    count = sum(counts.values()) if on == "all" else counts[on]
    return values.sum() / max(count, 1)


def _start(generator: Generator, options: TrainOptions, start: Path | None, folder: Path | None) -> Encoder:
    """A new encoder, with the weights of another one where it has the same parts.

    Raises:
        ParamsError: the other one has parts that this one lacks.
    """
    encoder = Encoder(options.encoder, generator, folder, options.seed)
    if start is None:
        return encoder
    given, wanted = load_encoder(start, generator, folder), options.encoder
    same = dataclasses.replace(given.spec, space=wanted.space, heads=wanted.heads) == wanted
    if not same or any(wanted.heads.get(name) != head for name, head in given.spec.heads.items()):
        raise ParamsError(f"{start} holds another encoder ({given.spec}), wanted {wanted}, or some of its heads")
    encoder.load_state_dict(given.state_dict(), strict=False)
    return encoder


def _check(encoder: Encoder, options: TrainOptions) -> None:
    """Refuse parts of the loss that are of something which this encoder does not say.

    Raises:
        ParamsError: a part has nothing to act on.
        UnsupportedError: pictures of photographs are wanted of an encoder that says no rows.
    """
    nothing = {side: encoder.w_avg.new_zeros(1, c, side, side) for side, c in encoder.backbone.taps.items()}
    with torch.no_grad():
        says = set(encoder.eval().say(nothing))
    of_features = any(name[0] == "f" for name in says)
    wants = {
        "latent": (bool(options.latent), "ws" in says),
        "feature": (bool(options.feature), of_features),
        "own_feature": (bool(options.own_feature), of_features and "ws" in says),
        "regularise": (bool(options.regularise), "ws" in says),
        "adversary": (options.adversary is not None and options.adversary.kind == "latent", "ws" in says),
        "fade": (options.fade > 0, of_features),
    }
    for name, (wanted, there) in wants.items():
        if wanted and not there:
            raise ParamsError(f"{name}: this encoder says {', '.join(sorted(says))} alone")
    drawn = options.objective or (options.adversary is not None and options.adversary.kind == "picture")
    if drawn and "ws" not in says and options.data.photos and options.objective_on != "samples":
        raise UnsupportedError("an encoder without rows is compared on samples only: objective_on: samples")


def _draft(data: Data, work: Path, folder: Path | None) -> Draft:
    """The stand-in for the generator's pictures, trained on the samples; kept in the work folder."""
    if data.store is None:
        raise ParamsError("picture: draft learns from samples that are kept: give data.samples")
    draft, count = Draft(data.generator), min(data.options.samples, _DRAFTED)
    name = f"{prior_of(data.generator)}-{data.options.px}-{count}-{data.options.psi:g}-{data.options.cutoff}"
    path = work / "drafts" / f"{name}.safetensors"
    if not path.exists():
        data.store.fill(range(count))
        draft.train_(data.generator, data.ws_of, data.store.get, count, folder=folder)
        draft.save(path)
    return Draft.load(path, data.generator).eval().requires_grad_(False)


@torch.no_grad()
def _spread(generator: Generator) -> Tensor:
    """Standard deviation of every coordinate of w over 4096 samples, floored at a hundredth of the largest.

    Returns:
        [w_dim]; [num_ws, w_dim] where rows differ.
    """
    z = normal(range(4096), (generator.z_dim,)).to(generator.w_avg)
    spread = torch.cat([generator.map_to_w(part) for part in z.split(1024)]).std(dim=0)
    return spread.clamp_min(float(spread.max()) / 100)
