"""StyleSpace: single channels of S that change one thing (Wu, Lischinski and Shechtman 2021, arXiv 2011.12799).

S is what the affine layers make of w, a number for each channel of each layer. An edit moves one channel by its
standard deviation over the samples. Which channel belongs to an attribute is found from pictures that have it (their
section 5): the channels whose values lie far from the mean of all samples, and near each other. Where a channel acts
is found by gradients (their section 4): its share of the squared derivatives of the picture within each part of the
face. Colour channels (toRGB) are left out, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.base.seeds import item_seed
from ganvert.codes import Code
from ganvert.directions.base import Direction, FinderInputs
from ganvert.directions.face_parts import PARTS, label_samples, parts_of
from ganvert.generators.base import Generator, StyleSlot
from ganvert.images import area_resize
from ganvert.spaces import slots_of

__all__ = ["Channel", "ChannelAttribute", "Channels", "StyleSpaceOptions", "find_stylespace", "relevance"]

_CHUNK = 500  # samples whose styles are computed at once
FEWEST = 10  # samples that have an attribute; the paper needs 10 to 30 exemplars
_PX = 64  # side of the pictures whose derivatives are taken; the authors' maps have 32


@dataclass(frozen=True, kw_only=True)
class ChannelAttribute:
    """One attribute: a score column of the samples of the same name, or photographs that have it.

    Attributes:
        photographs: file names or image ids of photographs that have the attribute, two or more, whose codes are those
            of the method `codes`; none for the samples that score highest.
        low: whether samples that score lowest have it, such as closed eyes by ``eyes_open``.
        region: the part of the face where its channels act; None for anywhere.
    """

    photographs: tuple[str, ...] = ()
    low: bool = False
    region: str | None = None

    def __post_init__(self) -> None:
        if len(self.photographs) == 1:
            raise ParamsError("photographs: wanted two or more, what one of them has may be chance")
        if self.region is not None:
            lookup(dict.fromkeys(PARTS), self.region, "part of a face")


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A channel that is known before: the name of its style (`Generator.style_layout`), its number, and its sign."""

    slot: str
    channel: int
    flip: bool = False


