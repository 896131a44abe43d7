"""Style mixing: which rows move, and what stays the content's."""

from __future__ import annotations

import pytest
import torch

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.codes import Code
from ganvert.compute.random import normal
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import make_edit
from ganvert.editing.edits.mix import Mix
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import make_space


def code_in(name: str, generator: MobileStyleGAN, seed: int) -> Code:
    space = make_space(name, generator)
    return Code(image_id=f"{seed}", method="mine", bind=lambda: space, variables=space.from_random([seed]))


def test_the_last_four_rows_are_the_reference_s(tiny_generator: MobileStyleGAN) -> None:
    content, style = (code_in("wplus", tiny_generator, seed) for seed in (1, 2))
    mixed = Mix().apply(EditInputs(code=content, references=[style]), 1.0).ws
    expected = torch.cat([content.variables["ws"][:, :4], style.variables["ws"][:, 4:]], dim=1)  # of 8 rows
    assert torch.equal(mixed, expected)
    half = make_edit("mix", {"first_row": 2, "last_row": 4}).apply(EditInputs(code=content, references=[style]), 0.5).ws
    expected = content.variables["ws"].clone()
    expected[:, 2:4] = (expected[:, 2:4] + style.variables["ws"][:, 2:4]) / 2
    torch.testing.assert_close(half, expected)


@pytest.mark.parametrize("name", ["w", "wplus", "z", "s", "zplus", "f16/wplus"])
def test_all_rows_are_the_style(name: str, tiny_generator: MobileStyleGAN) -> None:
    """To the bit, but for a feature map, which stays the content's."""
    content, style = (code_in(name, tiny_generator, seed) for seed in (1, 2))
    drawn = Mix(first_row=0).apply(EditInputs(code=content, references=[style]), 1.0)
    wanted = style.synthesis_input({**style.variables, **{k: v for k, v in content.variables.items() if k == "f"}})
    assert torch.equal(tiny_generator.synthesize(drawn), tiny_generator.synthesize(wanted))


def test_styles_mix_as_the_rows_that_they_read(tiny_generator: MobileStyleGAN) -> None:
    content, style = (code_in("wplus", tiny_generator, seed) for seed in (1, 2))
    space = make_space("s", tiny_generator)
    as_styles = [
        Code(image_id=c.image_id, method="mine", bind=lambda: space, variables=space.from_ws(c.variables["ws"]))
        for c in (content, style)
    ]
    rows, styles = (
        tiny_generator.synthesize(Mix(first_row=3).apply(EditInputs(code=a, references=[b]), 1.0))
        for a, b in ((content, style), as_styles)
    )
    torch.testing.assert_close(rows, styles, rtol=1e-5, atol=1e-5)


def test_noise_maps_stay_the_content_s(tiny_generator: MobileStyleGAN) -> None:
    space = make_space("wplus", tiny_generator)
    maps = [normal([3], (1, *shape)) for shape in tiny_generator.noise_shapes]
    content = Code(image_id="1", method="m", bind=lambda: space, variables=space.from_random([1]), noise=maps)
    drawn = Mix().apply(EditInputs(code=content, references=[code_in("wplus", tiny_generator, 2)]), 1.0)
    assert all(map(torch.equal, drawn.noise, maps))


def test_rows_that_there_are_not(tiny_generator: MobileStyleGAN) -> None:
    for first, last in ((8, None), (0, 9), (-9, None), (3, 3), (-2, -4)):
        with pytest.raises(ParamsError, match="wanted some of the generator's rows 0:8"):
            Mix(first_row=first, last_row=last).check_space(make_space("wplus", tiny_generator), [])
    space = make_space("f16/wplus", tiny_generator)
    with pytest.raises(UnsupportedError, match="the feature map of f16/wplus codes takes their place"):
        Mix(first_row=0, last_row=1).check_space(space, [])
