"""The images an encoder is trained on: samples drawn by seed, aligned photographs, or a mix of both.

The images of a step follow from its number and the seed, so that a resumed run sees those of an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ganvert import tables
from ganvert.base.errors import InputError
from ganvert.base.files import open_memmap
from ganvert.base.seeds import item_seed
from ganvert.compute.progress import progress
from ganvert.encoders.base import Encoder
from ganvert.generators.base import Generator
from ganvert.images import area_resize, from_bytes, from_pil, from_png, to_pil
from ganvert.sampling import PictureStore, generator_key, picture_of, ws_of
from ganvert.training.augment import Augment, augment
from ganvert.training.options import DataOptions

__all__ = ["Data", "Item", "Photos", "read_photos"]

Kind = Literal["sample", "photo"]


@dataclasses.dataclass(frozen=True)
class Item:
    """One image of a step: its kind, its seed or place, and which changed version of it."""

    kind: Kind
    index: int
    variant: int


@dataclasses.dataclass(frozen=True)
class Photos:
    """Aligned photographs in memory, uint8 [n, px, px, 3], and their ids."""

    ids: tuple[str, ...]
    pixels: np.ndarray

    def get(self, places: Sequence[int]) -> Tensor:
        """Return the photographs at `places`, float32 [N, 3, px, px] in [-1, 1]."""
        return from_bytes(self.pixels[list(places)])

    def split(self, held_out: int) -> tuple[Photos, Photos]:
        """Return those to train on, and `held_out` others: those whose ids' digests come first.

        Adding photographs changes few of the held-out ones.
        """
        # Digests, not a shuffle: whether a photograph is held out depends little on which others there are.
        digests = [hashlib.sha256(name.encode()).hexdigest() for name in self.ids]
        order = sorted(range(len(self.ids)), key=lambda place: digests[place])
        out, rest = order[:held_out], sorted(order[held_out:])
        return self._take(rest), self._take(out)

    def _take(self, places: Sequence[int]) -> Photos:
        return Photos(tuple(self.ids[place] for place in places), self.pixels[list(places)])

    def fingerprint(self) -> str:
        """Return the sha256 of the ids and pixels."""
        digest = hashlib.sha256("\n".join(self.ids).encode())
        digest.update(self.pixels.tobytes())
        return digest.hexdigest()


def read_photos(path: Path, px: int) -> Photos:
    """Read the crops of an aligned table at px x px, in the order of their ids.

    Raises:
        InputError: the table is empty.
    """
    crops: list[tuple[str, np.ndarray]] = []
    for row in tables.rows(path, tables.ALIGNED, ("image_id", "crop")):
        image = area_resize(from_pil([from_png(row["crop"])]), px)
        crops.append((row["image_id"], np.asarray(to_pil(image)[0])))
    if not crops:
        raise InputError(f"{path}: holds no aligned photographs to train on")
    crops.sort(key=lambda crop: crop[0])
    return Photos(tuple(name for name, _ in crops), np.stack([pixels for _, pixels in crops]))


class _Stream:
    """An endless sequence of places 0 .. count - 1, in a new order every epoch; with count 0 all numbers in order."""

    def __init__(self, name: str, seed: int, count: int, variants: int) -> None:
        self.name, self.seed, self.count, self.variants = name, seed, count, variants
        self._orders: dict[int, list[int]] = {}

    def __getitem__(self, position: int) -> tuple[int, int]:
        """Return the place at a position of the stream, and its variant."""
        if not self.count:
            return position, 0
        epoch, offset = divmod(position, self.count)
        if epoch not in self._orders:
            source = torch.Generator().manual_seed(item_seed("order", self.name, self.seed, epoch))
            # Only the last epoch's order is kept: positions rise, and an order follows from its epoch's number anyway.
            self._orders = {epoch: torch.randperm(self.count, generator=source).tolist()}
        return self._orders[epoch][offset], epoch % self.variants if self.variants else epoch


class Data:
    """The images of every step of a run, and the features of a frozen backbone, computed once."""

    def __init__(
        self, generator: Generator, encoder: Encoder, options: DataOptions, photos: Photos | None, seed: int, work: Path
    ) -> None:
        if options.photos and photos is None:
            raise InputError("data.photos: this training needs photographs: align some first (stage align)")
        self.generator, self.encoder, self.options, self.seed, self.work = generator, encoder, options, seed, work
        self.device = generator.w_avg.device
        self.photos: Photos | None = None
        self.held_out: Photos | None = None
        if photos:
            self.photos, self.held_out = photos.split(options.validation)
        if options.photos and (self.photos is None or not len(self.photos.ids)):
            raise InputError(
                f"data.photos: no photographs are left to train on beside the {options.validation} that are held out; "
                "add photographs, or lower data.validation"
            )
        name = f"samples-{options.psi:g}-{options.cutoff}" if options.psi != 1 else "samples"
        self.store = (
            PictureStore(generator, work / name, options.samples, options.px, self.ws_of) if options.samples else None
        )
        self._samples = _Stream("samples", seed, options.samples, options.sample_variants)
        self._photos = _Stream("photos", seed, len(self.photos.ids) if self.photos else 0, options.photo_variants)
        self._features = self._caches()

    def items(self, step: int, batch: int) -> list[Item]:
        """Return the images of a step: photographs first, as many as keep their share over the steps."""
        share = self.options.photos
        # Rounded sums, not a rounded share: with a share of 1/4 and batches of 2, half of the steps have a photograph.
        before, after = (round(share * batch * count) for count in (step, step + 1))
        photos = [Item("photo", *self._photos[position]) for position in range(before, after)]
        start = step * batch - before
        samples = [Item("sample", *self._samples[start + i]) for i in range(batch - len(photos))]
        return photos + samples

    def prepare(self, steps: Sequence[int], batch: int) -> None:
        """Draw the samples of these steps, and compute the features that are cached, with progress bars."""
        if not (self.store or self._features):
            return
        seeds: set[int] = set()
        cached: dict[Item, None] = {}  # an ordered set: long runs repeat few different items
        for item in (item for step in steps for item in self.items(step, batch)):
            if item.kind == "sample" and self.store:
                seeds.add(item.index)
            if item.kind in self._features:
                cached[item] = None
        if self.store:
            self.store.fill(sorted(seeds))
        for cache in self._features.values():
            cache.fill(list(cached))

    def _caches(self) -> dict[Kind, _FeatureCache]:
        """Return a file of features for every kind of image that has a limited number of versions."""
        spec, options = self.encoder.spec, self.options
        caches: dict[Kind, _FeatureCache] = {}
        # With several passes the backbone also sees a reconstruction, which is a new one in every step.
        if not self.encoder.backbone.frozen or spec.passes > 1:
            return caches
        if self.store and options.sample_variants:
            facts = f"{_still(options.augment)} {generator_key(self.generator)} {options.psi} {options.cutoff}"
            caches["sample"] = _FeatureCache(self, "sample", options.samples, options.sample_variants, facts)
        if self.photos and options.photos and options.photo_variants:
            facts = f"{options.augment} {self.photos.fingerprint()}"
            caches["photo"] = _FeatureCache(self, "photo", len(self.photos.ids), options.photo_variants, facts)
        return caches

    def keeps(self, item: Item) -> bool:
        """Return whether the features of this image are cached, so that the backbone does not run on it again."""
        return item.kind in self._features

    def pictures(self, items: Sequence[Item], *, spoilt: bool = True) -> tuple[Tensor, Tensor]:
        """Return the encoder's inputs and the targets of its reconstructions, [N, 3, px, px] each, in [-1, 1].

        Without `spoilt` the inputs are moved only, which is cheaper: for items whose features are cached.
        """
        plain = self._plain(items)
        options = self.options.augment
        if not (spoilt or options.degrade_target):
            options = dataclasses.replace(options, colour=0.0, grey=0.0, blur=0.0, resample=0.0, noise=0.0)
        still = _still(options)
        # With variants, an image and its variant give the seed. Without, the variant is the epoch: each visit differs.
        seeds = [item_seed("augment", self.seed, item.kind, item.index, item.variant) for item in items]
        # Samples are spoilt but never moved: the codes they were drawn from would no longer be theirs.
        seen, target = plain.clone(), plain.clone()
        for kind, changes in (("photo", options), ("sample", still)):
            places = [i for i, item in enumerate(items) if item.kind == kind]
            if places:
                changed = augment(plain[places], [seeds[i] for i in places], changes)
                seen[places], target[places] = changed[0], changed[1]
        return seen, target

    def taps(self, items: Sequence[Item], seen: Tensor) -> dict[int, Tensor]:
        """Return the backbone's feature maps of items, from the cache where there is one; `seen` are their inputs."""
        groups: dict[Kind | None, list[int]] = {}
        for i, item in enumerate(items):
            groups.setdefault(item.kind if self.keeps(item) else None, []).append(i)
        parts = []
        for kind, places in groups.items():
            if kind is not None:
                parts.append(self._features[kind].get([items[i] for i in places]))
                continue
            small = area_resize(seen[places], self.encoder.input_px).to(self.device)
            with torch.set_grad_enabled(not self.encoder.backbone.frozen):
                parts.append(self.encoder.features(small))
        # The inverse permutation, from the order of the groups back to that of the items.
        order = torch.tensor([i for places in groups.values() for i in places]).argsort().to(self.device)
        return {side: torch.cat([part[side] for part in parts])[order] for side in parts[0]}

    def ws_of(self, seeds: Sequence[int]) -> Tensor:
        """Return the ws [N, num_ws, w_dim] that samples are drawn from."""
        return ws_of(self.generator, seeds, self.options.psi, self.options.cutoff)

    def _plain(self, items: Sequence[Item]) -> Tensor:
        """Return the unchanged images, [N, 3, px, px]."""
        px = self.options.px
        plain = torch.empty(len(items), 3, px, px)
        for kind in ("photo", "sample"):
            places = [i for i, item in enumerate(items) if item.kind == kind]
            indices = [items[i].index for i in places]
            if not places:
                continue
            if kind == "photo":
                assert self.photos is not None
                plain[places] = self.photos.get(indices)
            elif self.store:
                plain[places] = self.store.get(indices)
            else:  # rounded to eight bits, as stored ones are
                plain[places] = from_pil(to_pil(picture_of(self.generator, self.ws_of(indices), px)))
        return plain


