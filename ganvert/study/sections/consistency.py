"""Codes as such: how far they lie from the generator's own, and whether an edit can be taken back.

- ``style_deviation``: the root mean square of a code's styles, each in standard deviations of the samples' styles from
  their mean. 1 for the generator's own codes. A code that means nothing lies further away.
- ``return_*``: the picture of an edit is inverted anew by the same method, the edit is taken back, and the picture is
  compared with the unedited reconstruction. For methods of few steps, as it inverts once more.
- ``lec``: of the same two codes of W+, the Frobenius norm of their difference (e4e's latent editing consistency).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from ganvert.base.errors import ParamsError, UnknownNameError, UnsupportedError
from ganvert.codes import Code, codes_of_inversion
from ganvert.compute.random import normal
from ganvert.directions import Direction, choose
from ganvert.editing.contract import EditInputs, check_amount
from ganvert.editing.edits.shift import Shift
from ganvert.editing.render import draw_edit
from ganvert.generators import Generator
from ganvert.images import from_pil
from ganvert.inversion.run import Crop, invert_crops
from ganvert.study.sections.base import Piece, Row, SectionOptions, Subject, Tools, number

__all__ = ["ConsistencyOptions", "measure_consistency", "style_deviation", "style_statistics"]

_SIDE = 256  # px, at which pictures there and back are compared
#: Mean and standard deviation of the samples' styles, by the name of a style slot: each [width].
Statistics = Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class ConsistencyOptions(SectionOptions):
    """params.yaml: study.sections.consistency.

    Attributes:
        attributes: directions along which edits are taken back.
        amount: of the edit; 3 in e4e's test.
        most_steps: methods of more steps are not run again on edited pictures.
        samples: of the generator, for the statistics of its styles.
    """

    attributes: tuple[str, ...] = ("age",)
    amount: float = 3.0
    most_steps: int = 1
    samples: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_amount(self.amount)
        if self.samples < 2:
            raise ParamsError(f"samples: wanted 2 or more, got {self.samples}")


def measure_consistency(subject: Subject, tools: Tools, options: ConsistencyOptions) -> Piece:
    """Return the deviation of a code's styles, and how well edits can be taken back."""
    statistics = _statistics_of(tools.generator, options.samples)
    rows = [number("", 0.0, "style_deviation", style_deviation(subject.code, statistics))]
    pictures = {}
    for name in options.attributes:
        if subject.cell.preset.steps > options.most_steps:
            rows.append(number(name, options.amount, "return_mse_256", None, "too_many_steps"))
            continue
        try:
            direction = choose(tools.directions, name, subject.code.space.direction_space)
            Shift().check_space(subject.code.space, [direction])
        except (UnknownNameError, UnsupportedError):
            rows.append(number(name, options.amount, "return_mse_256", None, "no_direction"))
            continue
        more, back = _returned(subject, tools, direction, options.amount)
        rows += more
        pictures[name, options.amount] = back
    return Piece(rows, pictures)


def style_statistics(generator: Generator, samples: int) -> Statistics:
    """Return mean and standard deviation of the styles of a generator's samples, seeds 0 and on."""
    with torch.no_grad():
        w = generator.map(normal(range(samples), (generator.z_dim,)).to(generator.w_avg))
        styles = generator.styles(w)
    return {name: (value.mean(dim=0), value.std(dim=0)) for name, value in styles.items()}


@torch.no_grad()
def style_deviation(code: Code, statistics: Statistics) -> float:
    """Return the root mean square of a code's styles in standard deviations of the samples' from their mean.

    Styles that a feature map hides do not count, nor do those that do not vary.
    """
    space = code.space
    styles = space.generator.resolve_styles(space.decode(code.variables))
    parts = []
    for slot in space.generator.style_layout:
        mean, deviation = statistics[slot.name]
        varies = deviation > 0
        if slot.row >= space.first_coded and varies.any():
            parts.append(((styles[slot.name][0] - mean) / deviation)[varies])
    return float(torch.cat(parts).double().square().mean().sqrt())


_known: dict[tuple[str, int], Statistics] = {}


def _statistics_of(generator: Generator, samples: int) -> Statistics:
    key = generator.fingerprint(), samples
    if key not in _known:
        _known[key] = style_statistics(generator, samples)
    return _known[key]


def _returned(subject: Subject, tools: Tools, direction: Direction, amount: float) -> tuple[list[Row], Image.Image]:
    """Return how a picture differs from the unedited one after an edit there and back, and that picture."""
    edit, cell = Shift(), subject.cell
    there = draw_edit(edit, EditInputs(code=subject.code, directions=[(direction, 1.0)]), amount)
    context, preset = tools.context(cell), cell.preset
    assert cell.invert is not None
    crops = [Crop(subject.image_id, there)]
    inversion = invert_crops(crops, preset, context, seed=cell.invert.seed, on_images=lambda _: None)
    code = codes_of_inversion(inversion, [subject.image_id], preset.name, tools.generator)[0]
    back = draw_edit(edit, EditInputs(code=code, directions=[(direction, 1.0)]), -amount)
    pair = from_pil([back]), from_pil([subject.reconstruction])
    key = {"variant": direction.name, "amount": amount}
    rows: list[Row] = []
    small = [measure for measure in tools.measures if measure.resolution is not None and measure.resolution <= _SIDE]
    for measure in (*small, *tools.identities):
        rows += [{**row, "metric": f"return_{row['metric']}"} for row in measure.rows([key], measure(*pair))]
    if subject.code.space.name == "wplus":
        step = torch.from_numpy(direction.step(amount)).to(code.variables["ws"])
        moved = code.variables["ws"].clone()
        moved[:, direction.first_row : direction.last_row] -= step
        distance = float((moved - subject.code.variables["ws"]).double().norm())
        rows.append(number(direction.name, amount, "lec", distance))
    return rows, back
