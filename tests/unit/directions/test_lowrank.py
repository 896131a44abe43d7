"""LowRankGAN: robust PCA of a planted matrix, and a linear generator on which nothing outside a region changes."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvert.base import params
from ganvert.base.errors import ParamsError
from ganvert.directions import DIRECTIONS
from ganvert.directions.base import FinderInputs, Samples
from ganvert.directions.lowrank import LowRankOptions, find_lowrank, jacobian, low_rank_part
from ganvert.faces.parsing import CLASSES

SIDE, DIM, ROWS = 8, 12, 3
BOX = (0.25, 0.5, 0.75, 1.0)


def region() -> np.ndarray:
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[4:8, 2:6] = True
    return inside.reshape(-1)


def linear_generator() -> Any:
    """A generator whose grey pictures are ``A`` times the mean row of ws, with A of rank 6 outside of the region."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(SIDE * SIDE, DIM))
    matrix[~region()] = rng.normal(size=((~region()).sum(), 6)) @ rng.normal(size=(6, DIM))
    weights = torch.from_numpy(matrix)

    def synthesize(*, ws: Tensor, px: int | None = None) -> Tensor:
        return (ws.mean(dim=1) @ weights.T).reshape(-1, 1, SIDE, SIDE).expand(-1, 3, -1, -1)

    w_avg = torch.zeros(DIM, dtype=torch.float64)
    return SimpleNamespace(num_ws=ROWS, w_dim=DIM, resolution=SIDE, w_avg=w_avg, synthesize=synthesize)


def inputs(masks: dict[str, Tensor] | None = None) -> FinderInputs:
    w = np.random.default_rng(1).normal(size=(100, DIM)) * np.linspace(2, 0.5, DIM)
    samples = Samples(z=w, w=w, scores={}, num_ws=ROWS)
    return FinderInputs(samples=samples, generator=linear_generator(), masks=masks or {})


def options(**changes: Any) -> LowRankOptions:
    raw = {"regions": {"mouth": {"box": list(BOX)}}, "px": SIDE, "dimensions": DIM, "images": 2, "sparsity": 100.0}
    return params.build(LowRankOptions, {**raw, **changes}, "lowrank")


def test_robust_pca_finds_the_planted_parts() -> None:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(60, 3))
    low, sparse = factors @ factors.T, np.zeros((60, 60))
    for i, j in rng.integers(0, 60, size=(90, 2)):
        sparse[i, j] = sparse[j, i] = 10 * rng.choice([-1, 1])
    got = low_rank_part(low + sparse, 1 / np.sqrt(60))
    assert np.linalg.norm(got - low) < 1e-5 * np.linalg.norm(low)
    assert np.linalg.matrix_rank(got, tol=1e-4) == 3
    # A sparse part that costs too much stays empty.
    assert low_rank_part(low + sparse, 100.0) == pytest.approx(low + sparse, abs=1e-5)
    assert not low_rank_part(np.zeros((4, 4)), 1.0).any()


def test_a_linear_generator_changes_nothing_outside() -> None:
    given = inputs()
    found = find_lowrank(given, options())
    assert [direction.name for direction in found] == ["lowrank_mouth_0", "lowrank_mouth_1", "lowrank_mouth_2"]
    generator, start = linear_generator(), torch.zeros(1, ROWS, DIM, dtype=torch.float64)
    for direction in found:
        moved = start.clone()
        moved[:, direction.first_row : direction.last_row] += torch.from_numpy(direction.step(2.0))
        change = (generator.synthesize(ws=moved) - generator.synthesize(ws=start))[0, 0].reshape(-1).abs().numpy()
        assert change[~region()].max() < 1e-4 < 0.5 < change[region()].max()
        length = 2 * direction.unit
        assert np.sqrt((change[region()] ** 2).mean()) == pytest.approx(length * direction.quality["inside_change"])
        assert direction.quality["outside_rank"] == 6


def test_only_the_moved_rows_count() -> None:
    generator, basis = linear_generator(), np.eye(DIM)
    steps = np.full(DIM, 0.3)
    whole, part = (jacobian(generator, np.ones(DIM), basis, steps, rows, SIDE) for rows in ((0, 3), (1, 2)))
    assert part == pytest.approx(whole / 3, abs=1e-9)
    assert whole[:, 2] == pytest.approx(generator.synthesize(ws=torch.eye(DIM).double()[2:3, None])[0, 0].reshape(-1))


def test_a_mask_is_the_same_as_its_box() -> None:
    mask = torch.from_numpy(region().reshape(1, 1, SIDE, SIDE)).float()
    masked = find_lowrank(inputs({"m.png": mask}), options(regions={"mouth": {"mask": "m.png"}}))
    for direction, other in zip(masked, find_lowrank(inputs(), options()), strict=True):
        assert direction.vector == pytest.approx(other.vector, abs=1e-12)


def test_a_part_of_the_face_is_the_same_as_its_box() -> None:
    labels = np.full((SIDE, SIDE), CLASSES.index("skin"), dtype=np.uint8)
    labels[region().reshape(SIDE, SIDE)] = CLASSES.index("u_lip")
    parser: Any = SimpleNamespace(labels=lambda image: labels)
    wanted = options(regions={"mouth": {"part": "mouth"}})
    with pytest.raises(ParamsError, match="wanted parser beside the samples"):
        DIRECTIONS["lowrank"].find(inputs(), wanted)
    given = dataclasses.replace(inputs(), parser=parser)
    found = DIRECTIONS["lowrank"].find(given, wanted)
    for direction, other in zip(found, find_lowrank(inputs(), options()), strict=True):
        assert direction.vector == pytest.approx(other.vector, abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regions": {}}, "at least one"),
        ({"regions": {"a": {}}}, "wanted one of part"),
        ({"regions": {"a": {"box": [0.5, 0, 0.4, 1]}}}, "left < right"),
        ({"regions": {"a": {"box": [0, 0, 1, 1]}}}, "inside and outside, got 64 of 64"),
        ({"regions": {"a": {"box": [0, 0, 0.01, 1]}}}, "inside and outside, got 0 of 64"),
        ({"images": 0}, "images: wanted at least 1"),
        ({"sparsity": 0.0}, "positive"),
        ({"dimensions": 13}, "at most 12"),
        ({"components": 12, "outside_rank": 12}, "fewer than the 12"),
        ({"components": 7, "outside_rank": 6, "regions": {"a": {"box": [0, 0, 0.01, 0.01]}}}, "inside and outside"),
        ({"last_row": 4}, "rows"),
    ],
)
def test_impossible_requests_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        find_lowrank(inputs(), options(**changes))


def test_a_region_that_moves_with_everything_else_is_refused() -> None:
    given = inputs()
    assert given.generator is not None
    flat = given.generator
    flat.synthesize = lambda *, ws, px=None: ws.mean(dim=(1, 2)).reshape(-1, 1, 1, 1).expand(-1, 3, SIDE, SIDE)  # type: ignore[method-assign]
    with pytest.raises(ParamsError, match="nothing that leaves the rest"):
        find_lowrank(given, options(components=1))