@dataclass(frozen=True, kw_only=True)
class StyleSpaceOptions:
    """params.yaml: discover.methods.stylespace.

    Attributes:
        attributes: what to find channels of; they become ``stylespace_NAME_0`` (most relevant) and on.
        regions: parts of the face whose channels are found without an attribute: those that act there alone and most.
        channels: a name for each channel that is known before.
        components: how many channels for each attribute and region.
        share: of the scored samples that have an attribute; at least 10.
        codes: the method whose codes of photographs are exemplars; empty without photographs.
        images: samples whose derivatives are taken.
        probes: random sums of pixels for each sample and part, whose derivatives are squared.
        least_share: the least share of a channel's squared derivatives within its part of the face.
        least_lead: how much of it more than within any other part.
    """

    attributes: dict[str, ChannelAttribute] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    channels: dict[str, Channel] = field(default_factory=dict)
    components: int = 3
    share: float = 0.05
    codes: str = ""
    images: int = 6
    probes: int = 2
    least_share: float = 0.5
    least_lead: float = 0.25

    def __post_init__(self) -> None:
        if not (self.attributes or self.regions or self.channels):
            raise ParamsError("attributes, regions and channels: wanted at least one, such as smile: {}")
        for region in self.regions:
            lookup(dict.fromkeys(PARTS), region, "part of a face")
        for name in ("components", "images", "probes"):
            if getattr(self, name) < 1:
                raise ParamsError(f"{name}: wanted at least 1, got {getattr(self, name)}")
        for name in ("share", "least_share", "least_lead"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParamsError(f"{name}: wanted 0 to 1, got {getattr(self, name)}")
        names = self.names()
        if twice := [name for name in names if names.count(name) > 1]:
            raise ParamsError(f"attributes, regions and channels: two of them are called {twice[0]!r}")
        if self.photographs and not self.codes:
            raise ParamsError("photographs: wanted the method that inverted them; name it (codes: wplus)")

    @property
    def photographs(self) -> tuple[str, ...]:
        """All exemplars, each once."""
        return tuple(dict.fromkeys(name for wanted in self.attributes.values() for name in wanted.photographs))

    @property
    def parser(self) -> bool:
        """Whether parts of faces are asked for."""
        return bool(self.regions) or any(wanted.region for wanted in self.attributes.values())

    def names(self) -> list[str]:
        """Return the names of the directions."""
        found = [f"stylespace_{name}_{k}" for name in (*self.attributes, *self.regions) for k in range(self.components)]
        return [*found, *self.channels]


@dataclass(frozen=True, eq=False)
class Channels:
    """Statistics of all channels over the samples.

    Attributes:
        slots: the styles, in execution order; channels are numbered through them.
        mean: [C].
        std: [C], unbiased.
    """

    slots: tuple[StyleSlot, ...]
    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, generator: Generator, w: np.ndarray) -> Channels:
        """Measure the channels of samples w [N, w_dim]."""
        # In two passes over chunks: the styles of all samples beside each other may be gigabytes.
        mean = np.sum([part.sum(axis=0) for part in _chunks(generator, w)], axis=0) / len(w)
        squares = np.sum([((part - mean) ** 2).sum(axis=0) for part in _chunks(generator, w)], axis=0)
        return cls(generator.style_layout, mean, np.sqrt(squares / max(len(w) - 1, 1)))

    def place(self, number: int) -> tuple[StyleSlot, int]:
        """Return the style of a channel, and its number within it."""
        for slot in self.slots:
            if number < slot.width:
                return slot, number
            number -= slot.width
        raise IndexError(number)

    def number(self, name: str, channel: int) -> int:
        """Return the number of a channel of a style.

        Raises:
            UnknownNameError, ParamsError: there is no such style or channel.
        """
        slot = lookup({slot.name: slot for slot in self.slots}, name, "style")
        if not 0 <= channel < slot.width:
            raise ParamsError(f"style {name}: wanted a channel from 0 to {slot.width - 1}, got {channel}")
        return sum(other.width for other in self.slots[: self.slots.index(slot)]) + channel

    def direction(
        self, generator: Generator, name: str, number: int, sign: float, quality: Mapping[str, Any]
    ) -> Direction:
        """Return the direction of a channel, whose unit is its standard deviation.

        Raises:
            ParamsError: the samples do not differ in the channel.
        """
        slot, channel = self.place(number)
        rows = (slot.row, slot.row + 1)
        beside = slots_of(generator, rows)
        vector = np.zeros(sum(other.width for other in beside))
        before = sum(other.width for other in beside[: beside.index(slot)])
        vector[before + channel] = -1.0 if sign < 0 else 1.0
        unit, mean = float(self.std[number]), float(self.mean[number])
        if not unit > 0:
            raise ParamsError(f"style {slot.name}: no sample differs from another in channel {channel}; choose another")
        facts = {"slot": slot.name, "channel": channel, "mean": mean, **quality}
        return Direction(name, "s", "stylespace", vector, unit, *rows, facts)


