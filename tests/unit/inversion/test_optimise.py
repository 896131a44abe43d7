"""Optimisation: options, starts, noise, penalties, schedules, and when an image is done."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganvert.base.errors import ParamsError, UnknownNameError, UnsupportedError
from ganvert.codes import codes_of_inversion, read_codes, write_codes
from ganvert.compute.random import normal
from ganvert.encoders import Encoder, EncoderSpec, Prediction, load_encoder
from ganvert.encoders.joint import JointEncoder
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.methods.image_state import ImageState
from ganvert.inversion.methods.optimise_options import OptimiseOptions
from ganvert.inversion.presets import Batch, Context, Inversion, Preset, read_preset
from ganvert.inversion.run import make_context
from ganvert.inversion.schedule import scheduled_rate
from ganvert.spaces import make_space

MSE = ({"loss": "mse", "resolution": 64},)
STOP = {"stop": {"window": 4, "drop": 0.02}}


class MeanEncoder(Encoder):
    """Predicts w_avg plus a constant for every picture, or the given parts of a code: enough to start from."""

    def __init__(self, generator: Generator, **parts: Tensor) -> None:
        nn.Module.__init__(self)
        self.spec, self.heads = EncoderSpec(backbone="vgg", heads={"compact": {}}), nn.ModuleDict()
        self.backbone, self.neck = nn.Identity(), None
        self.input_px, self.generator_fingerprint = 32, generator.fingerprint()
        self.register_buffer("w_avg", generator.w_avg.clone())
        self._generator = [generator]
        self.offset = nn.Parameter(0.1 * normal([3], (generator.num_ws, generator.w_dim))[0], requires_grad=False)
        self.prediction: Prediction = parts or {"ws": self.w_avg + self.offset}
        for name, value in parts.items():
            self.register_buffer(f"part_{name}", value)

    @property
    def parts(self) -> set[str]:
        return set(self.prediction)

    def forward(self, images: Tensor) -> Prediction:
        assert images.shape[1:] == (3, 32, 32)
        return {name: value.expand(len(images), *value.shape) for name, value in self.prediction.items()}


@pytest.fixture(scope="module")
def context(tiny_generator: MobileStyleGAN) -> Context:
    return Context(generator=tiny_generator, encoder=MeanEncoder(tiny_generator), side_by_side=2)


@pytest.fixture(scope="module")
def pictures(tiny_generator: MobileStyleGAN) -> Tensor:
    """Five of the generator's own pictures, from hard to easy: the last ones lie near the mean."""
    ws = tiny_generator.map(normal([103, 107, 202, 203, 204], (16,)))
    near = torch.tensor([1.0, 1.0, 0.6, 0.3, 0.1]).view(5, 1, 1)
    return tiny_generator.synthesize(ws=torch.lerp(tiny_generator.w_avg.expand_as(ws), ws, near)).clamp(-1, 1)


@pytest.fixture(scope="module")
def targets(pictures: Tensor) -> Tensor:
    return pictures[:2]


def optimiser(**options: Any) -> Preset:
    raw = {"inverter": "optimise", "space": "wplus", "steps": 20, "lr": 0.05, "objective": MSE, **options}
    return read_preset("mine", raw)


def run(preset: Preset, targets: Tensor, context: Context, seeds: Sequence[int] = (1, 2)) -> Inversion:
    return preset.inverter.run(Batch(targets=targets, seeds=seeds), context, preset.options)


def error(inversion: Inversion, targets: Tensor, context: Context) -> Tensor:
    codes = codes_of_inversion(inversion, ["x"] * len(targets), "mine", context.generator)
    return (codes.draw() - targets).square().mean(dim=(1, 2, 3))


def test_every_stage_starts_where_the_one_before_ended(context: Context, targets: Tensor) -> None:
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


def test_variables_move_at_their_own_rates(context: Context, targets: Tensor) -> None:
    """The first step of Adam is as long as its learning rate, whatever the gradient."""
    one = {"space": "f16/wplus", "steps": 1, "lr": 0.02}
    still = run(optimiser(**{**one, "lr": 1e-12}), targets, context).variables
    for rates, wanted in (({}, {"f": 0.02, "ws": 0.02}), ({"ws": 0.25, "f": 1.5}, {"f": 0.03, "ws": 0.005})):
        moved = run(optimiser(**one, rates=rates), targets, context).variables
        for name, length in wanted.items():
            step = (moved[name] - still[name]).abs().amax().item()
            assert step == pytest.approx(length, rel=1e-3), (rates, name)
    with pytest.raises(UnknownNameError, match=r"unknown variable of f16/wplus 'w'"):
        run(optimiser(**one, rates={"w": 0.5}), targets, context)


