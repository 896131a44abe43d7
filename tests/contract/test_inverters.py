"""What every inverter of INVERTERS and every preset of params.yaml promises, on the tiny generator."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganvert.base import params
from ganvert.base.errors import InputError, ParamsError, ShapeError, UnknownNameError, UnsupportedError
from ganvert.codes import codes_of_inversion, read_codes, write_codes
from ganvert.compute.random import normal
from ganvert.encoders import Encoder, EncoderSpec, Prediction, load_encoder
from ganvert.encoders.joint import JointEncoder
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import to_pil
from ganvert.inversion.methods.chain import ChainOptions
from ganvert.inversion.methods.optimise import OptimiseOptions
from ganvert.inversion.presets import INVERTERS, Batch, Context, Inversion, Preset, join, read_preset
from ganvert.inversion.run import Crop, make_context, seeds_for, targets_of
from ganvert.inversion.schedule import learning_rate
from ganvert.losses import LOSSES
from ganvert.losses.pixel import Mse
from ganvert.spaces import make_space

# The package has a function of that name too.
optimise_module = importlib.import_module("ganvert.inversion.methods.optimise")
PRESETS = params.section(params.load(Path(__file__).parents[2] / "params.yaml"), "invert.options")
MSE = ({"loss": "mse", "resolution": 64},)


class MeanEncoder(Encoder):
    """Sees nothing and answers w_avg plus a little, or what it is told: enough to start from."""

    def __init__(self, generator: Generator, **told: Tensor) -> None:
        nn.Module.__init__(self)
        self.spec = EncoderSpec(backbone="vgg", heads={"compact": {}})
        self.input_px, self.generator_fingerprint = 32, generator.fingerprint()
        self.register_buffer("w_avg", generator.w_avg.clone())
        self.offset = nn.Parameter(0.1 * normal([3], (generator.num_ws, generator.w_dim))[0], requires_grad=False)
        self.told: Prediction = told or {"ws": self.w_avg + self.offset}
        for name, value in told.items():
            self.register_buffer(f"told_{name}", value)

    def forward(self, images: Tensor) -> Prediction:
        assert images.shape[1:] == (3, 32, 32)
        return {name: value.expand(len(images), *value.shape) for name, value in self.told.items()}


@pytest.fixture(scope="module")
def context(tiny_generator: MobileStyleGAN) -> Context:
    return Context(generator=tiny_generator, encoder=MeanEncoder(tiny_generator))


@pytest.fixture(scope="module")
def targets(tiny_generator: MobileStyleGAN) -> Tensor:
    """Two of the generator's own pictures, clamped as photographs are."""
    return tiny_generator.synthesize(ws=tiny_generator.map(normal([103, 107], (16,)))).clamp(-1, 1)


def optimiser(**options: Any) -> Preset:
    told = {"inverter": "optimise", "space": "wplus", "steps": 20, "lr": 0.05, "objective": MSE, **options}
    return read_preset("mine", told)


def shrunk(name: str) -> Preset:
    """A preset of params.yaml with few steps; only pixels are compared, since its losses have tests of their own."""
    return read_preset(name, few_steps(PRESETS[name]))


