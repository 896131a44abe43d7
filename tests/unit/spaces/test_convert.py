"""Which spaces convert to which, and that the picture stays."""

from __future__ import annotations

import copy

import pytest
import torch

from ganvert.base.errors import UnsupportedError
from ganvert.generators import Generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import make_space
from ganvert.spaces.convert import convert

CHAIN = ["z", "w", "wplus", "s"]
EXACT = [
    *[(one, other) for i, one in enumerate(CHAIN) for other in CHAIN[i + 1 :]],
    ("z_psi", "w"),
    ("zplus", "wplus"),
    ("zplus_psi", "s"),
    ("w", "pn"),
    ("pn", "w"),
    ("wplus", "pnplus"),
    ("pnplus", "wplus"),
    ("z", "pnplus"),
    ("wplus", "f16/wplus"),
    ("w", "f16/s"),
    ("pn", "f8/w"),
    ("zplus", "pad/wplus"),
    ("z", "pad/w"),
]


@pytest.mark.parametrize(("one", "other"), EXACT)
def test_a_conversion_draws_the_same_picture(one: str, other: str, tiny_generator: MobileStyleGAN) -> None:
    source, target = make_space(one, tiny_generator), make_space(other, tiny_generator)
    codes = source.from_random([1, 2])
    found = convert(codes, source, target)
    target.check(found)
    before, after = (tiny_generator.synthesize(told) for told in (source.decode(codes), target.decode(found)))
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["z", "s", "zplusplus", "f16/zplus", "pad/wplus"])
def test_a_space_converts_to_itself(name: str, tiny_generator: MobileStyleGAN) -> None:
    space = make_space(name, tiny_generator)
    codes = space.from_random([1])
    found = convert(codes, space, space)
    assert all(torch.equal(found[key], codes[key]) for key in space.shapes)
    assert all(found[key].data_ptr() != codes[key].data_ptr() for key in space.shapes)


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("w", "z", "w to z: .*the mapping has no inverse"),
        ("wplus", "f16/zplus", "no inverse"),
        ("s", "w", "rows of ws differ|has no ws"),
        ("s", "wplus", "affine layers have no inverse"),
        ("zplusplus", "wplus", "slots that read one row"),
        ("f16/wplus", "wplus", "f cannot be said in ws"),
        ("f16/wplus", "f16/s", "f cannot be said in ws"),
        ("pad/wplus", "wplus", "const, pad.conv1"),
        ("wplus", "w", "rows of ws differ in wplus"),
        ("zplus", "pn", "rows of ws differ in zplus"),
        ("wplus", "f16/w", "rows of ws differ in wplus"),
    ],
)
def test_what_has_no_conversion(one: str, other: str, why: str, tiny_generator: MobileStyleGAN) -> None:
    source, target = make_space(one, tiny_generator), make_space(other, tiny_generator)
    with pytest.raises(UnsupportedError, match=why):
        convert(source.from_random([1]), source, target)


def test_rows_that_differ_leave_w(any_generator: Generator) -> None:
    """A Z code is one w for all rows, but where the mapping network or truncation tells rows apart."""
    w = make_space("w", any_generator)
    for name, tied in (("z", not any_generator.rows_differ), ("z_psi", any_generator.num_ws <= 8)):
        z = make_space(name, any_generator)
        codes = z.from_random([1])
        if tied:
            torch.testing.assert_close(w.to_ws(convert(codes, z, w)), z.to_ws(codes))
        else:
            assert not torch.allclose(z.to_ws(codes), z.to_ws(codes)[:, :1])
            with pytest.raises(UnsupportedError, match="rows of ws differ"):
                convert(codes, z, w)


def test_codes_of_another_generator(tiny_generator: MobileStyleGAN) -> None:
    source, target = make_space("w", tiny_generator), make_space("wplus", copy.deepcopy(tiny_generator))
    with pytest.raises(UnsupportedError, match="different generators"):
        convert(source.from_random([1]), source, target)
