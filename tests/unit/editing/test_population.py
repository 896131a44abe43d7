"""Percentiles of the samples: the edited code lies there, whatever its space; what has none is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.codes import Code
from ganvert.compute.random import normal
from ganvert.directions import Direction
from ganvert.editing import population
from ganvert.editing.amounts import Percentile, amount_text, read_amount
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import EDITS
from ganvert.editing.population import Population
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import make_space

ROWS = (2, 6)


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population, "SAMPLES", 700)


def code_in(name: str, generator: MobileStyleGAN) -> Code:
    space = make_space(name, generator)
    variables = {key: value + 0.1 * torch.randn_like(value) for key, value in space.from_random([99_999]).items()}
    return Code(image_id="a", method="mine", bind=lambda: space, variables=variables)


def direction_of(space: str) -> Direction:
    shape = {"w": (16,), "wplus": (4, 16), "s": (48,)}[space]
    vector = np.random.default_rng(0).normal(size=shape)
    return Direction("smile", space, "mine", vector / np.linalg.norm(vector), 0.7, *ROWS)  # type: ignore[arg-type]


def samples_of(generator: MobileStyleGAN) -> torch.Tensor:
    return generator.map_to_w(normal(range(700), (16,))).double()


@pytest.mark.parametrize("name", ["w", "wplus", "pn", "f16/wplus", "pad/wplus"])
@pytest.mark.parametrize("kind", ["w", "wplus"])
def test_the_edited_code_lies_at_the_percentile(name: str, kind: str, tiny_generator: MobileStyleGAN) -> None:
    code, direction = code_in(name, tiny_generator), direction_of(kind)
    people = Population(tiny_generator)
    amount = people.amount(Percentile(90), direction, code)
    drawn = EDITS["shift"].apply(EditInputs(code=code, directions=[(direction, 1.0)]), amount)
    first = max(ROWS[0], code.space.first_coded)  # rows behind a feature map have no place among samples
    vectors = np.broadcast_to(direction.vector, (4, 16))[first - ROWS[0] :]
    place = float((drawn.ws[0, first : ROWS[1]].double().numpy() * vectors).sum())  # type: ignore[index]
    samples = samples_of(tiny_generator).numpy() @ vectors.sum(axis=0)
    assert np.mean(samples < place) == pytest.approx(0.9, abs=0.01)
    wanted = (place - samples.mean()) / samples.std()
    assert people.sigmas(direction, code, amount) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("name", ["z", "wplus", "s", "f16/wplus"])
def test_styles_have_percentiles_of_codes_of_every_space(name: str, tiny_generator: MobileStyleGAN) -> None:
    slots = [slot for slot in tiny_generator.style_layout if ROWS[0] <= slot.row < ROWS[1]]
    vector = np.zeros(sum(slot.width for slot in slots))
    vector[-3] = 1.0
    direction = Direction("smile", "s", "stylespace", vector, 0.7, *ROWS)
    code = code_in(name, tiny_generator)
    amount = Population(tiny_generator).amount(Percentile(25), direction, code)
    drawn = EDITS["shift"].apply(EditInputs(code=code, directions=[(direction, 1.0)]), amount)
    value = float(tiny_generator.resolve_styles(drawn)[slots[-1].name][0, -3])
    ws = samples_of(tiny_generator).float()[:, None].expand(-1, 8, -1)
    samples = tiny_generator.styles(ws)[slots[-1].name][:, -3].numpy()
    assert np.mean(samples < value) == pytest.approx(0.25, abs=0.01)


def test_codes_without_a_coordinate_are_refused(tiny_generator: MobileStyleGAN) -> None:
    people, amount = Population(tiny_generator), Percentile(90)
    on_sphere = Direction("smile", "z", "mine", np.eye(16)[0], 1.0, 0, 8)
    code = code_in("zplus", tiny_generator)
    with pytest.raises(UnsupportedError, match="zplus codes move on spheres"):
        people.amount(amount, on_sphere, code)
    assert people.sigmas(on_sphere, code, 1.0) is None
    with pytest.raises(UnsupportedError, match="s codes have no rows that direction 'smile' of w"):
        people.amount(amount, direction_of("w"), code_in("s", tiny_generator))
    assert people.amount(1.5, on_sphere, code) == 1.5  # a number needs no samples


def test_amounts_are_numbers_and_percentiles() -> None:
    amounts = [read_amount(value) for value in (2, "-1.5", "p90", "p2.5", "p0", "p100")]
    assert amounts == [2.0, -1.5, Percentile(90), Percentile(2.5), Percentile(0), Percentile(100)]
    assert [amount_text(amount) for amount in amounts[:4]] == ["+2", "-1.5", "p90", "p2.5"]


@pytest.mark.parametrize("value", ["p101", "p-1", "p", "q90", "90%", "pnan", "nan", "pinf", ""])
def test_what_is_no_amount(value: str) -> None:
    with pytest.raises(ParamsError, match="amount"):
        read_amount(value)


def test_samples_are_measured_once_along_a_direction(
    tiny_generator: MobileStyleGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is made anew each time, as those on other rows are; others have their own."""
    people, code = Population(tiny_generator), code_in("wplus", tiny_generator)
    measured = list[Direction]()
    measure = people._measured
    monkeypatch.setattr(
        people, "_measured", lambda space, direction: measured.append(direction) or measure(space, direction)
    )
    first, again = (people.sigmas(direction_of("w"), code, 1.0) for _ in range(2))
    assert first == again and len(measured) == 1
    other = dataclasses.replace(direction_of("w"), first_row=0)
    assert people.sigmas(other, code, 1.0) != first and len(measured) == 2