def few_steps(raw: Mapping[str, Any]) -> dict[str, Any]:
    if raw["inverter"] == "chain":
        return {**raw, "stages": [few_steps(stage) for stage in raw["stages"]]}
    if raw["inverter"] == "tune":
        less = {"adversarial": {"local": 0.01, "everywhere": 0.01, "samples": 1, "resolution": 16, "channels": 8}}
        less = {"objective": MSE, "steps": 10, "lr": 0.003, "stop": None} | (less if raw.get("adversarial") else {})
        if raw.get("locality"):
            less["locality"] = {**raw["locality"], "objective": MSE}
        return {**raw, **less}
    if raw["inverter"] == "optimise":
        lr = raw["lr"] if raw.get("optimiser") == "lbfgs" else min(max(raw["lr"], 0.03), 0.1)
        raw = {**raw, "steps": 30, "lr": lr, "objective": MSE}
        if raw.get("preview_steps"):
            raw |= {"preview_steps": 10, "preview_px": 16, "preview_every": 5}
    return dict(raw)


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
def test_every_preset_is_read(name: str) -> None:
    preset = read_preset(name, PRESETS[name])
    assert isinstance(preset.options, INVERTERS[PRESETS[name]["inverter"]].options)
    stages = PRESETS[name].get("stages", [PRESETS[name]])
    wants = ["encoder" in {stage.get("init"), *stage.get("regularise", {})} for stage in stages]
    one_pass = PRESETS[name]["inverter"] == "feed_forward"
    assert preset.needs_encoder == (one_pass or name == "ensemble" or any(wants))
    assert preset.needs_discriminator == name.endswith("near_perfect")
    assert preset.together == (name == "pti_together")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_and_optimisers_lower_their_objective(name: str, context: Context, targets: Tensor) -> None:
    preset = shrunk(name)
    told: list[tuple[float, float]] = []
    batch = Batch(targets=targets, seeds=(1, 2))
    context = dataclasses.replace(context, side_by_side=2)
    done = preset.inverter.run(batch, context, preset.options, lambda step, total, _: told.append((step, total)))
    assert done.status == ["ok", "ok"]
    assert all(not value.requires_grad and value.isfinite().all() for value in done.variables.values())
    done_share = [step / total for step, total in told]
    assert done_share == sorted(set(done_share))
    assert done_share[-1] == pytest.approx(1)
    one_pass = PRESETS[name]["inverter"] == "feed_forward"
    assert done.trace.shape == (2, 0 if one_pass else preset.steps)
    if one_pass:
        return
    first = preset.options.presets()[0] if isinstance(preset.options, ChainOptions) else preset
    options = first.options
    assert isinstance(options, OptimiseOptions)
    start = options.preview_steps  # the two objectives are not comparable
    assert (done.trace[:, start : options.steps].amin(dim=1) < done.trace[:, start]).all()
    nothing = {"steps": 1, "preview_steps": 0, "lr": 1e-9, "optimiser": "adam"}
    still = dataclasses.replace(first, options=dataclasses.replace(options, **nothing))
    assert (error(done, targets, context) < error(run(still, targets, context), targets, context)).all()


def test_every_stage_goes_on_where_the_one_before_ended(context: Context, targets: Tensor) -> None:
    def stage(**options: Any) -> dict[str, Any]:
        return {"inverter": "optimise", "space": "wplus", "lr": 0.05, "steps": 10, "objective": MSE, **options}

    noise = {"code": "fixed", "noise": "optimise", "noise_init": "stored", "noise_normalise": False}
    stages = [stage(), stage(space="f16/wplus", init="previous", steps=5), stage(init="previous", steps=5, **noise)]
    stages[2]["space"] = "f16/wplus"
    done = run(read_preset("mine", {"inverter": "chain", "stages": stages}), targets, context)
    assert done.trace.shape == (2, 20)
    # The first step of a stage sees the code that the stage before left: its objective fits into the falling curve.
    for i in (10, 15):
        assert (done.trace[:, i] < done.trace[:, i - 1] * 1.05).all()
    assert (error(done, targets, context) < done.trace[:, 15]).all()
    before = run(read_preset("mine", {"inverter": "chain", "stages": stages[:2]}), targets, context)
    assert all(torch.equal(done.variables[name], before.variables[name]) for name in before.variables)
    stored = context.generator.stored_noise()
    moved = [not torch.equal(a, b.expand_as(a)) for a, b in zip(done.noise, stored, strict=True)]
    assert moved == [False] * 5 + [True] * 2  # nothing before the 16 px feature acts


def test_stored_noise_given_is_stored_noise(context: Context) -> None:
    generator = context.generator
    ws = generator.map(normal([5], (16,)))
    given = generator.synthesize(ws=ws, noise=generator.stored_noise())
    torch.testing.assert_close(given, generator.synthesize(ws=ws))


