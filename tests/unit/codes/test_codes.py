"""Codes as rows: known before the inversion, the same in any company, read whole or in pieces, in half precision."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from ganvert import codes, tables
from ganvert.base.errors import InputError, ParamsError, TableError
from ganvert.codes import code_rows, code_table, read_codes
from ganvert.compute.precision import Speed
from ganvert.compute.random import normal
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.presets import Context, Inversion, Preset, read_preset
from ganvert.spaces import make_space

STAGE = {"steps": 4, "lr": 0.1, "objective": [{"loss": "mse"}]}
OPTIMISE = {**STAGE, "inverter": "optimise"}
TUNE = {**STAGE, "inverter": "tune"}
IDS = [f"{i}" for i in range(5)]


def preset_of(space: str = "f16/wplus", **options: Any) -> Preset:
    return read_preset("mine", {**OPTIMISE, "space": space, **options})


def inversion_of(space: str, generator: MobileStyleGAN, noise: bool = False) -> Inversion:
    """Five images: one took every step, one three, one none, one diverged, one was spared steps of its first stage."""
    n, gone = len(IDS), float("nan")
    trace = torch.tensor(
        [[4, 3, 2, 1], [4, 3, 2, gone], [gone] * 4, [4, float("inf"), gone, gone], [4, gone, 2, 1]], dtype=torch.float32
    )
    maps = [normal(range(n), (1, *shape)) for shape in generator.noise_shapes] if noise else []
    variables = make_space(space, generator).from_random(range(n))
    status = ["ok", "ok", "ok", "diverged", "ok"]
    return Inversion(space, variables, maps, trace, torch.tensor([3, 2, 0, 0, 3]), status, [""] * n)


def rows_of(found: Inversion, preset: Preset, generator: MobileStyleGAN, folder: Path, **more: Any) -> pa.Table:
    n = len(found.status)
    return code_rows(preset, found, IDS[:n], range(n), Context(generator=generator), tuned=folder / "t.tuned", **more)


def write(path: Path, data: pa.Table, preset: Preset, generator: MobileStyleGAN, **more: Any) -> Path:
    table, facts = code_table(preset, Context(generator=generator), **more)
    with tables.Writer(path, table, facts) as out:
        out.add_table(data)
    return path


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_fit_the_table_that_was_promised(dtype: str, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    preset = preset_of(noise="optimise")
    found = inversion_of(preset.space, tiny_generator, noise=True)
    data = rows_of(found, preset, tiny_generator, tmp_path, dtype=dtype)
    table, facts = code_table(preset, Context(generator=tiny_generator), dtype)
    assert data.schema.equals(table.schema(facts), check_metadata=True)
    assert {str(data.schema.field(name).type.value_type) for name in ("f", "ws", "noise_00")} == {
        {"float32": "float", "float16": "halffloat"}[dtype]
    }
    assert str(data.schema.field("trace").type.value_type) == "float"
    back = read_codes(write(tmp_path / "c.parquet", data, preset, tiny_generator, dtype=dtype), tiny_generator)
    for name, value in [*found.variables.items(), *((i, value) for i, value in enumerate(found.noise))]:
        stored = back.noise[name] if isinstance(name, int) else back.variables[name]
        assert stored.dtype == torch.float32
        assert torch.equal(stored, value.to(getattr(torch, dtype)).float())


def test_traces_end_with_the_last_step_that_was_taken(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    preset = preset_of("w")
    data = rows_of(inversion_of("w", tiny_generator), preset, tiny_generator, tmp_path)
    assert data.column("steps").to_pylist() == [4, 3, 0, 2, 4]
    assert data.column("best_step").to_pylist() == [3, 2, 0, 0, 3]
    traces = data.column("trace").to_pylist()
    assert traces[:4] == [[4, 3, 2, 1], [4, 3, 2], [], [4, float("inf")]]
    np.testing.assert_array_equal(traces[4], [4, np.nan, 2, 1])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_metadata_name_the_precision(precision: str, tiny_generator: MobileStyleGAN) -> None:
    context = Context(generator=tiny_generator, speed=Speed(precision=precision))  # type: ignore[arg-type]
    assert code_table(preset_of(), context)[1]["precision"] == precision


def test_a_row_does_not_depend_on_its_company(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    preset = preset_of()
    found = inversion_of(preset.space, tiny_generator)
    whole = rows_of(found, preset, tiny_generator, tmp_path)
    context = Context(generator=tiny_generator)
    for i in range(len(IDS)):
        # In other company the trace has other trailing nan.
        alone = dataclasses.replace(
            found.select(i), trace=torch.nn.functional.pad(found.trace[i : i + 1], (0, 3), value=torch.nan)
        )
        row = code_rows(preset, alone, IDS[i : i + 1], [i], context, tuned=tmp_path / "t.tuned")
        assert str(row.to_pylist()) == str(whole.slice(i, 1).to_pylist())


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_pieces_are_the_whole(batch: int, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    preset = preset_of(noise="optimise")
    found = inversion_of(preset.space, tiny_generator, noise=True)
    path = write(tmp_path / "c.parquet", rows_of(found, preset, tiny_generator, tmp_path), preset, tiny_generator)
    whole, parts = read_codes(path, tiny_generator), list(codes.batches(path, tiny_generator, batch))
    assert [len(part.image_ids) for part in parts] == [min(batch, 5 - i) for i in range(0, 5, batch)]
    assert [name for part in parts for name in part.image_ids] == whole.image_ids == IDS
    assert [status for part in parts for status in part.status] == whole.status
    for name, value in whole.variables.items():
        assert torch.equal(torch.cat([part.variables[name] for part in parts]), value)
    assert torch.equal(parts[-1][-1].draw(), whole[-1].draw())
    assert torch.equal(torch.cat([part.noise[3] for part in parts]), whole.noise[3])


def test_some_images_of_a_table(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    preset = preset_of(noise="optimise")
    found = inversion_of(preset.space, tiny_generator, noise=True)
    path = write(tmp_path / "c.parquet", rows_of(found, preset, tiny_generator, tmp_path), preset, tiny_generator)
    some = read_codes(path, tiny_generator, image_ids=["3", "1", "3"])
    assert (some.image_ids, some.status) == (["3", "1", "3"], ["diverged", "ok", "diverged"])
    assert torch.equal(some.variables["ws"], found.variables["ws"][[3, 1, 3]])
    assert torch.equal(some.noise[2], found.noise[2][[3, 1, 3]])
    with pytest.raises(InputError, match=r"has no image 'x', 'y'; it has 0, 1, 2, 3, 4 \.\.\."):
        read_codes(path, tiny_generator, image_ids=["1", "x", "y"])


def test_codes_are_a_sequence_of_images(tiny_generator: MobileStyleGAN) -> None:
    found = inversion_of("f16/wplus", tiny_generator, noise=True)
    images = codes.codes_of_inversion(found, IDS, "mine", tiny_generator)
    assert [code.image_id for code in images] == IDS
    assert [code.image_id for code in images[1:3]] == IDS[1:3]
    assert images[-1].image_id == IDS[-1]
    with pytest.raises(IndexError):
        images[5]
    code = images[3]
    assert (code.method, code.status, code.tuned) == ("mine", "diverged", None)
    assert {name: value.shape for name, value in code.variables.items()} == {
        name: (1, *shape) for name, shape in code.space.shapes.items()
    }
    synthesis_input = code.synthesis_input()
    assert torch.equal(synthesis_input.noise[1], found.noise[1][3:4])
    assert torch.equal(code.draw(), tiny_generator.synthesize(synthesis_input))
    assert code.space.generator is tiny_generator


def test_variables_that_are_left_out(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    preset = preset_of(noise="optimise")
    found = inversion_of(preset.space, tiny_generator, noise=True)
    skip = ("f", "noise")
    data = rows_of(found, preset, tiny_generator, tmp_path, skip=skip)
    assert not {name for name in data.column_names if name == "f" or name.startswith("noise")}
    path = write(tmp_path / "c.parquet", data, preset, tiny_generator, skip=skip)
    for read in (read_codes, codes.space_of, lambda *arguments: next(codes.batches(*arguments))):
        with pytest.raises(TableError, match=r"c.parquet: f,noise of the codes were not stored \(skip\).*whole=False"):
            read(path, tiny_generator)
    back = read_codes(path, tiny_generator, whole=False)
    assert torch.equal(back.variables["ws"], found.variables["ws"])
    assert (set(back.variables), back.noise) == ({"ws"}, [])
    (part,) = codes.batches(path, tiny_generator, whole=False)
    assert torch.equal(part.variables["ws"], back.variables["ws"])


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"skip": ("g",)}, "have no variable 'g'; they have f, ws"),
        ({"skip": ("noise",)}, "have no variable 'noise'"),
        ({"dtype": "bfloat16"}, "wanted float32 or float16, got 'bfloat16'"),
    ],
)
def test_wishes_that_cannot_be_met(wishes: dict[str, Any], message: str, tiny_generator: MobileStyleGAN) -> None:
    with pytest.raises(ParamsError, match=message):
        code_table(preset_of(), Context(generator=tiny_generator), **wishes)


def test_numbers_beyond_half_precision(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    preset, found = preset_of("w"), inversion_of("w", tiny_generator)
    found.variables["w"][2, 1] = -70_000
    with pytest.raises(TableError, match=r"image 2: 'w' has numbers up to 7e\+04, float16 ends at 65504"):
        rows_of(found, preset, tiny_generator, tmp_path, dtype="float16")
    rows_of(found, preset, tiny_generator, tmp_path)


def test_an_inversion_of_another_method(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="'mine': wanted the variables ws, got w"):
        rows_of(inversion_of("w", tiny_generator), preset_of("wplus"), tiny_generator, tmp_path)


@pytest.mark.parametrize(
    ("stages", "noise"),
    [
        ([{**OPTIMISE, "space": "w", "noise": "optimise"}], True),
        ([{**OPTIMISE, "space": "w", "noise": "optimise"}, {**OPTIMISE, "space": "w", "init": "previous"}], True),
        ([{**OPTIMISE, "space": "w", "noise": "optimise"}, TUNE], True),
        ([{**OPTIMISE, "space": "w", "noise": "optimise"}, {**TUNE, "noise": "const"}], False),
        ([{**OPTIMISE, "space": "w"}, TUNE], False),
        ([{"inverter": "chain", "stages": [{**OPTIMISE, "space": "w", "noise": "optimise"}]}, TUNE], True),
    ],
)
def test_noise_maps_are_promised_where_they_will_be_found(
    stages: list[dict[str, Any]], noise: bool, tiny_generator: MobileStyleGAN
) -> None:
    """Against what the inverters really give."""
    from ganvert.inversion.presets import Batch

    few = [stage if "stages" in stage else stage | {"steps": 1} for stage in stages]
    preset = read_preset("mine", few[0] if len(few) == 1 else {"inverter": "chain", "stages": few})
    context = Context(generator=tiny_generator)
    found = preset.inverter.run(Batch(targets=torch.zeros(1, 3, 64, 64), seeds=[1]), context, preset.options)
    table, _ = code_table(preset, context)
    promised = [field for field in table.columns if field.name.startswith("noise_")]
    assert bool(promised) is noise
    assert [field.type.list_size for field in promised] == [value[0].numel() for value in found.noise]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"shapes": "x"}, "wanted variables of the space"),
        ({"shapes": "{"}, "metadata cannot be read"),
        ({"shapes": '{"f": [16, 16, 16]}'}, "the codes lack 'ws'"),
        ({"shapes": '{"f": [16, 16, 16], "ws": [4, 32]}'}, "wanted variables of the space"),
        ({"shapes": '{"f": [16, 16, 16], "ws": "x"}'}, "wanted variables of the space"),
        ({"shapes": '{"f": [16, 16, 16], "seed": [1]}'}, "wanted variables of the space"),
        ({"space": "{}"}, "metadata lack space"),
        ({"method": "{}"}, "metadata lack method"),
    ],
)
def test_codes_whose_metadata_claim_anything_are_refused(
    facts: dict[str, str], says: str, tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    preset = preset_of()
    data = rows_of(inversion_of(preset.space, tiny_generator), preset, tiny_generator, tmp_path)
    table, own = code_table(preset, Context(generator=tiny_generator))
    with tables.Writer(tmp_path / "t.parquet", table, own | facts) as out:
        out.add_table(data)
    with pytest.raises(TableError, match=says):
        read_codes(tmp_path / "t.parquet", tiny_generator)


def test_codes_that_are_not_finite_name_the_image(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    preset, found = preset_of(), inversion_of("f16/wplus", tiny_generator)
    found.variables["ws"][3, 1, 2] = float("nan")
    path = write(tmp_path / "t.parquet", rows_of(found, preset, tiny_generator, tmp_path), preset, tiny_generator)
    with pytest.raises(TableError, match="image 3: 'ws' has numbers that are not finite"):
        read_codes(path, tiny_generator)
