"""Edits within a mask: the edited feature maps inside, the code's own outside, on every architecture that has them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.codes import Code
from ganvert.directions import Direction
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import EDITS, make_edit
from ganvert.generators import Generator, load_generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import make_space

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"


def inputs_of(generator: Generator, mask: Tensor, rows: tuple[int, int], space: str = "wplus") -> EditInputs:
    made = make_space(space, generator)
    variables = {name: value.clone() for name, value in made.from_random([1]).items()}
    code = Code(image_id="a", method="mine", bind=lambda: made, variables=variables)
    vector = np.random.default_rng(0).normal(size=generator.w_dim)
    direction = Direction("smile", "w", "mine", vector / np.linalg.norm(vector), 2.0, *rows)
    return EditInputs(code=code, directions=[(direction, 1.0)], mask=mask)


def synthesise(edit: str, inputs: EditInputs, amount: float = 2.0, **options: object) -> Tensor:
    drawn = make_edit(edit, options).apply(inputs, amount)
    return inputs.code.space.generator.synthesize(drawn)


def left(px: int) -> Tensor:
    mask = torch.zeros(1, 1, px, px)
    mask[..., : px // 2] = 1
    return mask


@pytest.mark.parametrize("space", ["wplus", "s", "fs16/wplus", "f16/wplus", "pad/wplus"])
def test_outside_stays_and_inside_follows(space: str, tiny_generator: MobileStyleGAN) -> None:
    """Far from the border both halves are the two pictures, but for colours at the end, whose row does not move."""
    given = inputs_of(tiny_generator, left(64), (4, 7), space)
    local = synthesise("local", given, point=32, grow=0, feather=0)
    still, whole = given.code.draw(), synthesise("shift", dataclasses.replace(given, mask=None))
    change = (whole - still).abs().mean()
    assert (local - still)[..., 48:].abs().max() < 1e-4 * change
    # What the left half of a map draws after convolutions that see the right half is not quite the edit's.
    assert (local - whole)[..., :16].abs().mean() < 0.5 * (whole - still)[..., :16].abs().mean()


@pytest.mark.parametrize("name", ["B1_rosinality_w64_map8.pt", "C1_genforce_stylegan1_64.pth", "A4_ada_resnet.pkl"])
def test_a_whole_mask_is_the_edit(name: str) -> None:
    """With colours that do not move: the last maps are all the edited ones, and coarser colours are added to them."""
    generator = load_generator(GOLDEN / name)
    given = inputs_of(generator, torch.ones(1, 1, generator.resolution, generator.resolution), (0, 3))
    local = make_edit("local", {"point": 8}).apply(given, 2.0)
    moved = EDITS["shift"].apply(dataclasses.replace(given, mask=None), 2.0)
    points = [point.name for point in generator.feature_points if point.shape[1] >= 8]
    both = [generator.features(drawn, points) for drawn in (local, moved)]
    for point in points:
        torch.testing.assert_close(both[0][point], both[1][point], atol=1e-3, rtol=1e-3)


def test_a_style_comes_to_its_side_alone(tiny_generator: MobileStyleGAN) -> None:
    """The rows move no colours at the end, so that a whole mask is the mix everywhere."""
    given = inputs_of(tiny_generator, left(64), (0, 8))
    made = given.code.space
    style = dataclasses.replace(given.code, variables=made.from_random([2]))
    given = dataclasses.replace(given, directions=(), references=[style])
    options = {"first_row": 3, "last_row": 7}
    still, mixed = given.code.draw(), synthesise("mix", dataclasses.replace(given, mask=None), 1.0, **options)
    local = synthesise("local_mix", given, 1.0, **options)
    change = (mixed - still).abs()
    assert (local - still)[..., 48:].abs().max() < 1e-4 * change.mean()
    assert (local - mixed)[..., :16].abs().mean() < 0.5 * change[..., :16].mean()
    whole = synthesise("local_mix", dataclasses.replace(given, mask=torch.ones(1, 1, 64, 64)), 1.0, **options)
    torch.testing.assert_close(whole, mixed, atol=1e-3, rtol=1e-3)


def test_an_empty_mask_is_the_reconstruction(tiny_generator: MobileStyleGAN) -> None:
    given = inputs_of(tiny_generator, torch.zeros(1, 1, 64, 64), (0, 8))
    torch.testing.assert_close(synthesise("local", given), given.code.draw())


def test_masks_grow_and_have_soft_edges(tiny_generator: MobileStyleGAN) -> None:
    given = inputs_of(tiny_generator, left(64), (4, 5))
    hard, grown, soft = (
        make_edit("local", {"point": 32, "grow": grow, "feather": feather}).apply(given, 1.0).masks["x32"][0, 0, 8]  # type: ignore[index]
        for grow, feather in ((0, 0), (0.125, 0), (0, 0.125))
    )
    assert hard.round().tolist() == [1.0] * 16 + [0.0] * 16
    assert grown.round().tolist() == [1.0] * 20 + [0.0] * 12
    # The edge lies outside: all of the region changes.
    assert (soft[:15] > 0.99).all() and 0.3 < float(soft[17]) < 0.7 and (soft[21:] < 0.01).all()
    assert (soft.diff() <= 1e-6).all()


def test_only_points_that_the_direction_reaches_are_blended(tiny_generator: MobileStyleGAN) -> None:
    for rows, blended in (((0, 2), ["x16"]), ((0, 8), ["x16", "x32"]), ((6, 7), ["x32"]), ((7, 8), [])):
        given = inputs_of(tiny_generator, left(64), rows)
        drawn = make_edit("local", {"point": 16}).apply(given, 1.0)
        assert list(drawn.deltas or {}) == blended


def test_what_cannot_be_done_is_refused(tiny_generator: MobileStyleGAN) -> None:
    for point in (12, 128):
        with pytest.raises(UnsupportedError, match=f"point {point}: mobile_stylegan has no such feature map; it has"):
            make_edit("local", {"point": point}).check_space(make_space("wplus", tiny_generator), [])
    with pytest.raises(UnsupportedError, match="f16/wplus codes have a feature map in its place; wanted 16 or more"):
        make_edit("local", {"point": 8}).check_space(make_space("f16/wplus", tiny_generator), [])
    with pytest.raises(ParamsError, match=r"grow: wanted 0 to 0\.25"):
        make_edit("local", {"grow": 0.5})