def test_lbfgs_finds_the_minimum_faster_than_adam(context: Context, targets: Tensor) -> None:
    lbfgs = run(optimiser(steps=30, optimiser="lbfgs", lr=1.0), targets, context)
    adam = run(optimiser(steps=30, lr=0.1), targets, context)
    assert (error(lbfgs, targets, context) < error(adam, targets, context)).all()
    alone = run(optimiser(steps=30, optimiser="lbfgs", lr=1.0), targets[1:], context, (2,))
    assert torch.equal(alone.variables["ws"][0], lbfgs.variables["ws"][1])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"code": "fixed"}, "nothing to optimise"),
        ({"optimiser": "lbfgs", "ramp_down": 0.3}, "may not change between steps"),
        ({"optimiser": "lbfgs", "noise": "optimise"}, "normalised between steps"),
        ({"detail_init": "mean"}, "feature map"),
        ({"regularise": {"base": 1.0}}, "feature map"),
        ({"space": "f16/s", "regularise": {"base": 1.0, "pn": 1.0}}, "look at ws"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ParamsError, match=match):
        optimiser(**options)


def test_a_stage_without_one_before_it(context: Context, targets: Tensor) -> None:
    with pytest.raises(ParamsError, match="goes on from an earlier one"):
        run(optimiser(init="previous"), targets, context)
    with pytest.raises(ParamsError, match="goes on from an earlier one"):
        run(read_preset("mine", {"inverter": "tune", "steps": 1, "lr": 0.1, "objective": MSE}), targets, context)


def test_penalties_of_the_encoder(context: Context, targets: Tensor) -> None:
    """The test's encoder always answers w_avg + offset, so that a strong penalty pulls the code there."""
    encoder = context.require_encoder()
    assert isinstance(encoder, MeanEncoder)
    goal = context.generator.w_avg + encoder.offset
    options = {"steps": 60, "lr": 0.05, "ramp_down": 0.5, "init": "mean"}
    held = run(optimiser(regularise={"encoder": 1e4}, **options), targets, context)
    torch.testing.assert_close(held.variables["ws"], goal.expand(2, -1, -1), atol=0.02, rtol=0)
    # From the mean code, the second one is the constant mean(offset^2): it shifts the trace and moves nothing.
    plain = run(optimiser(**options), targets, context)
    told = run(optimiser(regularise={"encoder_start": 3.0}, **options), targets, context)
    torch.testing.assert_close(told.trace, plain.trace + 3 * encoder.offset.square().mean())


