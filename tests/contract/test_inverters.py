"""What every inverter promises, on the tiny generator: in every space, with every option that adds code."""

from __future__ import annotations

import dataclasses
import gc
import math
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganvert.base.errors import InputError, ParamsError, ShapeError, UnsupportedError
from ganvert.base.preset_files import METHODS, Presets
from ganvert.codes import codes_of_inversion
from ganvert.compute import side_by_side as queue
from ganvert.compute.random import normal
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import to_pil
from ganvert.inversion.presets import INVERTERS, Batch, Context, Inversion, Preset, join, read_preset
from ganvert.inversion.run import Crop, seeds_for, targets_of
from ganvert.losses import LOSSES
from ganvert.losses.pixel import Mse
from ganvert.spaces import SPACES

_FILES = Presets(METHODS, folders=[Path(__file__).parents[2] / "presets"])
PRESETS = {name: _FILES.resolve(name).options for name in _FILES}
MSE = ({"loss": "mse", "resolution": 64},)


@pytest.fixture(scope="module")
def context(tiny_generator: MobileStyleGAN) -> Context:
    spec = EncoderSpec(backbone="plain_narrow", heads={"pooled": {}}, input_px=64)
    return Context(generator=tiny_generator, encoder=Encoder(spec, tiny_generator))


@pytest.fixture(scope="module")
def targets(tiny_generator: MobileStyleGAN) -> Tensor:
    """Two of the generator's own pictures, clamped as photographs are."""
    return tiny_generator.synthesize(ws=tiny_generator.map(normal([103, 107], (16,)))).clamp(-1, 1)


@pytest.fixture(scope="module")
def many(tiny_generator: MobileStyleGAN) -> Tensor:
    """Five of the generator's own pictures, from hard to easy: the last ones lie near the mean."""
    ws = tiny_generator.map(normal(range(200, 205), (16,)))
    near = torch.tensor([1.0, 0.8, 0.6, 0.3, 0.1]).view(5, 1, 1)
    return tiny_generator.synthesize(ws=torch.lerp(tiny_generator.w_avg.expand_as(ws), ws, near)).clamp(-1, 1)


def optimise(**options: Any) -> dict[str, Any]:
    return {"inverter": "optimise", "space": "wplus", "steps": 12, "lr": 0.05, "objective": MSE, **options}


def tune(**options: Any) -> dict[str, Any]:
    stage = {"inverter": "tune", "steps": 8, "lr": 0.003, "objective": MSE, **options}
    return {"inverter": "chain", "stages": [optimise(steps=5), stage]}


def optimiser(**options: Any) -> Preset:
    return read_preset("mine", optimise(**options))


PREVIEW = {"preview_steps": 5, "preview_px": 16, "preview_every": 2}
NOISE = {"noise": "optimise", "noise_weight": 1.0}
PREVIOUS = {"init": "previous", "steps": 6}
ADVERSARIAL = {"local": 0.01, "everywhere": 0.01, "samples": 1, "resolution": 16, "channels": 8}
#: One for each inverter, each space, and each option that runs code of its own.
CASES: dict[str, dict[str, Any]] = {
    **{f"{space} random": optimise(space=space, init="random") for space in SPACES},
    **{space: optimise(space=space, init="random") for space in ("f16/zplus", "f16/s", "m16-32/zplus", "pad/wplus")},
    "fs16/wplus": optimise(space="fs16/wplus"),
    "encoder": optimise(init="encoder"),
    "lbfgs": optimise(optimiser="lbfgs", lr=1.0, steps=10),
    "preview": optimise(**PREVIEW),
    "noise maps": optimise(**NOISE),
    "latent noise and ramps": optimise(space="w", latent_noise=0.05, ramp_up=0.05, ramp_down=0.25),
    "penalties": optimise(space="f16/wplus", regularise={"base": 0.1, "pn": 1e-3, "encoder": 0.01}, init="encoder"),
    "stages": {"inverter": "chain", "stages": [optimise(), optimise(**PREVIOUS, space="f32/wplus")]},
    "stored noise": {
        "inverter": "chain",
        "stages": [
            optimise(),
            optimise(**PREVIOUS, code="fixed", noise="optimise", noise_init="stored", noise_normalise=False),
        ],
    },
    "pivotal tuning": tune(noise="const"),
    "locality": tune(locality={"objective": MSE, "distance": 2.0}),
    "joint": tune(together=True),
    "near-perfect": tune(tuned="features", share=0.5, adversarial=ADVERSARIAL),
    "feed forward": {"inverter": "feed_forward"},
    "weights and a masked map": {
        "inverter": "chain",
        "stages": [
            optimise(steps=5),
            {"inverter": "assign", "space": "m32-32/wplus", "threshold": 0.0, "trial_steps": 1, "lr": 0.05}
            | {"objective": MSE},
            {"inverter": "tune", "steps": 8, "lr": 0.003, "objective": MSE}
            | {"differences": {"lr": 0.05, "weight_steps": 4}},
        ],
    },
    "masked maps": {
        "inverter": "chain",
        "stages": [
            optimise(),
            {"inverter": "assign", "space": "m16-32/wplus", "threshold": 0.05, "trial_steps": 3, "lr": 0.05}
            | {"objective": MSE},
            optimise(**PREVIOUS, space="m16-32/wplus", regularise={"differences": 0.01}),
        ],
    },
}


