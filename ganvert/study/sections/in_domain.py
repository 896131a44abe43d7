"""Whether codes lie where the generator's own do (IDInvert, Zhu et al. 2020, supplement, sections 3, 4 and 6).

Two photographs are interpolated, the middle of one is diffused into the other, and codes move along directions. The
paper shows pictures. Here each is asked for whose face it is, whether it is one, and how far the pictures of all
photographs lie from samples of the generator, by a Fréchet distance on VGG16 at every variant and amount.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ganvert.base.errors import ParamsError, UnknownNameError
from ganvert.directions import Direction, choose
from ganvert.editing.contract import EditInputs, check_amount
from ganvert.editing.edits import Diffuse, Interpolate
from ganvert.editing.edits.shift import Shift
from ganvert.images import from_pil
from ganvert.scoring.code_metrics import features_of_samples
from ganvert.scoring.frechet import frechet_shares, vgg16_features
from ganvert.study.sections.base import Finished, Piece, Row, SectionOptions, Subject, Tools, number
from ganvert.study.sections.drawn import (
    Drawn,
    Wanted,
    attributes_of,
    draw_all,
    face_found,
    identities_of,
    no_partner,
)

__all__ = ["INTERPOLATION", "MOVED", "RECONSTRUCTION", "InDomainOptions", "finish_in_domain", "measure_in_domain"]

RECONSTRUCTION, INTERPOLATION, DIFFUSION = "reconstruction", "interpolation", "diffusion"
#: How far an edit moves the score of its direction's name, the way it was asked to.
MOVED = "moved"
_FEWEST = 3  # photographs of a Fréchet distance


@dataclass(frozen=True, kw_only=True)
class InDomainOptions(SectionOptions):
    """params.yaml: study.sections.in_domain.

    Attributes:
        amounts: of interpolation, between 0 (the photograph) and 1 (its partner).
        diffusion: whether to invert, with the method's own steps, the middle of the photograph on its partner.
        crop: side of that middle [px of a crop of 256 px].
        attributes: InterFaceGAN directions of the table of directions; each is scored by the attribute of its name.
        most: how far codes move along them, to either side.
        samples: of the generator, with which pictures are compared; 0 for no Fréchet distance.
    """

    amounts: tuple[float, ...] = (0.25, 0.5, 0.75)
    diffusion: bool = True
    crop: int = Diffuse.crop
    attributes: tuple[str, ...] = ("smile", "age", "eyes_open")
    most: float = 2.0
    samples: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        if bad := [amount for amount in self.amounts if not 0 < amount < 1]:
            raise ParamsError(f"amounts: wanted numbers between 0 and 1, got {bad[0]:g}")
        check_amount(self.most)
        if self.most <= 0 or self.samples < 0 or self.samples == 1:
            raise ParamsError(
                f"most and samples: wanted more than 0, and 0 or 2 and more, got {self.most:g}, {self.samples}"
            )
        Diffuse(crop=self.crop)


def measure_in_domain(subject: Subject, tools: Tools, options: InDomainOptions) -> Piece:
    """Return identity, face and features of a photograph's interpolations, diffusion and edits."""
    directions = {name: _direction(subject, tools, name) for name in options.attributes}
    drawn, rows = draw_all([*_of_two(subject, tools, options), *_moved(subject, directions, options)])
    rows += [no_partner(INTERPOLATION)] if subject.partner is None else []
    rows += [number(name, 0.0, "direction", None, "no_direction") for name, found in directions.items() if not found]
    drawn = {(RECONSTRUCTION, 0.0): subject.reconstruction, **drawn}
    alone = replace(subject, partner=None)
    start = attributes_of(subject.reconstruction, tools)
    for at, picture in drawn.items():
        variant, amount = at
        attributes = attributes_of(picture, tools)
        rows += face_found(at, attributes)
        rows += identities_of(at, picture, subject if variant in (INTERPOLATION, DIFFUSION) else alone, tools)
        if variant in attributes:
            before, after = start[variant], attributes[variant]
            there = before is not None and after is not None
            change = (after - before) * (1 if amount > 0 else -1) if there else None  # type: ignore[operator]
            rows.append(number(variant, amount, MOVED, change, "ok" if there else "not_detected"))
    features = {}
    if options.samples:
        features = {at: vgg16_features(from_pil([picture]), tools.assets)[0] for at, picture in drawn.items()}
    return Piece(rows, _shown(subject, drawn), features)


def finish_in_domain(finished: Finished, tools: Tools, options: InDomainOptions) -> list[Row]:
    """Return each photograph's share of the Fréchet distance of pictures to samples (:func:`frechet_shares`).

    The mean of the shares over the photographs is the distance of a method's pictures of one variant and amount.
    """
    groups: dict[tuple[str, int, str, float], dict[str, Tensor]] = {}
    for row in finished.features:
        group = row["method"], row["seed"], row["variant"], row["amount"]
        groups.setdefault(group, {})[row["image_id"]] = torch.tensor(row["features"], dtype=torch.float64)
    if not any(len(of_images) >= _FEWEST for of_images in groups.values()):
        return []
    samples = features_of_samples(tools.generator, range(options.samples), tools.assets)
    name = f"frechet_vgg16_{options.samples}"
    made: list[Row] = []
    for (method, seed, variant, amount), of_images in groups.items():
        if len(of_images) < _FEWEST:
            continue
        shares = frechet_shares(torch.stack(list(of_images.values())), samples).tolist()
        for image_id, share in zip(of_images, shares, strict=True):
            key = {"image_id": image_id, "method": method, "seed": seed}
            made.append({**key, **number(variant, amount, name, share)})
    return made


def _of_two(subject: Subject, tools: Tools, options: InDomainOptions) -> Iterator[Wanted]:
    """Yield the pictures of a photograph and its partner."""
    other = subject.partner
    if other is None:
        return
    for amount in options.amounts:
        inputs = EditInputs(code=subject.code, references=[other.code])
        yield Wanted(variant=INTERPOLATION, amount=amount, edit=Interpolate(), inputs=inputs)
    if options.diffusion:
        inputs = EditInputs(
            code=other.code,
            references=[subject.code],
            picture=other.crop,
            reference_pictures=[subject.crop],
            preset=subject.cell.preset,
            context=tools.context(subject.cell),
        )
        yield Wanted(variant=DIFFUSION, amount=1.0, edit=Diffuse(crop=options.crop), inputs=inputs)


def _moved(subject: Subject, directions: Mapping[str, Direction | None], options: InDomainOptions) -> Iterator[Wanted]:
    """Yield the pictures of a code that moves along directions."""
    for name, direction in directions.items():
        for amount in (-options.most, options.most) if direction else ():
            assert direction is not None
            inputs = EditInputs(code=subject.code, directions=[(direction, 1.0)])
            yield Wanted(variant=name, amount=amount, edit=Shift(), inputs=inputs)


def _direction(subject: Subject, tools: Tools, name: str) -> Direction | None:
    try:
        return choose(tools.directions, name, subject.code.space.direction_space)
    except UnknownNameError:
        return None


def _shown(subject: Subject, drawn: Drawn) -> Drawn:
    """Return the pictures for the page: both photographs first, and what was drawn between them."""
    if subject.partner is None:
        return drawn
    return {("photograph", 0.0): subject.crop, ("partner", 0.0): subject.partner.crop, **drawn}