def test_what_an_encoder_predicts_is_where_a_method_starts(context: Context, targets: Tensor) -> None:
    """A map f0 from one encoder, and rows from another: both are the start, and `base` holds the map at f0."""
    generator = context.generator
    shape = make_space("f16/wplus", generator).shapes["f"]
    f0 = normal([5], shape)[0]
    alone = dataclasses.replace(context, encoder=MeanEncoder(generator, f16=f0))
    feed = read_preset("mine", {"inverter": "feed_forward", "space": "f16/wplus"})
    found = run(feed, targets, alone)
    assert torch.equal(found.variables["f"], f0.expand(2, *shape))
    assert torch.equal(found.variables["ws"], generator.w_avg.expand_as(found.variables["ws"]))
    still: dict[str, Any] = {"steps": 1, "lr": 1e-9, "init": "encoder"}
    found = run(optimiser(space="f16/zplus", **still), targets, alone)
    torch.testing.assert_close(found.variables["f"], f0.expand(2, *shape))
    assert not torch.allclose(found.variables["z"][0], found.variables["z"][1])
    held = run(optimiser(space="f16/wplus", init="encoder", regularise={"base": 1e5}), targets, alone)
    free = run(optimiser(space="f16/wplus", init="encoder"), targets, alone)
    assert (held.variables["f"] - f0).abs().amax() < 0.3 * (free.variables["f"] - f0).abs().amax()

    both = JointEncoder([MeanEncoder(generator), MeanEncoder(generator, f16=f0)])
    together = dataclasses.replace(context, encoder=both)
    found = run(optimiser(space="f16/wplus", regularise={"encoder": 1.0}, **still), targets, together)
    rows = (generator.w_avg + both.members[0].offset)[-found.variables["ws"].shape[1] :]  # type: ignore[operator]
    torch.testing.assert_close(found.variables["ws"], rows.expand(2, -1, -1))
    torch.testing.assert_close(found.variables["f"], f0.expand(2, *shape))
    assert both.fingerprint() != JointEncoder(both.members[::-1]).fingerprint()
    assert JointEncoder(both.members[:1]).fingerprint() == both.members[0].fingerprint()

    for preset in (read_preset("mine", {"inverter": "feed_forward"}), optimiser(init="encoder")):
        with pytest.raises(UnsupportedError, match="predicts f16; space 'wplus' needs ws"):
            run(preset, targets, alone)
    for preset in (
        read_preset("mine", {"inverter": "feed_forward", "space": "z"}),
        optimiser(init="encoder", space="z"),
    ):
        with pytest.raises(UnsupportedError, match="no encoder predicts codes of space 'z'"):
            preset.check(generator)
    with pytest.raises(UnsupportedError, match="predicts f16, not ws"):
        run(optimiser(regularise={"encoder": 1.0}), targets, alone)
    with pytest.raises(UnsupportedError, match="predicts f16, not ws"):
        JointEncoder([alone.require_encoder()]).rows(targets)  # type: ignore[list-item]
    with pytest.raises(ParamsError, match="at least one"):
        JointEncoder([])


@pytest.mark.parametrize("init", ["mean", "encoder"])
def test_a_generated_picture_is_recovered(init: str, context: Context, targets: Tensor) -> None:
    done = run(optimiser(steps=100, lr=0.1, ramp_down=0.3, init=init), targets, context)
    assert (done.trace[:, 0] > 0.02).all()
    assert (error(done, targets, context) <= 0.01).all()
    assert (error(done, targets, context) < done.trace[:, 0] / 10).all()


@pytest.mark.parametrize("space", ["f16/w", "f16/wplus", "f16/z", "f16/zplus", "f16/zplusplus", "f16/s", "f16/pnplus"])
def test_a_generated_picture_is_recovered_better_with_a_feature(space: str, context: Context, targets: Tensor) -> None:
    done = run(optimiser(steps=120, lr=0.1, ramp_down=0.3, space=space), targets, context)
    assert (done.trace[:, 0] > 0.02).all()
    assert (error(done, targets, context) <= 0.003).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"space": "z", "init": "random"},
        {"space": "w", "noise": "optimise", "noise_weight": 10.0, "latent_noise": 0.05, "regularise": {"w_norm": 0.1}},
        {"preview_steps": 8, "preview_px": 16, "preview_every": 4},
    ],
)
def test_images_do_not_influence_each_other(options: dict[str, Any], context: Context, targets: Tensor) -> None:
    preset = optimiser(steps=12, **options)
    both = run(preset, targets, context)
    alone = join([run(preset, targets[i : i + 1], context, (1 + i,)) for i in range(2)])
    # Not to the bit: other batch sizes sum in another order, and Adam's division by the root of tiny second moments
    # magnifies that in coordinates with next to no gradient. The objective does not feel those.
    torch.testing.assert_close(both.trace, alone.trace, rtol=1e-3, atol=1e-5)
    for name in both.variables:
        torch.testing.assert_close(both.variables[name], alone.variables[name], rtol=1e-2, atol=1e-2)


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
def test_a_code_that_explodes_harms_nobody_else(options: dict[str, Any], context: Context, targets: Tensor) -> None:
    broken = targets.clone()
    broken[0] = 1e18  # finite, but its square and its gradients are huge
    done = run(optimiser(steps=10, **options), broken, context)
    assert done.status[1] == "ok"
    good = run(optimiser(steps=10, **options), targets, context)
    torch.testing.assert_close(done.variables["ws"][1], good.variables["ws"][1], rtol=1e-3, atol=1e-3)
    assert done.variables["ws"].isfinite().all()