def run(
    preset: Preset, targets: Tensor, context: Context, seeds: Sequence[int] = (1, 2), side_by_side: int | None = 2
) -> Inversion:
    context = dataclasses.replace(context, side_by_side=side_by_side)
    return preset.inverter.run(Batch(targets=targets, seeds=seeds), context, preset.options)


def same(one: Inversion, other: Inversion) -> bool:
    """Whether all their numbers are, to the bit."""
    pairs = [*zip(one.noise, other.noise, strict=True), (one.trace.nan_to_num(), other.trace.nan_to_num())]
    pairs += [(value, other.variables[name]) for name, value in one.variables.items()]
    facts = (one.status, one.reason) == (other.status, other.reason)
    return facts and torch.equal(one.best_step, other.best_step) and all(torch.equal(a, b) for a, b in pairs)


def error(inversion: Inversion, targets: Tensor, context: Context) -> Tensor:
    codes = codes_of_inversion(inversion, ["x"] * len(targets), "mine", context.generator)
    return (codes.draw() - targets).square().mean(dim=(1, 2, 3))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_read_and_suits_a_generator(name: str, tiny_generator: MobileStyleGAN) -> None:
    preset = read_preset(name, PRESETS[name])
    assert isinstance(preset.options, INVERTERS[PRESETS[name]["inverter"]].options)
    # At sizes that the tiny generator does not draw.
    lacks = {"dhr": "no feature maps of 128 to 128 px", "hfgi": "no feature of 64 px"}
    if wanted := lacks.get(name.removeprefix("cpu_")):
        with pytest.raises(UnsupportedError, match=wanted):
            preset.check(tiny_generator)
    else:
        preset.check(tiny_generator)
    stages = PRESETS[name].get("stages", [PRESETS[name]])
    wants = ["encoder" in {stage.get("init"), *stage.get("regularise", {})} for stage in stages]
    one_pass = PRESETS[name]["inverter"] == "feed_forward"
    assert preset.needs_encoder == (one_pass or name == "ensemble" or any(wants))
    assert preset.needs_discriminator == ("near_perfect" in name)
    assert preset.together == (name == "pti_together")


def test_the_cases_are_all_inverters() -> None:
    stages = [stage for raw in CASES.values() for stage in (raw, *raw.get("stages", ()))]
    assert {stage["inverter"] for stage in stages} == set(INVERTERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_codes_draw_a_nearer_picture_than_their_start(name: str, context: Context, targets: Tensor) -> None:
    preset = read_preset(name, CASES[name])
    reports: list[tuple[float, float]] = []
    batch, two = Batch(targets=targets, seeds=(1, 2)), dataclasses.replace(context, side_by_side=2)
    done = preset.inverter.run(batch, two, preset.options, lambda step, total, _: reports.append((step, total)))
    assert done.status == ["ok", "ok"]
    assert all(not value.requires_grad and value.isfinite().all() for value in done.variables.values())
    shares = [step / total for step, total in reports]
    assert shares == sorted(set(shares))
    assert shares[-1] == pytest.approx(1)
    if CASES[name]["inverter"] == "feed_forward":
        assert done.trace.shape == (2, 0)
        return
    assert done.trace.shape == (2, preset.steps)
    first = CASES[name].get("stages", [CASES[name]])[0]
    nothing = {"steps": 1, "preview_steps": 0, "lr": 1e-9, "optimiser": "adam"}
    still = run(read_preset("still", first | nothing), targets, context)
    assert (error(done, targets, context) < error(still, targets, context)).all()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"init": "encoder"}, {"space": "f16/zplus"}, {"space": "f16/s"}])
def test_a_generated_picture_is_recovered(options: dict[str, Any], context: Context, targets: Tensor) -> None:
    done = run(optimiser(steps=80, lr=0.1, ramp_down=0.3, **options), targets, context)
    assert (done.trace[:, 0] > 0.02).all()
    bound = 0.003 if "space" in options else 0.01  # a feature map has more numbers than the rows it replaces
    assert (error(done, targets, context) <= bound).all()