def find_stylespace(inputs: FinderInputs, options: StyleSpaceOptions) -> list[Direction]:
    """Return the channels of each attribute and region, and those that are named.

    Raises:
        ParamsError: too few samples or photographs that have an attribute, or too few channels that act in its region.
        UnknownNameError: the samples have no such score, or the generator no such style.
    """
    samples, generator = inputs.samples, inputs.generator
    assert generator is not None  # declared in the registry
    channels = Channels.of(generator, samples.w)
    named = [(name, known, channels.number(known.slot, known.channel)) for name, known in options.channels.items()]
    # Colours, and channels in which samples do not differ, belong to no attribute.
    usable = channels.std > 1e-6 * channels.std.max()
    usable &= np.repeat([not slot.to_rgb for slot in channels.slots], [slot.width for slot in channels.slots])
    differences = {
        name: _differences(name, wanted, inputs, channels, options) for name, wanted in options.attributes.items()
    }
    changes = _changes(generator, samples.w, inputs, options) if options.parser else None
    directions: list[Direction] = []
    for name, wanted in options.attributes.items():
        scores, signs = relevance(differences[name])
        figures: dict[str, Any] = {"relevance": scores, "exemplars": len(differences[name])}
        local = usable if wanted.region is None else usable & _acts_in(wanted.region, changes, options)
        order = _best(scores, local, name, options)
        directions += _found(generator, channels, name, order, signs, figures, changes)
    for region in options.regions:
        assert changes is not None
        # The root mean square change of the picture that a standard deviation of the channel makes there.
        strength = np.sqrt(changes[PARTS.index(region)]) * channels.std
        order = _best(strength, usable & _acts_in(region, changes, options), region, options)
        directions += _found(
            generator, channels, region, order, np.ones(len(strength)), {"strength": strength}, changes
        )
    for name, known, number in named:
        directions.append(channels.direction(generator, name, number, -1 if known.flip else 1, {}))
    return directions