def test_schedule_of_the_stylegan2_projector() -> None:
    options = read_preset("projector", PRESETS["projector"]).options
    assert (options.steps, options.lr, options.ramp_up, options.ramp_down) == (1000, 0.1, 0.05, 0.25)
    for step, height in [(0, 0), (10, 0.2), (25, 0.5), (50, 1), (500, 1), (750, 1), (875, 0.5), (1000, 0)]:
        assert learning_rate(step, options) == pytest.approx(0.1 * height, abs=1e-9)
    assert learning_rate(900, options) == pytest.approx(0.1 * (0.5 - 0.5 * math.cos(math.pi * 0.4)))
    assert learning_rate(7, dataclasses.replace(options, ramp_up=0.0, ramp_down=0.0)) == 0.1


def test_keep_best_and_last(context: Context, targets: Tensor) -> None:
    bumpy = {"steps": 25, "lr": 0.6}  # far too fast: the objective goes up and down
    best, last = (run(optimiser(keep=keep, **bumpy), targets, context) for keep in ("best", "last"))
    assert torch.equal(best.trace, last.trace)
    assert best.best_step.tolist() == best.trace.argmin(dim=1).tolist()
    lowest = best.trace.amin(dim=1)
    torch.testing.assert_close(error(best, targets, context), lowest, rtol=1e-4, atol=1e-6)
    assert not torch.equal(best.variables["ws"], last.variables["ws"])


def test_optimised_noise_is_stored_and_drawn(context: Context, targets: Tensor, tmp_path: Path) -> None:
    preset = optimiser(noise="optimise", noise_weight=1.0)
    done = run(preset, targets, context)
    assert [tuple(noise.shape[2:]) for noise in done.noise] == list(context.generator.noise_shapes)
    for noise in done.noise:
        assert noise.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-5)
        assert noise.square().mean(dim=(1, 2, 3)).sqrt().tolist() == pytest.approx([1, 1], rel=1e-3)
    write_codes(tmp_path / "codes.parquet", preset, done, ["a", "b"], [1, 2], context)
    back = read_codes(tmp_path / "codes.parquet", context.generator)
    fresh = codes_of_inversion(done, ["a", "b"], "mine", context.generator)
    assert torch.equal(back.draw(), fresh.draw())
    own = context.generator.synthesize(back.space.decode(back.variables))
    assert not torch.equal(back.draw(), own)


def test_options_that_cannot_be(context: Context, targets: Tensor) -> None:
    for options, message in [
        ({"space": "wpluss"}, "Did you mean 'wplus'"),
        ({"regularise": {"norm": 1.0}}, "unknown regulariser"),
        ({"objective": [{"loss": "msee"}]}, "unknown loss"),
    ]:
        with pytest.raises(UnknownNameError, match=message):
            optimiser(**options)
    for options, message in [
        ({"steps": 0}, "steps must be at least 1"),
        ({"preview_steps": 21}, "preview_steps must be between 0 and steps"),
        ({"noise_weight": 1.0}, "noise_weight acts only"),
        ({"preview_steps": 3, "noise": "optimise"}, "preview_steps cannot see"),
        ({"lrr": 1.0}, "did you mean 'lr'"),
        ({"init": "zero"}, "invert.options.mine.init: wanted one of"),
    ]:
        with pytest.raises(ParamsError, match=message):
            optimiser(**options)
    with pytest.raises(ParamsError, match="key 'inverter'"):
        read_preset("mine", {"space": "w"})
    with pytest.raises(UnsupportedError, match="cannot start from w"):
        run(optimiser(space="z", init="mean"), targets, context)
    with pytest.raises(UnsupportedError, match="starts from an encoder"):
        run(optimiser(init="encoder"), targets, Context(generator=context.generator))