def test_seeds_decide_random_starts(context: Context, targets: Tensor) -> None:
    preset = optimiser(space="z", init="random", steps=1, lr=1e-9)
    first, same = (run(preset, targets, context, (1, 2)) for _ in range(2))
    other = run(preset, targets, context, (1, 3))
    assert torch.equal(first.variables["z"], same.variables["z"])
    assert torch.equal(first.variables["z"][0], other.variables["z"][0])
    assert not torch.equal(first.variables["z"][1], other.variables["z"][1])
    radius = first.variables["z"].norm(dim=-1)
    torch.testing.assert_close(radius, torch.full_like(radius, 4.0))


@pytest.mark.parametrize("options", [{}, {"preview_steps": 5, "preview_px": 16}, {"noise": "optimise"}])
def test_a_diverging_image_is_left_out(options: dict[str, Any], context: Context, targets: Tensor) -> None:
    preset = optimiser(steps=10, **options)
    broken = targets.clone()
    broken[0, :, 3, 3] = 1e30  # its square is infinite
    done = run(preset, broken, context)
    assert done.status == ["diverged", "ok"]
    assert "stopped being finite" in done.reason[0]
    assert done.reason[1] == ""
    good = run(preset, targets, context)
    torch.testing.assert_close(done.variables["ws"][1], good.variables["ws"][1], rtol=1e-3, atol=1e-3)
    alone = run(preset, broken, context, side_by_side=1)
    assert same(alone.select(1), run(preset, targets, context, side_by_side=1).select(1))
    torch.testing.assert_close(done.variables["ws"][0], context.generator.w_avg.expand(8, -1))
    assert all(noise.isfinite().all() for noise in done.noise)


def test_a_picture_with_nan_is_refused_by_name(targets: Tensor) -> None:
    broken = targets.clone()
    broken[1, 0, 3, 3] = math.nan
    with pytest.raises(InputError, match=r"images b: .*nan"):
        Batch(targets=broken, seeds=(1, 2), image_ids=("a", "b"))
    with pytest.raises(ShapeError, match="2 images need as many seeds, got 1"):
        Batch(targets=targets, seeds=(1,))


@pytest.mark.parametrize("options", [{}, {"preview_steps": 10, "preview_px": 16, "preview_every": 1}])
def test_a_code_that_explodes_leaves_the_others_alone(
    options: dict[str, Any], context: Context, targets: Tensor
) -> None:
    broken = targets.clone()
    broken[0] = 1e18  # finite, but its square and its gradients are huge
    done = run(optimiser(steps=10, **options), broken, context)
    assert done.status[1] == "ok"
    good = run(optimiser(steps=10, **options), targets, context)
    torch.testing.assert_close(done.variables["ws"][1], good.variables["ws"][1], rtol=1e-3, atol=1e-3)
    assert done.variables["ws"].isfinite().all()


