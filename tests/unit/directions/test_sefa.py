"""SeFa: a known matrix, which layers count, and the change of styles that is largest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ganvert.base.errors import ParamsError
from ganvert.directions.base import FinderInputs, Rows, Samples
from ganvert.directions.sefa import SefaOptions, factorise, find_sefa, style_matrix
from ganvert.generators import load_generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints" / "C2_genforce_stylegan2_64.pth"


def test_eigenvectors_of_a_known_matrix() -> None:
    # Rows of length 1 after normalising: three along x, one along y, none along z; their gains do not matter.
    matrix = np.array([[5.0, 0, 0], [-0.1, 0, 0], [2, 0, 0], [0, 100, 0], [0, 0, 0]])
    vectors, eigenvalues = factorise(matrix)
    assert eigenvalues == pytest.approx([3, 1, 0], abs=1e-12)
    assert vectors == pytest.approx(np.eye(3), abs=1e-12)


def test_the_matrix_is_the_change_of_styles(tiny_generator: MobileStyleGAN) -> None:
    generator = torch.Generator().manual_seed(1)
    start, change = torch.randn(2, tiny_generator.w_dim, generator=generator)
    rows = tiny_generator.num_ws
    before, after = (tiny_generator.styles(w.expand(1, rows, -1)) for w in (start, start + change))
    # Rows 1 and 2 hold no colours; the last row ends with the colours of the picture.
    for first, last in [(1, 3), (rows - 1, rows)]:
        names = [slot.name for slot in tiny_generator.style_layout if first <= slot.row < last]
        wanted = torch.cat([after[name] - before[name] for name in names], dim=1)[0]
        got = style_matrix(tiny_generator, first, last) @ change.double().numpy()
        assert got == pytest.approx(wanted.numpy(), abs=1e-5)


def test_colours_before_the_last_ones_do_not_count() -> None:
    generator = load_generator(GOLDEN)
    inner = [slot for slot in generator.style_layout if slot.to_rgb][:-1]
    assert inner
    total = sum(slot.width for slot in generator.style_layout) - sum(slot.width for slot in inner)
    assert len(style_matrix(generator, 0, generator.num_ws)) == total


def test_no_other_direction_changes_the_styles_more(tiny_generator: MobileStyleGAN) -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=(50, tiny_generator.w_dim))
    inputs = FinderInputs(samples=Samples(z=w, w=w, scores={}, num_ws=8), generator=tiny_generator)
    options = SefaOptions(components=2, groups={"mid": Rows(first_row=2, last_row=5)})
    first, second = find_sefa(inputs, options)
    assert [first.name, second.name] == options.names() == ["sefa_mid_0", "sefa_mid_1"]
    assert (first.first_row, first.last_row) == (2, 5)
    matrix = style_matrix(tiny_generator, 2, 5)
    normed = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    most = np.linalg.norm(normed @ first.vector)
    others = rng.normal(size=(tiny_generator.w_dim, 200))
    assert (np.linalg.norm(normed @ (others / np.linalg.norm(others, axis=0)), axis=0) < most).all()
    assert np.linalg.norm(normed @ second.vector) < most and abs(first.vector @ second.vector) < 1e-12


def test_impossible_requests_are_refused(tiny_generator: MobileStyleGAN) -> None:
    w = np.eye(16)
    inputs = FinderInputs(samples=Samples(z=w, w=w, scores={}, num_ws=8), generator=tiny_generator)
    with pytest.raises(ParamsError, match="at most 16"):
        find_sefa(inputs, SefaOptions(components=17))
    with pytest.raises(ParamsError, match="sefa eyes: rows"):
        find_sefa(inputs, SefaOptions(groups={"eyes": Rows(last_row=99)}))
    with pytest.raises(ParamsError, match="at least 1"):
        SefaOptions(components=0)
    with pytest.raises(ParamsError, match="range of rows"):
        SefaOptions(groups={})