@pytest.fixture(scope="module")
def many(tiny_generator: MobileStyleGAN) -> Tensor:
    """Five of the generator's own pictures, from hard to easy: the last ones lie near the mean."""
    ws = tiny_generator.map(normal(range(200, 205), (16,)))
    near = torch.tensor([1.0, 0.8, 0.6, 0.3, 0.1]).view(5, 1, 1)
    return tiny_generator.synthesize(ws=torch.lerp(tiny_generator.w_avg.expand_as(ws), ws, near)).clamp(-1, 1)


class Watched:
    """Counts how many pictures the generator draws at once, and fails where it is told to."""

    def __init__(self, generator: Generator, patch: pytest.MonkeyPatch) -> None:
        self.counts: list[int] = []
        self.most = math.inf
        self.failures = 0
        plain = generator.run

        def watched(told: SynthesisInput, **more: Any) -> Any:
            if told.count > self.most:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore lines")
            self.counts.append(told.count)
            return plain(told, **more)

        patch.setattr(generator, "run", watched)


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
    preset = optimiser(steps=8, **options)
    seeds = range(5)
    alone = join([run(preset, many[i : i + 1], context, [i]) for i in seeds])
    assert same(run(preset, many, context, seeds, side_by_side=1), alone)
    assert same(run(preset, many, context, seeds, side_by_side=None), alone)  # a CPU is fastest so
    watched = Watched(context.generator, monkeypatch)
    for side_by_side in (2, 3, 9):
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


STOP = {"stop": {"window": 4, "drop": 0.02}}