class Watched:
    """Counts how many pictures the generator draws at once; beyond `most` it runs out of memory."""

    def __init__(self, generator: Generator, patch: pytest.MonkeyPatch) -> None:
        self.counts: list[int] = []
        self.most = math.inf
        self.failures = 0
        plain = generator.run

        def watched(given: SynthesisInput, **more: Any) -> Any:
            if given.count > self.most:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore lines")
            self.counts.append(given.count)
            return plain(given, **more)

        patch.setattr(generator, "run", watched)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"preview_steps": 5, "preview_px": 16, "preview_every": 2},
        {"latent_noise": 0.05, "noise": "optimise", "noise_weight": 1.0, "space": "w"},
        {"space": "f16/zplus", "regularise": {"base": 0.1}, "init": "random"},
    ],
)
def test_images_take_turns(
    options: dict[str, Any], context: Context, many: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = optimiser(steps=6, **options)
    seeds = range(5)
    alone = join([run(preset, many[i : i + 1], context, [i]) for i in seeds])
    assert same(run(preset, many, context, seeds, side_by_side=1), alone)
    assert same(run(preset, many, context, seeds, side_by_side=None), alone)  # a CPU is fastest so
    watched = Watched(context.generator, monkeypatch)
    for side_by_side in (3, 9):
        watched.counts.clear()
        done = run(preset, many, context, seeds, side_by_side)
        assert max(watched.counts) == min(side_by_side, 5)
        torch.testing.assert_close(done.trace, alone.trace, rtol=1e-3, atol=1e-5)
        for name in done.variables:
            torch.testing.assert_close(done.variables[name], alone.variables[name], rtol=1e-2, atol=1e-2)
    with pytest.raises(ParamsError, match="side_by_side: wanted 1 or more"):
        run(preset, many, context, seeds, side_by_side=0)


def test_targets_are_prepared_when_their_turn_comes(
    context: Context, many: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: set[int] = set()
    most: list[int] = []

    class Counted(Mse):
        def prepare(self, target: Tensor) -> Tensor:
            own = target.clone()
            alive.add(id(own))
            weakref.finalize(own, alive.discard, id(own))
            most.append(len(alive))
            return own

    monkeypatch.setitem(LOSSES, "counted", Counted)
    preset = optimiser(steps=3, objective=[{"loss": "counted", "resolution": 32}])
    run(preset, many, context, range(5), side_by_side=2)
    gc.collect()
    assert max(most) <= 3  # two in work, one that comes
    assert len(most) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"latent_noise": 0.05, "space": "w"},
        {"preview_steps": 5, "preview_px": 16, "preview_every": 2},
        {"steps": 30, "stop": {"window": 4, "drop": 0.02}},
    ],
)
def test_where_memory_runs_out_fewer_are_in_work(
    options: dict[str, Any],
    context: Context,
    many: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    preset = optimiser(**({"steps": 8} | options))
    want = run(preset, many, context, range(5), side_by_side=1)
    watched = Watched(context.generator, monkeypatch)
    watched.most = 1
    done = run(preset, many, context, range(5), side_by_side=4)
    assert same(done, want)  # nothing of the failed steps is left
    assert watched.failures == 2
    assert [record.getMessage() for record in caplog.records] == [
        "memory ran out with 4 images side by side; continuing with 2",
        "memory ran out with 2 images side by side; continuing with 1",
    ]
    # In the middle of a run, with images of all ages.
    watched.most, watched.failures = 4, 0

    def later(step: float, steps: float, _: Tensor) -> None:
        if step > 0.3 * steps:
            watched.most = 1

    batch, four = Batch(targets=many, seeds=range(5)), dataclasses.replace(context, side_by_side=4)
    done = preset.inverter.run(batch, four, preset.options, later)
    assert watched.failures == 2
    torch.testing.assert_close(done.trace, want.trace, rtol=2e-2, atol=1e-5, equal_nan=True)
    watched.most = 0
    with pytest.raises(UnsupportedError, match=r"cpu: wanted memory for one image.*Tried to allocate 20.00 MiB\.\)"):
        run(preset, many, context, range(5), side_by_side=1)


@pytest.mark.slow
def test_as_many_images_are_in_work_as_fit(
    context: Context, many: Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a device where that helps, and where an image takes 5 bytes of 21 beside 3."""
    want = run(optimiser(steps=4), many, context, range(5), side_by_side=1)
    watched = Watched(context.generator, monkeypatch)
    measured: list[int] = []

    def peak(_: torch.device, work: Callable[[], object]) -> int:
        work()
        measured.append(watched.counts[-1])
        return 3 + 5 * measured[-1]

    monkeypatch.setattr(queue, "batching_helps", lambda device: True)
    monkeypatch.setattr(queue, "peak_memory", peak)
    monkeypatch.setattr(queue, "memory_budget", lambda device: 21)
    one, preset = dataclasses.replace(context, side_by_side=None), optimiser(steps=4)
    batch = Batch(targets=many, seeds=range(5))
    for _ in range(2):
        watched.counts.clear()
        done = preset.inverter.run(batch, one, preset.options)
        torch.testing.assert_close(done.trace, want.trace, rtol=1e-3, atol=1e-5)
        assert max(watched.counts) == 3
    assert measured == [1, 2]  # once for all batches
    watched.most = 2  # the measurement was wrong, which is remembered too
    for _ in range(2):
        preset.inverter.run(batch, one, preset.options)
    assert watched.failures == 1
    assert len([record for record in caplog.records if "memory ran out" in record.getMessage()]) == 1
    monkeypatch.setattr(queue, "memory_budget", lambda device: 9)
    watched.counts.clear()
    preset.inverter.run(batch, dataclasses.replace(one), preset.options)
    assert watched.counts.count(2) == 1  # the measurement itself


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    context: Context, many: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(context.generator, "run", broken)
    with pytest.raises(RuntimeError, match="something else"):
        run(optimiser(), many, context, range(5))


def test_an_image_keeps_its_seed_and_target_in_any_company(context: Context, targets: Tensor) -> None:
    one, two = (Crop(name, picture) for name, picture in zip("ab", to_pil(targets), strict=True))
    assert seeds_for([one, two], "w", 0)[1] == seeds_for([two], "w", 0)[0]
    assert len({*seeds_for([one, two], "w", 0), *seeds_for([one, two], "z", 0), *seeds_for([one, two], "w", 1)}) == 6
    torch.testing.assert_close(targets_of([one, two], context.generator), targets, atol=1 / 255, rtol=0)