def test_latent_noise_is_on_what_is_optimised(context: Context, targets: Tensor) -> None:
    """Masks of feature maps are chosen before, and stay as they are in every step."""
    options = optimiser(space="m16-32/wplus", latent_noise=0.1).options
    one = Batch(targets=targets[:1], seeds=[1])
    state = ImageState(0, one, make_space(options.space, context.generator), context, options)
    moved = {name for name, value in state.jittered(5.0).items() if not torch.equal(value, state.variables[name])}
    assert moved == {"ws", "d16", "d32"}


def test_stored_noise_given_is_stored_noise(context: Context) -> None:
    generator = context.generator
    ws = generator.map(normal([5], (16,)))
    given = generator.synthesize(ws=ws, noise=generator.stored_noise())
    torch.testing.assert_close(given, generator.synthesize(ws=ws))


def test_lbfgs_finds_the_minimum_faster_than_adam(context: Context, targets: Tensor) -> None:
    lbfgs = run(optimiser(steps=12, optimiser="lbfgs", lr=1.0), targets, context)
    adam = run(optimiser(steps=12, lr=0.1), targets, context)
    assert (error(lbfgs, targets, context) < error(adam, targets, context)).all()
    alone = run(optimiser(steps=12, optimiser="lbfgs", lr=1.0), targets[1:], context, (2,))
    assert torch.equal(alone.variables["ws"][0], lbfgs.variables["ws"][1])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"code": "fixed"}, "nothing to optimise"),
        ({"optimiser": "lbfgs", "ramp_down": 0.3}, "may not change between steps"),
        ({"optimiser": "lbfgs", "noise": "optimise"}, "normalised between steps"),
        ({"detail_init": "mean"}, "feature map"),
        ({"space": "pad/wplus", "detail_init": "mean"}, "feature map"),
        ({"space": "f16/z", "init": "random", "detail_init": "mean"}, "drawn whole"),
        ({"code": "fixed", "noise": "optimise", "latent_noise": 0.1}, "latent_noise acts only with code: optimise"),
        ({"regularise": {"base": 1.0}}, "feature map"),
        ({"space": "f16/s", "regularise": {"base": 1.0, "pn": 1.0}}, "use ws"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ParamsError, match=match):
        optimiser(**options)


def test_a_stage_without_one_before_it(context: Context, targets: Tensor) -> None:
    with pytest.raises(ParamsError, match="resumes an earlier one"):
        run(optimiser(init="previous"), targets, context)
    with pytest.raises(ParamsError, match="resumes an earlier one"):
        run(read_preset("mine", {"inverter": "tune", "steps": 1, "lr": 0.1, "objective": MSE}), targets, context)


@pytest.mark.slow
def test_penalties_of_the_encoder(context: Context, targets: Tensor) -> None:
    """The test's encoder always answers w_avg + offset, so that a strong penalty pulls the code there."""
    encoder = context.require_encoder()
    assert isinstance(encoder, MeanEncoder)
    goal = context.generator.w_avg + encoder.offset
    options = {"steps": 40, "lr": 0.05, "ramp_down": 0.5, "init": "mean"}
    held = run(optimiser(regularise={"encoder": 1e4}, **options), targets, context)
    torch.testing.assert_close(held.variables["ws"], goal.expand(2, -1, -1), atol=0.02, rtol=0)
    # From the mean code, the second one is the constant mean(offset^2): it shifts the trace and moves nothing.
    plain = run(optimiser(**options), targets, context)
    shifted = run(optimiser(regularise={"encoder_start": 3.0}, **options), targets, context)
    torch.testing.assert_close(shifted.trace, plain.trace + 3 * encoder.offset.square().mean())


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
    for detail, same in (("ws", True), ("random", False)):  # rows that are not predicted are w_avg's
        found = run(optimiser(space="f16/zplus", detail_init=detail, **still), targets, alone)
        torch.testing.assert_close(found.variables["f"], f0.expand(2, *shape))
        assert torch.allclose(found.variables["z"][0], found.variables["z"][1]) == same
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
        with pytest.raises(UnsupportedError, match="predicts f16; space 'z' needs ws"):
            run(preset, targets, alone)
    with pytest.raises(UnsupportedError, match="predicts f16, not ws"):
        run(optimiser(regularise={"encoder": 1.0}), targets, alone)
    with pytest.raises(UnsupportedError, match="predicts f16, not ws"):
        JointEncoder([alone.require_encoder()]).rows(targets)  # type: ignore[list-item]
    with pytest.raises(ParamsError, match="at least one"):
        JointEncoder([])


