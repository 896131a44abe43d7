"""Which parts of a photograph the rows of ws draw, and which a feature map has to: SAM's masks (Parmar et al. 2022).

The stage before has a code of rows. Every segment of the face is left to it if it is near enough there, otherwise to
the coarsest feature map that brings it near enough (their section 3.2). What comes out is a code with masks and no
differences yet; the stage behind optimises both together.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganvert.base.errors import ParamsError
from ganvert.faces.parsing import find_segments, load_parser
from ganvert.generators.base import Generator
from ganvert.images import area_resize, as_rgb, to_pil
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep, join, part_of
from ganvert.inversion.methods.optimise import optimise
from ganvert.inversion.methods.optimise_options import OptimiseOptions
from ganvert.inversion.objective import Term
from ganvert.inversion.preview import Preview
from ganvert.inversion.schedule import check_ramps
from ganvert.losses.lpips import load_lpips
from ganvert.spaces import Variables, check_space, make_space, to_device
from ganvert.spaces.masked import Masked

__all__ = [
    "AssignOptions",
    "Trials",
    "assign",
    "choose",
    "mask_of",
    "masked_space",
    "mean_over",
    "segments_of",
    "with_masks",
]

_MAP_PX = 256  # side of the maps of LPIPS


@dataclasses.dataclass(frozen=True, kw_only=True)
class AssignOptions:
    """params.yaml: invert.options.NAME with ``inverter: assign`` (a stage between two others).

    Attributes:
        space: of the code that comes out, ``mSIZE-SIZE/SPACE``.
        threshold: LPIPS on VGG16 at 256 px, averaged over a segment, up to which it is near enough. With 0 all
            segments go to the finest map, with infinity none goes to any.
        trial_steps: of the inversion by one feature map and the rows behind it, from the code before, that shows how
            near the map brings each segment. No trial is made of the finest map, nor once every segment is assigned.
        lr: Adam's rate in a trial at full height.
        ramp_up, ramp_down: see :class:`ganvert.inversion.methods.optimise_options.OptimiseOptions`.
        preview_steps, preview_px: of a trial; see there.
        objective: of a trial.
    """

    space: str
    threshold: float = 0.225  # of their release; its sweeps go from 0.1 to 0.4
    trial_steps: int
    lr: float
    ramp_up: float = 0.0
    ramp_down: float = 0.0
    preview_steps: int = 0
    preview_px: int = 128
    objective: tuple[Term, ...]
    needs_encoder: ClassVar[bool] = False
    parses: ClassVar[bool] = True  # faces, by face parsing
    noise: ClassVar[str] = "previous"  # maps that the stage before found stay with the code

    def __post_init__(self) -> None:
        check_space(self.space)
        if not self.space.startswith("m") or "/" not in self.space:
            raise ParamsError(f"assign: space: wanted mSIZE-SIZE/SPACE such as m16-128/wplus, got {self.space}")
        if not self.threshold >= 0:
            raise ParamsError(f"assign: threshold: wanted 0 or more, got {self.threshold}")
        if self.trial_steps < 1 or self.lr <= 0 or not self.objective:
            raise ParamsError("assign: trial_steps must be at least 1, lr above 0, and objective not empty")
        check_ramps(self)
        if not 0 <= self.preview_steps <= self.trial_steps:
            raise ParamsError(
                f"assign: preview_steps must be between 0 and trial_steps ({self.trial_steps}), "
                f"got {self.preview_steps}"
            )

    @property
    def steps(self) -> int:
        """Steps of all trials at most."""
        smallest, largest = map(int, self.space.partition("/")[0].removeprefix("m").split("-"))
        return max(1, self.trial_steps * int(math.log2(max(largest / smallest, 1))))

    @property
    def terms(self) -> tuple[Term, ...]:
        """Terms of the objective."""
        return tuple(self.objective)

    def trial(self, size: int) -> OptimiseOptions:
        """Return the options of the inversion by the feature map of `size` px."""
        return OptimiseOptions(
            space=f"f{size}/wplus",
            init="previous",
            steps=self.trial_steps,
            lr=self.lr,
            ramp_up=self.ramp_up,
            ramp_down=self.ramp_down,
            preview_steps=self.preview_steps,
            preview_px=self.preview_px,
            objective=self.objective,
        )

    def check(self, generator: Generator) -> None:
        """Raise UnsupportedError where the generator has no feature maps of these sizes, or none for a preview."""
        make_space(self.space, generator)
        if self.preview_steps:
            Preview(generator, self.preview_px)


def assign(batch: Batch, context: Context, options: AssignOptions, on_step: OnStep | None = None) -> Inversion:
    """Choose the masks of every photograph; none influences another.

    Args:
        batch: the photographs, and the stage that found their codes of rows.
        context: generator and asset folder (LPIPS, face parsing).
        options: the preset.
        on_step: called with the objectives after every step of a trial.

    Returns:
        Codes with masks, zero differences, and the rows of the start (the nearest in SPACE). The trace is that of the
        trials, one after the other.

    Raises:
        ParamsError: there is no earlier stage, or it has tuned the generator.
        UnsupportedError: its codes have no ws.
        AssetError: an asset is missing.
    """
    options.check(context.generator)
    start = batch.require_start()
    if start.weights:
        raise ParamsError("assign: the stage before has tuned the generator; tuning comes last")
    reports = [part_of(on_step, i, 1, len(batch)) for i in range(len(batch))]
    one_by_one = (batch.select(i).to(context.device) for i in range(len(batch)))
    return join([_assign(one, context, options, report) for one, report in zip(one_by_one, reports, strict=True)])


def _assign(one: Batch, context: Context, options: AssignOptions, on_step: OnStep | None) -> Inversion:
    trials = Trials(one, context, options, on_step)
    segments = list(segments_of(one, context).values())
    sizes = masked_space(context, options).sizes
    chosen = choose(trials.maps(sizes[:-1]), segments, options.threshold, len(sizes))
    if on_step is not None:
        on_step(options.steps, options.steps, torch.zeros(1))
    return dataclasses.replace(with_masks(one, context, options, segments, chosen), trace=trials.trace)


def masked_space(context: Context, options: AssignOptions) -> Masked:
    """Return the space of the codes that come out."""
    space = make_space(options.space, context.generator)
    assert isinstance(space, Masked)
    return space


def segments_of(one: Batch, context: Context) -> dict[str, np.ndarray]:
    """Return what face parsing finds on the one photograph of a batch: name to bool [H, H], together all pixels.

    Raises:
        AssetError: the asset is missing.
    """
    labels = load_parser(context.folder).labels(to_pil(one.targets)[0])
    return find_segments(labels)


def with_masks(
    one: Batch, context: Context, options: AssignOptions, segments: Sequence[np.ndarray], chosen: Sequence[int]
) -> Inversion:
    """Return the start of a batch of one photograph as a code with masks, and no differences under them yet.

    Args:
        one: the photograph with its code of rows.
        context: its generator.
        options: the preset.
        segments: of the photograph.
        chosen: layer of each segment: 0 for the rows alone, k for the k-th feature map from the coarsest.

    Raises:
        UnsupportedError: the code has no ws.
    """
    start, space = one.require_start(), masked_space(context, options)
    ws = make_space(start.space, context.generator).to_ws(to_device(start.variables, context.device))
    variables = space.start(ws, one.seeds)
    for layer, size in enumerate(space.sizes, start=1):
        parts = [segment for segment, of in zip(segments, chosen, strict=True) if of == layer]
        if parts:
            variables[f"m{size}"] = mask_of(parts, size).to(ws)
    variables = {name: value.cpu() for name, value in variables.items()}
    return dataclasses.replace(start, space=options.space, variables=variables)


def choose(maps: Iterator[Tensor], segments: Sequence[np.ndarray], threshold: float, last: int) -> list[int]:
    """Return for each segment the first layer in which its mean distance is at most `threshold`, otherwise `last`.

    Args:
        maps: distances [1, 1, h, h] of the layers, from the one that is easiest to edit on; not read further than is
            necessary.
        segments: bool [H, H] each; every one has a pixel.
        threshold: inclusive.
        last: of the layers; it has no map.
    """
    chosen = [last] * len(segments)
    open_ = set(range(len(segments)))
    for layer, distances in enumerate(maps):
        for i in sorted(open_):
            if mean_over(segments[i], distances) <= threshold:
                chosen[i] = layer
        open_ = {i for i in open_ if chosen[i] == last}
        if not open_:
            break
    return chosen


def mean_over(segment: np.ndarray, distances: Tensor) -> float:
    """Return the mean of distances [1, 1, h, h] over a segment, bool [H, H]; border pixels count in part."""
    weights = area_resize(torch.from_numpy(segment)[None, None].to(distances), distances.shape[-1])
    return float((weights * distances).sum() / weights.sum())


def mask_of(segments: Sequence[np.ndarray], size: int) -> Tensor:
    """Return the union of segments, bool [H, H] each, as a mask [1, 1, size, size] in [0, 1], resized by Lanczos."""
    union = Image.fromarray(np.any(segments, axis=0).astype(np.uint8) * 255)
    resized = np.asarray(union.resize((size, size), Image.Resampling.LANCZOS), dtype=np.float32) / 255
    return torch.from_numpy(resized.copy())[None, None]


class Trials:
    """The maps of one photograph, each made when it is asked for.

    Attributes:
        trace: [1, steps] objective of every step; nan where none was taken.
    """

    def __init__(self, one: Batch, context: Context, options: AssignOptions, on_step: OnStep | None = None) -> None:
        self._one, self._context, self._options, self._on_step = one, context, options, on_step
        self.trace = torch.full((1, options.steps), math.nan)
        self._lpips = load_lpips("vgg", context.folder, context.device)
        self._px = min(_MAP_PX, context.generator.resolution)
        with torch.no_grad():
            self._target = self._lpips.features(area_resize(as_rgb(one.targets), self._px))

    def maps(self, sizes: Sequence[int]) -> Iterator[Tensor]:
        """Yield LPIPS's maps [1, 1, h, h] of the start, and of the inversion by the feature map of each size."""
        start = self._one.require_start()
        yield self._map(start.space, to_device(start.variables, self._context.device))
        for number, size in enumerate(sizes):
            steps = self._options.trial_steps
            report = part_of(self._on_step, number * steps, steps, self._options.steps)
            done = optimise(self._one, self._context, self._options.trial(size), report)
            self.trace[:, number * steps : (number + 1) * steps] = done.trace
            if done.status == ["ok"]:
                yield self._map(done.space, to_device(done.variables, self._context.device))
            else:  # this layer is no place for anything
                yield torch.full((1, 1, self._px, self._px), math.inf)

    @torch.no_grad()
    def _map(self, space: str, variables: Variables) -> Tensor:
        generator = self._context.generator
        synthesis_input = make_space(space, generator).decode(variables)
        if noise := self._one.require_start().noise:  # a trial draws with them too
            synthesis_input = dataclasses.replace(synthesis_input, noise=[value.to(self._target[0]) for value in noise])
        drawn = generator.synthesize(synthesis_input, px=self._px)
        return self._lpips.maps(area_resize(as_rgb(drawn), self._px), self._target)
