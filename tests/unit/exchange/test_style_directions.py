"""Directions of S of other tools: vectors of all styles, and lists of channels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganvert.base.errors import GanvertError, InputError, ParamsError, ShapeError, TableError
from ganvert.compute.random import normal
from ganvert.directions import Direction, choose, load_directions
from ganvert.exchange import import_directions as importing
from ganvert.exchange.directions_from import read_foreign_directions
from ganvert.exchange.import_directions import import_directions
from ganvert.exchange.style_directions import MOST_BYTES
from ganvert.generators import load_generator
from ganvert.generators.base import Generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.sampling import codes_of
from ganvert.spaces import make_space

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "checkpoints"


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "SAMPLES", 700)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator(GOLDEN / "A2_ada_skip_w64_map8.pkl").requires_grad_(False)


def styles_of_samples(generator: Generator) -> dict[str, np.ndarray]:
    w = codes_of(generator, range(700))[1]
    found = generator.styles(w[:, None].expand(-1, generator.num_ws, -1))
    return {name: value.double().numpy() for name, value in found.items()}


def moved(direction: Direction, generator: Generator, amount: float = 1.0) -> dict[str, np.ndarray]:
    """What a direction adds to the styles of the mean w, by their names; those that it leaves alone are left out."""
    space = make_space("w", generator)
    drawn = space.decode({"w": generator.w_avg[None]})
    step = torch.from_numpy(direction.step(amount))
    after = space.move_styles(drawn, [(step, (direction.first_row, direction.last_row))])
    assert after.styles is not None
    change = {name: (value - generator.resolve_styles(drawn)[name])[0] for name, value in after.styles.items()}
    return {name: value.numpy() for name, value in change.items() if value.any()}


def test_channels_move_by_their_deviations(generator: Generator, tmp_path: Path) -> None:
    lists = {"smile": [[6, 3]], "both": [["b16.conv1", 2], ["b8.conv0", 1, -2.0]], "plain": [4, 0]}
    (tmp_path / "channels.json").write_text(json.dumps(lists))
    table = tmp_path / "directions.parquet"
    import_directions(tmp_path / "channels.json", generator, table)
    found = load_directions(table, generator)
    assert set(found) == {(name, "s") for name in lists}
    samples = styles_of_samples(generator)
    # Layers are numbered as in the paper, toRGB included: conv1, to_rgb1, then conv, conv, to_rgb of every size.
    order = [slot.name for slot in generator.style_layout]
    assert order[:7] == ["b4.conv1", "b4.torgb", "b8.conv0", "b8.conv1", "b8.torgb", "b16.conv0", "b16.conv1"]
    (change,) = moved(found["smile", "s"], generator, 2).items()
    assert change[0] == "b16.conv1"
    wanted = 2 * samples["b16.conv1"][:, 3].std(ddof=1)
    np.testing.assert_allclose(change[1], np.eye(1, len(change[1]), 3)[0] * wanted, rtol=1e-3, atol=1e-5)
    # Several channels: amount 1 is a deviation along all of them together, of which the tool's step is a multiple.
    direction = choose(found, "both", "w")
    step = {"b16.conv1": samples["b16.conv1"][:, 2].std(ddof=1), "b8.conv0": -2 * samples["b8.conv0"][:, 1].std(ddof=1)}
    own = moved(direction, generator, direction.quality["own_step"] / direction.unit)
    assert own["b16.conv1"][2] == pytest.approx(step["b16.conv1"], rel=1e-3)
    assert own["b8.conv0"][1] == pytest.approx(step["b8.conv0"], rel=1e-3)
    along = samples["b16.conv1"][:, 2] * step["b16.conv1"] + samples["b8.conv0"][:, 1] * step["b8.conv0"]
    assert direction.unit == pytest.approx(along.std(ddof=1) / np.hypot(*step.values()), rel=1e-5)


@pytest.mark.parametrize("kind", ["list", "without toRGB", "flat", "objects"])
def test_vectors_of_all_styles(kind: str, generator: Generator, tmp_path: Path) -> None:
    slots = [slot for slot in generator.style_layout if kind != "without toRGB" or not slot.to_rgb]
    # StyleCLIP's vectors are zero where a text says nothing of a layer.
    vectors = [normal([i], (slot.width,))[0].numpy() * (slot.row > 1) for i, slot in enumerate(slots)]
    path, options = tmp_path / "text.pt", dict[str, Any]()
    if kind == "flat":
        path = tmp_path / "text.npy"
        np.save(path, np.concatenate(vectors)[None].astype("f8"))
        options = {"space": "s"}
    else:
        shape = (1, 1, -1, 1, 1) if kind == "objects" else (-1,)
        torch.save([torch.from_numpy(vector).reshape(shape) for vector in vectors], path)
    (direction,) = import_directions(path, generator, tmp_path / "d.parquet", name="x", unit="own", **options)
    last = max(slot.row for slot in slots)  # the last toRGB's own
    assert (direction.space, direction.first_row, direction.last_row) == ("s", 2, last + 1)
    change = moved(choose(load_directions(tmp_path / "d.parquet", generator), "x", "w"), generator)
    wanted = {slot.name: vector for slot, vector in zip(slots, vectors, strict=True) if vector.any()}
    assert set(change) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(change[name], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        ({"a": [[99, 0]]}, ParamsError, "no channel 0 in layer 99; there are 14 layers"),
        ({"a": [["b16.conv1", 10**6]]}, ParamsError, "no channel 1000000 in layer 'b16.conv1'; it has"),
        ({"a": [[6, -1]]}, ParamsError, "no channel -1"),
        ({"a": [[6, 3, 0.0]]}, ShapeError, "the direction is zero"),
        ({"a": [[6]]}, TableError, "wanted .layer, channel."),
        ({"a": [[6, True]]}, TableError, "wanted numbers"),
        ({"a": [[6, 3, 1e999]]}, TableError, "wanted numbers"),
        ({"a": []}, TableError, "wanted ..layer, channel., ...."),
        ({"a": 3}, TableError, "wanted ..layer, channel., ...."),
        ({}, TableError, "wanted names of directions"),
        ('{"a": [[6, 3]', TableError, "not JSON"),
        ('{"a":' + "[" * 100_000, TableError, "not JSON"),
        ("{" + " " * MOST_BYTES, TableError, "at most 1 MB"),
        ({"a": [["b4.conv1", 1, 10**400]]}, TableError, "wanted numbers"),
    ],
)
def test_lists_that_do_not_fit(content: Any, error: type, says: str, generator: Generator, tmp_path: Path) -> None:
    path = tmp_path / "channels.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(error, match=says):
        import_directions(path, generator, tmp_path / "d.parquet")
    assert not (tmp_path / "d.parquet").exists()


def test_numbers_of_layers_are_those_of_stylegan2(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    path = tmp_path / "channels.json"
    path.write_text('{"a": [[6, 3]]}')
    with pytest.raises(ParamsError, match=r"the generator is a mobile_stylegan; name its styles, conv1, layers"):
        import_directions(path, tiny_generator, tmp_path / "d.parquet")
    path.write_text('{"a": ["layers.0.conv1", 3]}')
    with pytest.raises(ParamsError, match="leave out the rows"):
        import_directions(path, tiny_generator, tmp_path / "d.parquet", rows=(0, 2))
    with pytest.raises(ParamsError, match="a direction of s, not of w"):
        import_directions(path, tiny_generator, tmp_path / "d.parquet", space="w")
    (direction,) = import_directions(path, tiny_generator, tmp_path / "d.parquet")
    assert set(moved(direction, tiny_generator)) == {"layers.0.conv1"}
    vectors = [torch.ones(slot.width) for slot in tiny_generator.style_layout]
    torch.save([*vectors[:-1], torch.ones(3)], tmp_path / "v.pt")
    with pytest.raises(ShapeError, match="the generator has 11 styles of"):
        import_directions(tmp_path / "v.pt", tiny_generator, tmp_path / "d.parquet", name="b")
    with pytest.raises(GanvertError, match="not finite"):
        torch.save([vectors[0], torch.tensor([torch.nan])], tmp_path / "v.pt")
        read_foreign_directions(tmp_path / "v.pt")
    with pytest.raises(InputError, match=r"StyleSpace's channels \(JSON\)"):
        torch.save([torch.ones(2, 3), torch.ones(4)], tmp_path / "v.pt")
        read_foreign_directions(tmp_path / "v.pt")
