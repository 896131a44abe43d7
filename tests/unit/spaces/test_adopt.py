"""What spaces make of an encoder's prediction, and the feature that directions move, on every architecture."""

from __future__ import annotations

import pytest
import torch

from ganvert.base.errors import UnsupportedError
from ganvert.compute.random import normal
from ganvert.generators import Generator, SynthesisInput
from ganvert.spaces import make_space
from ganvert.spaces.feature import FeatureStyle


@pytest.fixture
def ws(any_generator: Generator) -> torch.Tensor:
    return any_generator.map(normal([3, 4], (any_generator.z_dim,)))


def size_of(generator: Generator) -> int:
    """Of the second-coarsest feature behind the learned input, where there are two."""
    sizes = sorted({point.shape[1] for point in generator.feature_points if point.first_row})
    return sizes[min(1, len(sizes) - 1)]


@pytest.fixture
def space(any_generator: Generator) -> FeatureStyle:
    space = make_space(f"fs{size_of(any_generator)}/wplus", any_generator)
    assert isinstance(space, FeatureStyle)
    return space


def own(space: FeatureStyle, ws: torch.Tensor) -> torch.Tensor:
    """The generator's feature of ws."""
    return space.generator.features(SynthesisInput(ws=ws), [space.point.name])[space.point.name]


def drawn(space: FeatureStyle, ws: torch.Tensor) -> torch.Tensor:
    """The picture behind that feature; skip architectures lose the coarser pictures that they sum."""
    return space.generator.synthesize(SynthesisInput(ws=ws, features={space.point.name: own(space, ws)}))


def test_rows_and_their_feature_draw_the_picture_of_the_rows(space: FeatureStyle, ws: torch.Tensor) -> None:
    codes = space.from_ws(ws)
    assert torch.equal(codes["ws"], ws)
    assert torch.equal(space.generator.synthesize(space.decode(codes)), drawn(space, ws))
    if space.generator.architecture == "mobile_stylegan":
        torch.testing.assert_close(drawn(space, ws), space.generator.synthesize(ws=ws), rtol=1e-3, atol=1e-3)
    random = space.from_random([1, 2])
    assert torch.equal(random["f"], own(space, random["ws"]))


def test_a_direction_moves_the_feature_by_what_it_does_to_the_generators_own(
    space: FeatureStyle, ws: torch.Tensor
) -> None:
    generator, point = space.generator, space.point.name
    feature = normal([5, 6], space.shapes["f"])
    codes = space.adopt({f"f{space.point.shape[1]}": feature, "ws": ws}, [1, 2])
    vector, rows = normal([7], (generator.w_dim,))[0], (0, generator.num_ws - 1)

    for carried in (True, False):
        still = space.move(codes, [(0 * vector, rows)], carried=carried)
        assert still.features is not None
        torch.testing.assert_close(still.features[point], feature, rtol=1e-4, atol=1e-4)

    shifted = space.move(codes, [(vector, rows)], carried=False)
    moved = ws.clone()
    moved[:, :-1] += vector
    assert shifted.features is not None
    assert shifted.ws is not None
    torch.testing.assert_close(shifted.ws, moved)
    torch.testing.assert_close(shifted.features[point], feature + own(space, moved) - own(space, ws))

    # Rows before the feature act through it alone; over f they would do nothing.
    coarse = space.shift(codes, vector, (0, space.point.first_row))
    assert coarse.features is not None
    assert not torch.allclose(coarse.features[point], feature, atol=1e-3)

    # A generator's own code moves as its rows do.
    image = generator.synthesize(space.shift(space.from_ws(ws), vector, rows))
    torch.testing.assert_close(image, drawn(space, moved), rtol=1e-3, atol=1e-3)


def test_a_base_code_alone(any_generator: Generator) -> None:
    size = size_of(any_generator)
    point = make_space(f"f{size}/wplus", any_generator).point  # type: ignore[attr-defined]
    prediction = {f"f{size}": normal([5, 6], point.shape)}
    wplus, zplus = (make_space(f"f{size}/{detail}", any_generator) for detail in ("wplus", "zplus"))
    codes = wplus.adopt(prediction, [1, 2])
    assert torch.equal(codes["f"], prediction[f"f{size}"])
    assert torch.equal(codes["ws"], any_generator.w_avg.expand_as(codes["ws"]))
    codes = zplus.adopt(prediction, [1, 2])
    assert torch.equal(codes["f"], prediction[f"f{size}"])
    assert torch.equal(codes["z"], zplus.from_ws(any_generator.w_avg.expand(2, any_generator.num_ws, -1))["z"])
    assert torch.equal(zplus.adopt(prediction, [1, 2], "random")["z"], zplus.from_random([1, 2])["z"])
    random = wplus.adopt(prediction, [1, 2], "random")
    assert torch.equal(random["ws"], wplus.from_random([1, 2])["ws"])
    with pytest.raises(UnsupportedError, match=f"predicts f{size}; space 'wplus' needs ws"):
        make_space("wplus", any_generator).adopt(prediction, [1, 2])


def test_detail_init_of_a_whole_prediction(any_generator: Generator, ws: torch.Tensor) -> None:
    size = size_of(any_generator)
    space = make_space(f"f{size}/wplus", any_generator)
    point = space.point  # type: ignore[attr-defined]
    prediction = {f"f{size}": normal([5, 6], point.shape), "ws": ws}
    for detail, rows in (("ws", ws), ("mean", any_generator.w_avg.expand_as(ws))):
        codes = space.adopt(prediction, [1, 2], detail)  # type: ignore[arg-type]
        assert torch.equal(codes["f"], prediction[f"f{size}"])
        assert torch.equal(codes["ws"], rows[:, point.first_row :])
    with pytest.raises(UnsupportedError, match="no feature map"):
        make_space("wplus", any_generator).adopt(prediction, [1, 2], "mean")


def test_w_takes_the_mean_of_predicted_rows(any_generator: Generator) -> None:
    rows = normal([1, 2], (any_generator.num_ws, any_generator.w_dim))
    codes = make_space("w", any_generator).adopt({"ws": rows}, [1, 2])
    torch.testing.assert_close(codes["w"], rows.mean(dim=1))


def test_padding_is_taken_and_the_rest_is_the_generators_own(paddable_generator: Generator) -> None:
    space = make_space("pad/wplus", paddable_generator)
    ws = paddable_generator.map(normal([3, 4], (paddable_generator.z_dim,)))
    before = space.from_ws(ws)
    ring = next(name for name in space.takes if name.startswith("pad."))
    codes = space.adopt({"ws": ws, ring: normal([5, 6], space.shapes[ring])}, [1, 2])
    assert codes[ring].any()
    assert all(torch.equal(value, codes[name]) for name, value in before.items() if name != ring)
    random = make_space("pad/zplus", paddable_generator).adopt({ring: codes[ring]}, [1, 2])
    assert torch.equal(random[ring], codes[ring])
    with pytest.raises(UnsupportedError, match="no feature map"):
        space.adopt({"ws": ws}, [1, 2], "mean")