def test_converged_images_leave_and_others_enter(
    context: Context, many: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = optimiser(steps=60, **STOP)
    told: list[float] = []
    watched = Watched(context.generator, monkeypatch)
    batch, two = Batch(targets=many, seeds=range(5)), dataclasses.replace(context, side_by_side=2)
    done = preset.inverter.run(batch, two, preset.options, lambda step, steps, _: told.append(step / steps))
    taken = done.trace.isfinite().sum(dim=1)
    assert done.status == ["ok"] * 5
    assert len(set(taken.tolist())) > 2
    assert taken.amax() < 60
    # No place stays empty while somebody waits.
    assert watched.counts.count(2) * 2 + watched.counts.count(1) == taken.sum()
    assert set(watched.counts[: -int(taken.amax())]) <= {2}
    assert told == sorted(set(told))
    assert told[-1] == pytest.approx(1)
    for i, steps in enumerate(taken.tolist()):
        line = done.trace[i]
        assert line[steps:].isnan().all()
        assert int(done.best_step[i]) == int(line[:steps].argmin())
        # The definition, and that it was not met a step earlier.
        for count, met in ((steps, True), (steps - 1, False)):
            before, last = line[: count - 4], line[count - 4 : count]
            assert (len(before) > 0 and bool(last.min() > 0.98 * before.min())) == met
        # It is what a run of so many steps finds.
        short = run(optimiser(steps=steps), many[i : i + 1], context, [i])
        stopped = run(preset, many[i : i + 1], context, [i])
        assert torch.equal(stopped.trace[:, :steps], short.trace)
        assert torch.equal(stopped.variables["ws"], short.variables["ws"])


def test_nobody_stops_within_the_preview_or_the_ramp(context: Context, targets: Tensor) -> None:
    told: dict[str, Any] = {"lr": 1e-7, "stop": {"window": 2, "drop": 0.1}}  # flat everywhere
    for more, first in (({}, 3), ({"preview_steps": 11, "preview_px": 16}, 14), ({"ramp_up": 0.4}, 11)):
        done = run(optimiser(steps=20, **told, **more), targets, context)
        assert done.trace.isfinite().sum(dim=1).tolist() == [first, first]
    lbfgs = run(optimiser(steps=40, optimiser="lbfgs", **{**told, "lr": 1.0}), targets, context)
    assert (lbfgs.trace.isfinite().sum(dim=1) < 40).all()
    # In a chain the next stage goes on behind the steps that were spared.
    stage = {"inverter": "optimise", "space": "wplus", "steps": 20, "objective": MSE}
    stages = [stage | told, stage | {"init": "previous", "lr": 0.05, "steps": 5}]
    done = run(read_preset("mine", {"inverter": "chain", "stages": stages}), targets, context)
    assert done.trace.isfinite().sum(dim=1).tolist() == [8, 8]
    assert done.trace[:, 20:].isfinite().all()
    assert done.best_step.tolist() == (20 + done.trace[:, 20:].argmin(dim=1)).tolist()
    for bad in ({"window": 1}, {"drop": 1.0}, {"drop": -0.1}):
        with pytest.raises(ParamsError, match="stop: wanted a window of 2 or more"):
            optimiser(stop=bad)


@pytest.mark.parametrize(
    "options",
    [
        {"latent_noise": 0.05, "space": "w"},
        {"preview_steps": 5, "preview_px": 16, "preview_every": 2},
        STOP | {"steps": 30},
    ],
)
def test_where_memory_runs_out_fewer_are_worked_on(
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
        "memory ran out with 4 images side by side; going on with 2",
        "memory ran out with 2 images side by side; going on with 1",
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


def test_as_many_images_are_worked_on_as_fit(
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

    monkeypatch.setattr(optimise_module, "_helps", lambda device: True)
    monkeypatch.setattr(optimise_module, "peak_memory", peak)
    monkeypatch.setattr(optimise_module, "memory_budget", lambda device: 21)
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
    monkeypatch.setattr(optimise_module, "memory_budget", lambda device: 9)
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


def test_an_encoder_sees_a_few_pictures_at_once(context: Context, many: Tensor) -> None:
    preset, seen, shares = read_preset("mine", {"inverter": "feed_forward"}), [], []
    encoder = MeanEncoder(context.generator)
    encoder.register_forward_pre_hook(lambda _, pictures: seen.append(len(pictures[0])))
    one = dataclasses.replace(context, encoder=encoder, side_by_side=2)
    batch = Batch(targets=many, seeds=range(5))
    done = preset.inverter.run(batch, one, preset.options, lambda step, steps, _: shares.append(step / steps))
    assert seen == [2, 2, 1]
    assert shares == [0.4, 0.8, 1]
    assert same(done, run(preset, many, one, range(5), side_by_side=5))
    assert len(done.variables["ws"]) == 5


def test_an_image_keeps_its_seed_and_target_in_any_company(context: Context, targets: Tensor) -> None:
    one, two = (Crop(name, picture) for name, picture in zip("ab", to_pil(targets), strict=True))
    assert seeds_for([one, two], "w", 0)[1] == seeds_for([two], "w", 0)[0]
    assert len({*seeds_for([one, two], "w", 0), *seeds_for([one, two], "z", 0), *seeds_for([one, two], "w", 1)}) == 6
    torch.testing.assert_close(targets_of([one, two], context.generator), targets, atol=1 / 255, rtol=0)


def test_encoders_of_two_files_work_together(context: Context, targets: Tensor, tmp_path: Path) -> None:
    generator, files = context.generator, [tmp_path / "rows.safetensors", tmp_path / "map.safetensors"]
    told: dict[str, Any] = {"backbone": "plain_narrow", "input_px": 64}
    rows = EncoderSpec(**told, heads={"pooled": {}})
    feature = EncoderSpec(**told, space="f16/wplus", heads={"base_code": {"width": 8}})
    for spec, file in zip((rows, feature), files, strict=True):
        Encoder(spec, generator).save(file, "")
    preset = read_preset("mine", {"inverter": "feed_forward", "space": "fs16/wplus"})
    single = make_context(preset, generator, files[0], None).require_encoder()
    assert single.fingerprint() == load_encoder(files[0], generator).fingerprint()
    found = run(preset, targets, make_context(preset, generator, files, None))
    assert torch.equal(found.variables["ws"], single.encode(targets)["ws"])
    assert torch.equal(found.variables["f"], load_encoder(files[1], generator).encode(targets)["f16"])
