"""What every finder of DIRECTIONS promises, and the tables around them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from ganvert import tables
from ganvert.base import params
from ganvert.base.errors import ParamsError, ShapeError, TableError, UnknownNameError
from ganvert.codes import write_codes
from ganvert.compute.random import normal
from ganvert.directions import (
    DIRECTIONS,
    Direction,
    DirectionSpace,
    Finder,
    FinderInputs,
    Samples,
    choose,
    load_directions,
    load_samples,
    save_directions,
)
from ganvert.generators import Generator, load_generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import to_png
from ganvert.inversion.presets import Context, Inversion, read_preset
from ganvert.spaces import make_space, slots_of
from stages import discover

OPTIONS = {
    "interfacegan": {"attributes": {"smile": {}, "age": {"condition_on": ["smile"], "first_row": 2}}},
    "ganspace": {"components": 3, "transfer": "jointly"},
    "lowrank": {
        "regions": {"low": {"box": [0.2, 0.6, 0.8, 0.9]}, "high": {"mask": "high.png"}},
        "components": 2,
        "images": 1,
        "px": 16,
        "dimensions": 16,
        "sparsity": 10.0,
        "outside_rank": 8,
    },
    "random": {"count": 2},
    "sefa": {"components": 3, "groups": {"all": {}, "coarse": {"last_row": 2}}},
    "stylespace": {
        "attributes": {"smile": {}, "age": {"low": True}},
        "channels": {"known": {"slot": "layers.1.conv2", "channel": 3, "flip": True}},
        "components": 2,
    },
}
#: Finders that say of their directions what amount 1 is; of all others it is a standard deviation of the samples.
OWN_UNIT = {"random"}


def samples(count: int = 300, d: int = 8) -> Samples:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(count, d)).astype(np.float32).astype(np.float64)  # what a table holds
    w = np.tanh(z @ rng.normal(size=(d, d))).astype(np.float32).astype(np.float64)
    scores = {name: (w @ rng.normal(size=d)).astype(np.float32).astype(np.float64) for name in ("smile", "age")}
    scores["age"][5] = np.nan
    return Samples(z=z, w=w, scores=scores, num_ws=4)


def samples_of(generator: Generator, count: int = 300) -> Samples:
    z = normal(range(count), (generator.z_dim,))
    w = generator.map_to_w(z).double().numpy()
    rng = np.random.default_rng(0)
    scores = {name: w @ rng.normal(size=generator.w_dim) for name in ("smile", "age")}
    return Samples(z=z.double().numpy(), w=w, scores=scores, num_ws=generator.num_ws)


def store(path: Path, data: Samples, metadata: dict[str, str]) -> None:
    names = list(data.scores)
    rows = (
        {"seed": i, "z": data.z[i], "w": data.w[i]}
        | {name: None if np.isnan(data.scores[name][i]) else float(data.scores[name][i]) for name in names}
        for i in range(len(data.z))
    )
    tables.write(path, tables.samples_table(data.z.shape[1], data.w.shape[1], names), rows, metadata)


@pytest.mark.parametrize("name", sorted(name for name in DIRECTIONS if hasattr(DIRECTIONS[name].options, "spaces")))
def test_spaces_in_which_a_finder_finds_nothing_are_refused(name: str) -> None:
    finder = DIRECTIONS[name]
    for space in {*get_args(DirectionSpace)} - {*finder.spaces}:
        with pytest.raises(ParamsError, match=rf"spaces\[0\]: wanted one of w, z, got '{space}'"):
            params.build(finder.options, OPTIONS[name] | {"spaces": [space]}, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DIRECTIONS))
def test_every_finder(name: str, tmp_path: Path, tiny_generator: MobileStyleGAN) -> None:
    finder = DIRECTIONS[name]
    data = samples_of(tiny_generator)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :20, :] = 1
    everything = FinderInputs(samples=data, generator=tiny_generator, masks={"high.png": mask})
    inputs = FinderInputs(samples=data, **{need: getattr(everything, need) for need in finder.needs})
    options = params.build(finder.options, OPTIONS[name], name)
    directions = finder.find(inputs, options)
    if finder.names is not None:
        assert {direction.name for direction in directions} == set(finder.names(options))
    assert {direction.space for direction in directions} == set(finder.spaces)
    assert len({(direction.name, direction.space) for direction in directions}) == len(directions)
    for direction in directions:
        assert direction.method == name
        codes = {"z": data.z, "w": data.w, "s": None}[direction.space]
        if codes is None:
            slots = slots_of(tiny_generator, (direction.first_row, direction.last_row))
            ws = torch.from_numpy(data.w).float()[:, None].expand(-1, tiny_generator.num_ws, -1)
            styles = tiny_generator.styles(ws)
            codes = torch.cat([styles[slot.name] for slot in slots], dim=1).double().numpy()
        assert direction.vector.dtype == np.float64 and direction.vector.shape == codes[0].shape
        assert np.linalg.norm(direction.vector) == pytest.approx(1, abs=1e-12)
        if name not in OWN_UNIT:
            assert direction.unit == pytest.approx(np.std(codes @ direction.vector, ddof=1))
        assert 0 <= direction.first_row < direction.last_row <= data.num_ws
        json.dumps(direction.quality, allow_nan=False)
    save_directions(tmp_path / "d.parquet", directions, {"generator": tiny_generator.fingerprint()})
    back = load_directions(tmp_path / "d.parquet", tiny_generator)
    assert len(back) == len(directions)
    for direction in directions:
        other = back[direction.name, direction.space]
        assert other.vector == pytest.approx(direction.vector, abs=1e-7)
        assert {**dataclasses.asdict(other), "vector": 0} == {**dataclasses.asdict(direction), "vector": 0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyOptions:
    masks: tuple[str, ...] = ("eyes.png",)
    codes: str = "mine"
    photographs: tuple[str, ...] = ("a.png",)
    directions: str = "mine.parquet"


def find_toy(inputs: FinderInputs, options: ToyOptions) -> list[Direction]:
    """A direction whose figures are what it was given."""
    assert inputs.generator is not None and inputs.codes is not None
    vector = np.eye(16)[0]
    given = {
        "resolution": inputs.generator.resolution,
        "masks": {name: [mask.shape[-1], float(mask.mean())] for name, mask in inputs.masks.items()},
        "codes": [code.image_id for code in inputs.codes],
        "photographs": {name: picture.size for name, picture in inputs.photographs.items()},
        "directions": [name for name, _ in inputs.directions],
    }
    return [Direction("toy", "w", "toy", vector, 1.0, 0, inputs.samples.num_ws, given)]


TOY = Finder(find_toy, ToyOptions, spaces=("w",), needs=("generator", "masks", "codes", "photographs", "directions"))


def test_a_finder_without_what_it_needs_is_not_started(tiny_generator: MobileStyleGAN) -> None:
    with pytest.raises(ParamsError, match="find_toy: wanted masks, codes, directions beside the samples"):
        # An input whose option is empty is not needed.
        TOY.find(FinderInputs(samples=samples(), generator=tiny_generator), ToyOptions(photographs=()))


def test_the_stage_loads_what_a_finder_declares(
    tmp_path: Path, tiny_generator_file: Path, monkeypatch: pytest.MonkeyPatch, write_params
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DIRECTIONS, "toy", TOY)
    store(tmp_path / discover.SAMPLES, samples(), {"num_ws": "4"})
    plain = {"inverter": "optimise", "space": "w", "steps": 1, "lr": 0.1, "objective": [{"loss": "mse"}]}
    write_params(
        generator={"path": str(tiny_generator_file), "label": None},
        device="cpu",
        invert={"methods": {"mine": str(tiny_generator_file)}, "options": {"mine": plain}},
        discover={"methods": {"toy": {}}},
        edit={"method": "mine", "edits": {}},
        evaluate={"metrics": ["mse_64"]},
    )
    generator = load_generator(tiny_generator_file)
    given = Direction("smile", "w", "imported", np.eye(16)[1], 1.0, 0, generator.num_ws)
    save_directions(Path("mine.parquet"), [given], {"generator": generator.fingerprint()})
    preset = read_preset("mine", plain)
    variables, zeros = make_space("w", generator).from_random([1]), torch.zeros(1, 1)
    inversion = Inversion("w", variables, [], zeros, zeros[0], ["ok"], [""])
    write_codes(discover.CODES / "mine.parquet", preset, inversion, ["a-0"], [1], Context(generator=generator))
    Path("data/inputs").mkdir()
    Image.new("RGB", (64, 64), "white").save("data/inputs/eyes.png")
    face = {"image_id": "a-0", "photo_id": "a", "path": "data/photos/a.png", "face": 0, "recipe": "center"}
    face |= {"resolution": 64, "quad": np.zeros(8), "landmarks": None, "crop": to_png(Image.new("RGB", (64, 64)))}
    tables.write(Path("data/aligned.parquet"), tables.ALIGNED, [face])
    discover.main()
    figures = json.loads(discover.FIGURES.read_text())["toy"]["w"]["toy"]
    assert figures == {
        "unit": 1.0,
        "resolution": 64,
        "masks": {"eyes.png": [64, 1.0]},
        "codes": ["a-0"],
        "photographs": {"a-0": [64, 64]},
        "directions": ["smile"],
    }


def test_samples_come_back_as_stored(tmp_path: Path) -> None:
    data = samples()
    store(tmp_path / "samples.parquet", data, {"num_ws": "4"})
    back = load_samples(tmp_path / "samples.parquet")
    assert back.num_ws == 4 and list(back.scores) == ["smile", "age"]
    assert np.array_equal(back.z, data.z) and np.array_equal(back.w, data.w)
    assert np.array_equal(back.scores["age"], data.scores["age"], equal_nan=True)
    store(tmp_path / "bare.parquet", data, {})
    with pytest.raises(TableError, match="num_ws"):
        load_samples(tmp_path / "bare.parquet")


def test_samples_of_unequal_length_are_refused() -> None:
    data = samples()
    with pytest.raises(ShapeError):
        Samples(z=data.z[:-1], w=data.w, scores={}, num_ws=4)
    with pytest.raises(ShapeError, match="'smile'"):
        Samples(z=data.z, w=data.w, scores={"smile": data.z[:, :1]}, num_ws=4)


def test_one_name_of_two_methods_is_refused_on_reading(tmp_path: Path) -> None:
    both = [Direction("smile", "w", method, np.eye(8)[0], 1.0, 0, 4) for method in ("interfacegan", "ganspace")]
    save_directions(tmp_path / "d.parquet", both)
    with pytest.raises(TableError, match="both have a direction 'smile' in w"):
        load_directions(tmp_path / "d.parquet")


def test_an_unknown_direction_is_named_with_those_that_exist() -> None:
    known = {("smile", "w"): Direction("smile", "w", "interfacegan", np.eye(8)[0], 1.0, 0, 4)}
    with pytest.raises(UnknownNameError, match=r"unknown direction in w 'smil'; known: smile. Did you mean"):
        choose(known, "smil", "w")


def test_stage_writes_the_table_and_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_params) -> None:
    monkeypatch.chdir(tmp_path)
    store(tmp_path / discover.SAMPLES, samples(), {"num_ws": "4"})
    methods = {name: options for name, options in OPTIONS.items() if not DIRECTIONS[name].needs or name == "ganspace"}
    write_params(discover={"methods": methods})
    discover.main()
    directions = load_directions(tmp_path / discover.OUT)
    assert {direction.method for direction in directions.values()} == set(methods)
    tree = json.loads((tmp_path / discover.FIGURES).read_text())
    assert tree["interfacegan"]["w"]["age"]["leak"].keys() == {"smile"}
    assert tree["ganspace"]["z"]["ganspace_0"]["unit"] > 0
    first = (tmp_path / discover.OUT).read_bytes()
    discover.main()
    assert (tmp_path / discover.OUT).read_bytes() == first


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"interfacegan": {"atributes": {}}}, "did you mean 'attributes'"),
        ({"interfacegann": {}}, "Did you mean 'interfacegan'"),
        ({}, "at least one"),
    ],
)
def test_stage_refuses_a_mistyped_parameter_before_it_reads_anything(
    methods: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_params
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(discover={"methods": methods})
    with pytest.raises(SystemExit, match=message):
        discover.main()