def relevance(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much each channel belongs to what exemplars have in common, and its sign there.

    ``|mean| / std`` of the differences from the mean of all samples, in standard deviations of all (their section 5).

    Args:
        differences: [N, C], N of 2 or more.
    """
    mean, std = differences.mean(axis=0), differences.std(axis=0)
    # Values that are all the same are not a code's own, such as those of rows that a feature map hides.
    scores = np.divide(np.abs(mean), std, out=np.zeros_like(mean), where=std > 1e-9)
    return scores, np.sign(mean)


def _chunks(generator: Generator, w: np.ndarray) -> Iterable[np.ndarray]:
    for start in range(0, len(w), _CHUNK):
        part = torch.from_numpy(w[start : start + _CHUNK]).to(generator.w_avg)
        yield _flat(generator, generator.styles(part[:, None].expand(-1, generator.num_ws, -1)))


def _flat(generator: Generator, styles: Mapping[str, Tensor]) -> np.ndarray:
    return torch.cat([styles[slot.name] for slot in generator.style_layout], dim=1).double().cpu().numpy()


def _differences(
    name: str, wanted: ChannelAttribute, inputs: FinderInputs, channels: Channels, options: StyleSpaceOptions
) -> np.ndarray:
    """Return how far exemplars of an attribute lie from the mean, in standard deviations of the samples [N, C]."""
    generator = inputs.generator
    assert generator is not None
    if wanted.photographs:
        if len(inputs.photographs) != len(options.photographs):
            raise ParamsError(f"attributes.{name}.photographs: two names are of one photograph; name each once")
        # In the order of `options.photographs`, which is how they were asked for.
        ids = dict(zip(options.photographs, inputs.photographs, strict=True))
        chosen = {ids[photograph] for photograph in wanted.photographs}
        parts = [_flat(generator, _styles_of(code)) for code in inputs.codes or () if code.image_id in chosen]
        if len(parts) < 2:
            raise ParamsError(
                f"attributes.{name}: wanted codes of two photographs or more, {options.codes} has {len(parts)}"
            )
    else:
        parts = list(_chunks(generator, inputs.samples.w[_extreme(name, wanted, inputs, options)]))
    values = np.concatenate(parts)
    spread = np.where(channels.std > 0, channels.std, 1.0)
    return (values - channels.mean) / spread


def _styles_of(code: Code) -> Mapping[str, Tensor]:
    space = code.space  # bound once: a tuned generator is a whole network
    return space.generator.resolve_styles(space.decode(code.variables))


def _extreme(name: str, wanted: ChannelAttribute, inputs: FinderInputs, options: StyleSpaceOptions) -> np.ndarray:
    """Return the samples that score highest, or lowest."""
    score = lookup(inputs.samples.scores, name, "score")
    scored = np.flatnonzero(~np.isnan(score))
    order = scored[np.argsort(score[scored], kind="stable")]
    count = max(int(len(order) * options.share), FEWEST)
    # Of a score that most samples share, such as no hat, the ends are chosen by their order alone.
    if count > len(order) // 2 or score[order[0]] == score[order[-1]]:
        raise ParamsError(f"attributes.{name}: {len(order)} samples have a score, wanted {2 * FEWEST} that differ")
    return order[:count] if wanted.low else order[-count:]


def _changes(generator: Generator, w: np.ndarray, inputs: FinderInputs, options: StyleSpaceOptions) -> np.ndarray:
    """Return the mean squared derivatives of the pixels of each part with respect to each channel [PARTS, C].

    The sum over the pixels of a part is estimated without bias: the derivative of a sum of its pixels with random
    signs, squared, has this mean. It is one backward pass for all channels.
    """
    assert inputs.parser is not None  # declared in the registry
    chosen, labels = label_samples(generator, w, inputs.parser, options.images)
    px = min(_PX, generator.resolution)
    total = np.zeros((len(PARTS), sum(slot.width for slot in generator.style_layout)))
    for number, (code, of_sample) in enumerate(zip(chosen, labels, strict=True)):
        ws = torch.from_numpy(code).to(generator.w_avg).expand(1, generator.num_ws, -1)
        styles = {name: value.detach().requires_grad_() for name, value in generator.styles(ws).items()}
        with torch.enable_grad():
            picture = area_resize(generator.synthesize(styles=styles, px=px), px)
        parts = parts_of(of_sample, px)
        random = np.random.default_rng(item_seed("stylespace", number))
        for part in np.unique(parts):
            inside = np.broadcast_to(parts == part, picture.shape)
            for _ in range(options.probes):
                signs = torch.from_numpy(random.choice([-1.0, 1.0], size=inside.shape) * inside).to(picture)
                found = torch.autograd.grad(picture, list(styles.values()), signs, retain_graph=True)
                square = _flat(generator, dict(zip(styles, found, strict=True)))[0] ** 2
                total[part] += square / (options.probes * options.images * picture[0].numel())
    return total


def _acts_in(region: str, changes: np.ndarray | None, options: StyleSpaceOptions) -> np.ndarray:
    """Return which channels act in one part of the face alone [C]."""
    assert changes is not None
    shares = _shares(changes)
    own = shares[PARTS.index(region)]
    others = np.delete(shares, PARTS.index(region), axis=0).max(axis=0)
    return (own >= options.least_share) & (own - others >= options.least_lead)


def _shares(changes: np.ndarray) -> np.ndarray:
    total = changes.sum(axis=0)
    return np.divide(changes, total, out=np.zeros_like(changes), where=total > 0)


def _best(scores: np.ndarray, allowed: np.ndarray, name: str, options: StyleSpaceOptions) -> Sequence[int]:
    """Return the channels with the highest scores among those that are allowed."""
    if allowed.sum() < options.components:
        raise ParamsError(
            f"stylespace {name}: {int(allowed.sum())} channels act there alone, wanted {options.components}; "
            "lower components, least_share or least_lead"
        )
    order = np.argsort(-np.where(allowed, scores, -np.inf), kind="stable")
    return [int(number) for number in order[: options.components]]


def _found(
    generator: Generator,
    channels: Channels,
    name: str,
    order: Sequence[int],
    signs: np.ndarray,
    figures: Mapping[str, Any],
    changes: np.ndarray | None,
) -> Iterable[Direction]:
    """Yield the directions of some channels with their figures."""
    shares = None if changes is None else _shares(changes)
    for k, number in enumerate(order):
        quality = {
            key: float(value[number]) if isinstance(value, np.ndarray) else value for key, value in figures.items()
        }
        if shares is not None:
            part = int(shares[:, number].argmax())
            quality |= {"region": PARTS[part], "region_share": float(shares[part, number])}
        yield channels.direction(generator, f"stylespace_{name}_{k}", number, float(signs[number]), quality)
