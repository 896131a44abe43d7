"""Training an encoder on generator samples: latent, pixel and LPIPS losses; killed runs resume to the same weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ganvert.encoders import ENCODERS, Encoder, load_encoder
from ganvert.errors import ParamsError
from ganvert.files import atomic_path, code_version, open_memmap
from ganvert.generators import read_weights
from ganvert.generators.base import Generator
from ganvert.images import area_resize, as_rgb
from ganvert.losses import LOSSES
from ganvert.registry import lookup
from ganvert.runtime import progress
from ganvert.samples import PictureStore, prior_of, ws_of
from ganvert.seeds import item_seed, normal

__all__ = ["TrainOptions", "train"]

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """params.yaml: train_encoder.

    Attributes:
        encoder: kind (``ganvert.encoders.ENCODERS``).
        start: weights to go on from; None starts from scratch.
        steps: optimiser steps of this run.
        batch: samples a step.
        lr: Adam learning rate, falling along a cosine to a tenth.
        weight_decay: decoupled.
        samples: seeds 0 .. samples - 1 are the training set.
        first_step: steps already behind the start weights; decides which samples come next.
        seed: order of the samples, dropout, and weights from scratch.
        latent, pixel, lpips: loss weights. Latent is the squared error of ws over the variance of w; pixel (MSE) and
            LPIPS-alex compare the picture drawn from the predicted code with the sample at 256 px.
        checkpoint_every: steps between checkpoints in the work folder.
    """

    encoder: str = "compact"
    start: str | None = None
    steps: int
    batch: int
    lr: float
    weight_decay: float = 0.0
    samples: int
    first_step: int = 0
    seed: int = 0
    latent: float = 1.0
    pixel: float = 0.0
    lpips: float = 0.0
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        lookup(ENCODERS, self.encoder, "encoder")
        if min(self.steps, self.batch, self.samples, self.checkpoint_every) < 1 or self.lr <= 0:
            raise ParamsError("steps, batch, samples, checkpoint_every and lr must be above 0")
        if self.batch > self.samples:
            raise ParamsError(f"batch ({self.batch}) must not exceed samples ({self.samples})")
        if self.latent <= 0 and self.pixel <= 0 and self.lpips <= 0:
            raise ParamsError("one of latent, pixel and lpips must be above 0")


def train(
    generator: Generator,
    options: TrainOptions,
    work: Path,
    *,
    folder: Path | None = None,
) -> tuple[Encoder, list[dict[str, float]]]:
    """Train an encoder.

    Args:
        generator: frozen, on its device.
        options: see there.
        work: folder for drawn samples, cached features and checkpoints; a run with the same options goes on from it.
        folder: the asset folder.

    Returns:
        The encoder, and one record per step: step, latent, pixel, lpips, total.
    """
    pictures = options.pixel > 0 or options.lpips > 0
    encoder = _start(generator, options, folder)
    device = generator.w_avg.device
    encoder.to(device).train()
    seeds_of = _Order(options)
    needed = sorted({seed for step in range(options.steps) for seed in seeds_of(step)})
    store = PictureStore(generator, work / "samples", options.samples, Encoder.input_px)
    store.fill(needed)
    features = _FeatureCache(encoder, store, work / "features", options.samples)
    features.fill(needed)
    if options.start is None:
        encoder.calibrate_(features.get(needed[:64]))  # type: ignore[operator]

    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    adam = torch.optim.AdamW(trained, lr=options.lr, weight_decay=options.weight_decay)
    checkpoint = _Checkpoint(work / "checkpoints", generator, options)
    records = checkpoint.restore(encoder, adam)
    spread = _spread(generator)
    pixel, lpips = LOSSES["mse"](folder, device), LOSSES["lpips_alex"](folder, device) if options.lpips > 0 else None

    for step in progress(range(len(records), options.steps), options.steps - len(records), "training the encoder"):
        seeds = seeds_of(step)
        for group in adam.param_groups:
            group["lr"] = options.lr * (0.55 + 0.45 * np.cos(np.pi * step / options.steps))
        torch.manual_seed(item_seed("train_encoder", options.seed, options.first_step + step))  # dropout only
        ws = generator.w_avg + encoder.head(features.get(seeds))
        parts = {"latent": ((ws - ws_of(generator, seeds)) / spread).square().mean(dim=(1, 2))}
        if pictures:
            image = area_resize(as_rgb(generator.synthesize(ws=ws)), Encoder.input_px)
            target = store.get(seeds).to(device)
            parts["pixel"] = pixel(image, pixel.prepare(target))
            if lpips is not None:
                parts["lpips"] = lpips(image, lpips.prepare(target))
        weights = {"latent": options.latent, "pixel": options.pixel, "lpips": options.lpips}
        total = torch.stack([weights[name] * value.mean() for name, value in parts.items()]).sum()
        adam.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        adam.step()
        record = {name: float(value.detach().mean()) for name, value in parts.items()}
        records.append({"step": float(options.first_step + step), **record, "total": float(total.detach())})
        if (step + 1) % options.checkpoint_every == 0 or step + 1 == options.steps:
            checkpoint.save(encoder, adam, records)
    return encoder.eval(), records


def _start(generator: Generator, options: TrainOptions, folder: Path | None) -> Encoder:
    if options.start is not None:
        encoder = load_encoder(Path(options.start), generator, folder)
        if encoder.kind != options.encoder:
            raise ParamsError(f"train_encoder.start: holds encoder {encoder.kind!r}, wanted {options.encoder!r}")
        return encoder.requires_grad_(True)
    encoder = lookup(ENCODERS, options.encoder, "encoder")(generator, folder)
    encoder.initialise_(options.seed)  # type: ignore[operator]
    return encoder


@torch.no_grad()
def _spread(generator: Generator) -> Tensor:
    """Standard deviation of every coordinate of w over 4096 samples, floored at a hundredth of the largest.

    Returns:
        [w_dim]; [num_ws, w_dim] where rows differ.
    """
    z = normal(range(4096), (generator.z_dim,)).to(generator.w_avg)
    spread = torch.cat([generator.map_to_w(part) for part in z.split(1024)]).std(dim=0)
    return spread.clamp_min(float(spread.max()) / 100)


class _Order:
    """Which seeds a step sees: a new permutation every epoch, decided by the step alone."""

    def __init__(self, options: TrainOptions) -> None:
        self.options = options
        self.per_epoch = options.samples // options.batch
        self._epochs: dict[int, Tensor] = {}

    def __call__(self, step: int) -> list[int]:
        epoch, place = divmod(self.options.first_step + step, self.per_epoch)
        if epoch not in self._epochs:
            source = torch.Generator().manual_seed(item_seed("order", self.options.seed, epoch))
            self._epochs[epoch] = torch.randperm(self.options.samples, generator=source)
        start = place * self.options.batch
        return self._epochs[epoch][start : start + self.options.batch].tolist()


class _FeatureCache:
    """Trunk features of samples in half precision, in one file: the trunk is frozen, so once is enough."""

    def __init__(self, encoder: Encoder, store: PictureStore, folder: Path, count: int) -> None:
        self.encoder, self.store, self.device = encoder, store, store.generator.w_avg.device
        width = encoder.trunk(torch.zeros(1, 3, encoder.input_px, encoder.input_px, device=self.device)).shape[1]
        folder.mkdir(parents=True, exist_ok=True)
        stem = folder / f"{encoder.kind}-{prior_of(store.generator)}-{count}"
        self._features = open_memmap(stem.with_suffix(".npy"), np.float16, (count, width))
        self._there = open_memmap(stem.with_suffix(".there.npy"), np.uint8, (count,))

    def fill(self, seeds: list[int], batch: int = 8) -> None:
        missing = [seed for seed in seeds if not self._there[seed]]
        batches = [missing[i : i + batch] for i in range(0, len(missing), batch)]
        for part in progress(self._compute(batches), len(batches), "features of samples"):
            self._there[part] = 1

    def _compute(self, batches: list[list[int]]) -> Iterator[list[int]]:
        for part in batches:
            with torch.no_grad():
                features = self.encoder.trunk(self.store.get(part).to(self.device))
            self._features[part] = features.cpu().numpy().astype(np.float16)
            yield part

    def get(self, seeds: list[int]) -> Tensor:
        return torch.from_numpy(np.stack([self._features[seed] for seed in seeds])).to(self.device).float()


class _Checkpoint:
    """Weights, optimiser state and records of one run, named by everything that decides its result."""

    def __init__(self, folder: Path, generator: Generator, options: TrainOptions) -> None:
        facts = {**dataclasses.asdict(options), "generator": generator.fingerprint(), "code": code_version()}
        facts |= {} if generator.label is None else {"label": generator.label}
        del facts["checkpoint_every"]
        if options.start is not None:
            facts["start"] = hashlib.sha256(Path(options.start).read_bytes()).hexdigest()
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        self.path = folder / f"{name}.safetensors"

    def save(self, encoder: Encoder, adam: torch.optim.Optimizer, records: list[dict[str, float]]) -> None:
        state = {f"model.{name}": value.detach().cpu() for name, value in encoder.trained_state().items()}
        for index, moments in adam.state_dict()["state"].items():
            state |= {f"adam.{index}.{name}": torch.as_tensor(value).cpu() for name, value in moments.items()}
        with atomic_path(self.path) as temporary:
            save_file(
                {name: value.contiguous() for name, value in state.items()}, temporary, {"records": json.dumps(records)}
            )

    def restore(self, encoder: Encoder, adam: torch.optim.Optimizer) -> list[dict[str, float]]:
        if not self.path.exists():
            return []
        state, metadata = read_weights(self.path)
        weights = {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
        encoder.load_state_dict(weights, strict=False)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name.startswith("adam."):
                _, index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = value
        adam.load_state_dict({**adam.state_dict(), "state": moments})
        records = json.loads(metadata["records"])
        log.info("going on from %s at step %d", self.path, len(records))
        return records