def _still(options: Augment) -> Augment:
    """Return the changes that leave every pixel where it is."""
    return dataclasses.replace(options, mirror=False, translate=0.0, rotate=0.0, scale=0.0)


class _FeatureCache:
    """Feature maps of a frozen backbone in half precision, in one file per kind of image."""

    def __init__(self, data: Data, kind: Kind, count: int, variants: int, facts: str) -> None:
        self.data, self.kind, self.variants = data, kind, variants
        encoder = data.encoder
        self.taps = encoder.taps
        seen = f"{encoder.spec.backbone} {encoder.backbone.px} {encoder.spec.descriptor} {encoder.spec.pixels}"
        seen += "".join(f" {px}" for px in encoder.image)
        facts = f"{kind} {seen} {data.options.px} {data.seed} {variants} {facts}"
        stem = data.work / "features" / f"{kind}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}-{count}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        width = sum(channels * side * side for side, channels in self.taps.items())
        # Half precision halves the file; the features are inputs of layers, not results.
        self._values = open_memmap(stem.with_suffix(".npy"), np.float16, (count * variants, width))
        self._computed = open_memmap(stem.with_suffix(".there.npy"), np.uint8, (count * variants,))

    def fill(self, items: Sequence[Item], batch: int = 8) -> None:
        """Compute the missing features of the items of this kind."""
        missing = [item for item in items if item.kind == self.kind and not self._computed[self._place(item)]]
        batches = [missing[i : i + batch] for i in range(0, len(missing), batch)]
        for places in progress(self._compute(batches), len(batches), f"features of {self.kind}s"):
            # Marked after the values are written: what a killed run left between the two is computed again.
            self._computed[places] = 1

    def _place(self, item: Item) -> int:
        return item.index * self.variants + item.variant

    @torch.no_grad()
    def _compute(self, batches: Sequence[Sequence[Item]]) -> Iterator[list[int]]:
        encoder = self.data.encoder
        for part in batches:
            seen = area_resize(self.data.pictures(part)[0], encoder.input_px).to(self.data.device)
            flat = torch.cat([value.flatten(1) for value in encoder.features(seen).values()], dim=1)
            places = [self._place(item) for item in part]
            self._values[places] = flat.cpu().numpy().astype(np.float16)
            yield places

    def get(self, items: Sequence[Item]) -> dict[int, Tensor]:
        """Return side -> [N, c, side, side], float32."""
        flat = torch.from_numpy(np.stack([self._values[self._place(item)] for item in items]))
        parts = flat.to(self.data.device).float().split([c * s * s for s, c in self.taps.items()], dim=1)
        return {s: part.unflatten(1, (c, s, s)) for (s, c), part in zip(self.taps.items(), parts, strict=True)}