def test_an_encoder_has_to_go_with_the_stage_that_asks_for_it(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    """A first stage that starts from the mean code asks for none."""
    spec = EncoderSpec(space="f16/wplus", backbone="plain_narrow", heads={"base_code": {"width": 8}}, input_px=32)
    Encoder(spec, tiny_generator).save(tmp_path / "f16.safetensors", "")
    raw = {"inverter": "optimise", "steps": 1, "lr": 0.1, "objective": MSE}
    rows, feature = ({**raw, "space": space, "init": "encoder"} for space in ("wplus", "f16/wplus"))
    chain = {"inverter": "chain", "stages": [{**rows, "init": "mean"}, feature]}
    context = make_context(read_preset("mine", chain), tiny_generator, tmp_path / "f16.safetensors", None)
    assert context.require_encoder().parts == {"f16"}
    with pytest.raises(UnsupportedError, match="predicts f16; space 'wplus' needs ws"):
        chain = {"inverter": "chain", "stages": [feature, rows]}
        make_context(read_preset("mine", chain), tiny_generator, tmp_path / "f16.safetensors", None)


def test_schedule_of_the_stylegan2_projector() -> None:
    options = optimiser(space="w", steps=1000, lr=0.1, ramp_up=0.05, ramp_down=0.25).options
    assert isinstance(options, OptimiseOptions)
    for step, height in [(0, 0), (10, 0.2), (25, 0.5), (50, 1), (500, 1), (750, 1), (875, 0.5), (1000, 0)]:
        assert scheduled_rate(step, options) == pytest.approx(0.1 * height, abs=1e-9)
    assert scheduled_rate(900, options) == pytest.approx(0.1 * (0.5 - 0.5 * math.cos(math.pi * 0.4)))
    assert scheduled_rate(7, dataclasses.replace(options, ramp_up=0.0, ramp_down=0.0)) == 0.1


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
    own = context.generator.synthesize(back[0].space.decode(back.variables))
    assert not torch.equal(back.draw(), own)


def test_options_that_cannot_be(context: Context, targets: Tensor) -> None:
    for options, message in [
        ({"space": "wpluss"}, "Did you mean 'wplus'"),
        ({"regularise": {"norm": 1.0}}, "unknown penalty"),
        ({"objective": [{"loss": "msee"}]}, "unknown loss"),
    ]:
        with pytest.raises(UnknownNameError, match=message):
            optimiser(**options)
    for options, message in [
        ({"steps": 0}, "steps must be at least 1"),
        ({"preview_steps": 21}, "preview_steps must be between 0 and steps"),
        ({"noise_weight": 1.0}, "noise_weight acts only"),
        ({"ramp_up": 3.0}, "wanted fractions of the steps, 0 to 1, got 3 and 0"),
        ({"ramp_down": -0.5}, "wanted fractions of the steps, 0 to 1, got 0 and -0.5"),
        ({"latent_noise": -1.0}, "latent_noise: wanted 0 or more, got -1"),
        ({"noise": "optimise", "noise_weight": -1.0}, "noise_weight: wanted 0 or more, got -1"),
        ({"regularise": {"w_norm": -1.0}}, "w_norm: wanted 0 or more, got -1"),
        ({"rates": {"ws": 0.0}}, "rates: ws: wanted a number above 0"),
        ({"rates": {"ws": 0.5}, "optimiser": "lbfgs"}, "rates act only with"),
        ({"preview_steps": 3, "noise": "optimise"}, "preview_steps cannot be combined"),
        ({"lrr": 1.0}, "did you mean 'lr'"),
        ({"init": "zero"}, "invert.options.mine.init: wanted one of"),
    ]:
        with pytest.raises(ParamsError, match=message):
            optimiser(**options)
    with pytest.raises(ParamsError, match="key 'inverter'"):
        read_preset("mine", {"space": "w"})
    with pytest.raises(UnsupportedError, match="starts from an encoder"):
        run(optimiser(init="encoder"), targets, Context(generator=context.generator))


def counted(generator: Generator, patch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures the generator draws at once, one entry a call."""
    counts: list[int] = []
    plain = generator.run

    def run(given: SynthesisInput, **more: Any) -> Any:
        counts.append(given.count)
        return plain(given, **more)

    patch.setattr(generator, "run", run)
    return counts


@pytest.mark.slow
def test_converged_images_leave_and_others_enter(
    context: Context, pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = optimiser(steps=60, **STOP)
    shares: list[float] = []
    counts = counted(context.generator, monkeypatch)
    batch = Batch(targets=pictures, seeds=range(5))
    done = preset.inverter.run(batch, context, preset.options, lambda step, steps, _: shares.append(step / steps))
    taken = done.trace.isfinite().sum(dim=1)
    assert done.status == ["ok"] * 5
    assert len(set(taken.tolist())) > 2
    assert taken.amax() < 60
    # No place stays empty while an image waits.
    assert counts.count(2) * 2 + counts.count(1) == taken.sum()
    assert set(counts[: -int(taken.amax())]) <= {2}
    assert shares == sorted(set(shares))
    assert shares[-1] == pytest.approx(1)
    for i, steps in enumerate(taken.tolist()):
        line = done.trace[i]
        assert line[steps:].isnan().all()
        assert int(done.best_step[i]) == int(line[:steps].argmin())
        # The definition, and that it was not met a step earlier.
        for count, met in ((steps, True), (steps - 1, False)):
            before, last = line[: count - 4], line[count - 4 : count]
            assert (len(before) > 0 and bool(last.min() > 0.98 * before.min())) == met
        # It is what a run of so many steps finds.
        short = run(optimiser(steps=steps), pictures[i : i + 1], context, [i])
        stopped = run(preset, pictures[i : i + 1], context, [i])
        assert torch.equal(stopped.trace[:, :steps], short.trace)
        assert torch.equal(stopped.variables["ws"], short.variables["ws"])


@pytest.mark.slow
def test_no_image_stops_within_the_preview_or_the_ramp(context: Context, targets: Tensor) -> None:
    flat: dict[str, Any] = {"lr": 1e-7, "stop": {"window": 2, "drop": 0.1}}  # flat everywhere
    for more, first in (({}, 3), ({"preview_steps": 11, "preview_px": 16}, 14), ({"ramp_up": 0.4}, 11)):
        done = run(optimiser(steps=20, **flat, **more), targets, context)
        assert done.trace.isfinite().sum(dim=1).tolist() == [first, first]
    lbfgs = run(optimiser(steps=40, optimiser="lbfgs", **{**flat, "lr": 1.0}), targets, context)
    assert (lbfgs.trace.isfinite().sum(dim=1) < 40).all()
    # In a chain the next stage goes on behind the steps that were spared.
    stage = {"inverter": "optimise", "space": "wplus", "steps": 20, "objective": MSE}
    stages = [stage | flat, stage | {"init": "previous", "lr": 0.05, "steps": 5}]
    done = run(read_preset("mine", {"inverter": "chain", "stages": stages}), targets, context)
    assert done.trace.isfinite().sum(dim=1).tolist() == [8, 8]
    assert done.trace[:, 20:].isfinite().all()
    assert done.best_step.tolist() == (20 + done.trace[:, 20:].argmin(dim=1)).tolist()
    for bad in ({"window": 1}, {"drop": 1.0}, {"drop": -0.1}):
        with pytest.raises(ParamsError, match="stop: wanted a window of 2 or more"):
            optimiser(stop=bad)


def test_an_encoder_sees_a_few_pictures_at_once(context: Context, pictures: Tensor) -> None:
    preset, seen, shares = read_preset("mine", {"inverter": "feed_forward"}), [], []
    encoder = MeanEncoder(context.generator)
    encoder.register_forward_pre_hook(lambda _, pictures: seen.append(len(pictures[0])))
    one = dataclasses.replace(context, encoder=encoder, side_by_side=2)
    batch = Batch(targets=pictures, seeds=range(5))
    done = preset.inverter.run(batch, one, preset.options, lambda step, steps, _: shares.append(step / steps))
    assert seen == [2, 2, 1]
    assert shares == [0.4, 0.8, 1]
    at_once = run(preset, pictures, dataclasses.replace(one, side_by_side=5), range(5))
    assert done.variables["ws"].shape == (5, 8, 16)
    assert torch.equal(done.variables["ws"], at_once.variables["ws"])


def test_encoders_of_two_files_work_together(context: Context, targets: Tensor, tmp_path: Path) -> None:
    generator, files = context.generator, [tmp_path / "rows.safetensors", tmp_path / "map.safetensors"]
    shared: dict[str, Any] = {"backbone": "plain_narrow", "input_px": 64}
    rows = EncoderSpec(**shared, heads={"pooled": {}})
    feature = EncoderSpec(**shared, space="f16/wplus", heads={"base_code": {"width": 8}})
    for spec, file in zip((rows, feature), files, strict=True):
        Encoder(spec, generator).save(file, "")
    preset = read_preset("mine", {"inverter": "feed_forward", "space": "fs16/wplus"})
    single = make_context(preset, generator, files[0], None).require_encoder()
    assert single.fingerprint() == load_encoder(files[0], generator).fingerprint()
    found = run(preset, targets, make_context(preset, generator, files, None, batch=2))
    assert torch.equal(found.variables["ws"], single.encode(targets)["ws"])
    assert torch.equal(found.variables["f"], load_encoder(files[1], generator).encode(targets)["f16"])
