"""Tuning a generator around a code: what learns, what stays, and that photographs do not influence each other."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.discriminators import Discriminator, fresh
from ganvert.generators import tuned as tuning
from ganvert.generators.base import Generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.methods.pivot import tuned_names
from ganvert.inversion.presets import Batch, Context, Inversion, read_preset
from ganvert.spaces import make_space, prior

MSE = ({"loss": "mse", "resolution": None},)


@pytest.fixture(scope="module")
def context(tiny_generator: MobileStyleGAN) -> Context:
    return Context(generator=tiny_generator)


def batch_of(generator: Generator, space: str = "wplus") -> Batch:
    """Two pictures of the generator, in other colours, with the codes of the unchanged ones."""
    ws = generator.map(normal([103, 107], (generator.z_dim,)))
    colour = torch.tensor([0.25, -0.15, 0.1])[:, None, None]
    targets = (generator.synthesize(ws=ws) + colour).clamp(-1, 1)
    start = Inversion(
        space,
        make_space(space, generator).from_ws(ws),
        [],
        torch.zeros(2, 1),
        torch.zeros(2, dtype=torch.long),
        ["ok", "ok"],
        ["", ""],
    )
    return Batch(targets=targets, seeds=(1, 2), image_ids=("a", "b"), start=start)


def tune(batch: Batch, context: Context, **options: Any) -> Inversion:
    raw = {"inverter": "tune", "steps": 30, "lr": 0.003, "objective": MSE, **options}
    preset = read_preset("mine", raw)
    return preset.inverter.run(batch, context, preset.options)


def draw(generator: Generator, done: Inversion, i: int, ws: Tensor | None = None) -> Tensor:
    new = tuning.apply(generator, done.weights[i])
    if ws is not None:
        return new.synthesize(ws=ws)
    return new.synthesize(make_space(done.space, new).decode(done.select(i).variables))


def error(generator: Generator, done: Inversion, batch: Batch) -> list[float]:
    return [float((draw(generator, done, i) - batch.targets[i]).square().mean()) for i in range(2)]


def test_which_parameters_learn(tiny_generator: MobileStyleGAN) -> None:
    everything = {name for name, _ in tiny_generator.named_parameters()}
    synthesis = set(tuned_names(tiny_generator, "synthesis"))
    assert everything - synthesis == {name for name in everything if name.startswith("mapping.")}
    features = set(tuned_names(tiny_generator, "features"))
    assert synthesis - features == {name for name in synthesis if "affine" in name or ".up." in name}
    assert all(not parameter.requires_grad for parameter in tiny_generator.parameters())


@pytest.mark.slow
def test_the_picture_comes_nearer_and_the_code_stays(context: Context) -> None:
    generator, batch = context.generator, batch_of(context.generator)
    start = batch.require_start()
    before = [
        float(value)
        for value in (generator.synthesize(ws=start.variables["ws"]) - batch.targets).square().mean((1, 2, 3))
    ]
    done = tune(batch, context)
    assert torch.equal(done.variables["ws"], start.variables["ws"])
    assert all(new < old / 5 for new, old in zip(error(generator, done, batch), before, strict=True))
    torch.testing.assert_close(done.trace[:, 0], torch.tensor(before))
    features = tune(batch, context, tuned="features")
    assert all("affine" not in name for name in features.weights[0])
    assert generator.fingerprint() == context.generator.fingerprint()


def test_photographs_do_not_influence_each_other(context: Context) -> None:
    batch = batch_of(context.generator)
    options = {"share": 0.5, "steps": 8, "adversarial": {"samples": 1, "resolution": 16, "channels": 8, "every": 2}}
    both = tune(batch, context, **options)
    alone = tune(batch.select(1), context, **options)
    assert all(torch.equal(alone.weights[0][name], value) for name, value in both.weights[1].items())
    acted = both.trace.isfinite()
    assert not torch.equal(acted[0], acted[1])  # each throws its own coin
    assert 0 < int(acted.sum()) < 16


def test_statistics_of_the_mapping_are_not_made_again(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(context.generator, "pnplus")

    def again(*_: object) -> None:
        raise AssertionError("the mapping network does not learn: its statistics are known")

    monkeypatch.setattr(prior, "_moments", again)
    monkeypatch.setenv("GANVERT_PRIORS", "nowhere")
    assert tune(batch, context, steps=2).status == ["ok", "ok"]


def test_stop(context: Context) -> None:
    batch = batch_of(context.generator)
    far = tune(batch, context, stop={"loss": "mse", "below": 10.0})
    assert all(not value.any() for weights in far.weights for value in weights.values())
    assert far.trace.isfinite().sum(dim=1).tolist() == [1, 1]
    near = tune(batch, context, stop={"loss": "mse", "below": 0.005})
    steps = near.trace.isfinite().sum(dim=1).tolist()
    assert all(1 < count < 30 for count in steps)
    assert all(near.trace[i, count - 1] <= 0.005 < near.trace[i, count - 2] for i, count in enumerate(steps))
    # The step that is near enough counts as one: its weights may be the best.
    assert near.best_step.tolist() == [int(trace.nan_to_num(math.inf).argmin()) for trace in near.trace]
    best = tune(batch, context, stop={"loss": "mse", "below": 0.005}, keep="best")
    assert all(value <= 0.005 for value in error(context.generator, best, batch))


@pytest.mark.slow
def test_locality_keeps_pictures_nearby(context: Context) -> None:
    generator, batch = context.generator, batch_of(context.generator)
    pivot = batch.require_start().variables["ws"][:1]
    offsets = generator.map(normal(range(20, 28), (generator.z_dim,))) - pivot
    ws = pivot + 2 * offsets / offsets.flatten(1).norm(dim=1)[:, None, None]
    old = generator.synthesize(ws=ws)
    free = tune(batch, context)
    local = tune(batch, context, locality={"objective": MSE, "distance": 2.0, "psi": 1.0})
    moved = [float((draw(generator, done, 0, ws) - old).square().mean()) for done in (free, local)]
    assert moved[1] < 0.6 * moved[0]
    feature = batch_of(generator, "f16/wplus")
    with pytest.raises(UnsupportedError, match="moves ws"):
        tune(feature, context, locality={"objective": MSE})


@pytest.mark.slow
def test_joint_tuning_is_one_generator_for_all(context: Context) -> None:
    generator, batch = context.generator, batch_of(context.generator)
    done = tune(batch, context, together=True)
    assert done.weights[0] is done.weights[1]
    assert all(value < 0.005 for value in error(generator, done, batch))
    start = batch.require_start()
    turned = dataclasses.replace(
        batch,
        targets=batch.targets.flip(0),
        seeds=(2, 1),
        image_ids=("b", "a"),
        start=dataclasses.replace(start, variables={name: value.flip(0) for name, value in start.variables.items()}),
    )
    other = tune(turned, context, together=True)
    assert all(torch.equal(other.weights[0][name], value) for name, value in done.weights[0].items())
    assert torch.equal(other.trace, done.trace.flip(0))


def test_a_given_discriminator_is_used_and_stays_as_it_was(context: Context) -> None:
    batch = batch_of(context.generator).select(0)
    judge = fresh(64, channels_base=256, channels_max=8, seed=5)
    before = judge.fingerprint()
    options = {"steps": 3, "adversarial": {"samples": 1, "local": 1.0}}
    given = tune(batch, dataclasses.replace(context, discriminator=judge), **options)
    assert judge.fingerprint() == before
    fresh_one = tune(
        batch, context, **{**options, "adversarial": {"samples": 1, "local": 1.0, "resolution": 64, "channels": 8}}
    )
    assert any(not torch.equal(given.weights[0][name], value) for name, value in fresh_one.weights[0].items())
    grey = fresh(64, channels_base=256, channels_max=8, image_channels=1)
    with pytest.raises(UnsupportedError, match="takes 1 channels"):
        tune(batch, dataclasses.replace(context, discriminator=grey), **options)


def test_a_new_discriminator_moves_nothing_before_it_has_learned(context: Context) -> None:
    """The slopes of random layers would move the generator anywhere."""
    batch = batch_of(context.generator).select(0)
    nothing = {"loss": "mse", "resolution": None, "weight": 0.0}
    game = {"samples": 1, "resolution": 16, "channels": 8, "lr": 0.01, "local": 1.0}
    first, later = (tune(batch, context, steps=n, objective=(nothing,), adversarial=game).weights[0] for n in (1, 3))
    assert not any(value.any() for value in first.values())
    assert any(value.any() for value in later.values())


class Bright(Discriminator):
    """Takes bright pictures for real ones, whatever it is taught."""

    architecture, resolution = "bright", 64

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def _judge(self, images: Tensor, labels: Tensor | None, group: int) -> Tensor:
        return 20 * images.mean(dim=(1, 2, 3)) + 0 * self.unused


def test_adversarial_losses_move_the_generator_towards_what_d_takes_for_real(context: Context) -> None:
    """The local loss moves the picture of the code, the other one those of random codes."""
    generator, batch = context.generator, batch_of(context.generator).select(0)
    bright = dataclasses.replace(context, discriminator=Bright())
    ws = generator.map(normal(range(40, 56), (generator.z_dim,)))
    nothing = {"loss": "mse", "resolution": None, "weight": 0.0}
    for local, everywhere in ((1.0, 0.0), (0.0, 1.0)):
        game = {"local": local, "everywhere": everywhere, "samples": 2, "r1": 0.0}
        done = tune(batch, bright, steps=5, objective=(nothing,), adversarial=game)
        code = float((draw(generator, done, 0) - generator.synthesize(ws=batch.require_start().variables["ws"])).mean())
        samples = float((draw(generator, done, 0, ws) - generator.synthesize(ws=ws)).mean())
        assert (code if local else samples) > 0.03


def test_samples_of_both_generators_have_the_same_codes(context: Context) -> None:
    """So that before the first step there is no difference, and after it only what tuning has done."""
    seen: list[Tensor] = []

    class Watching(Bright):
        def _judge(self, images: Tensor, labels: Tensor | None, group: int) -> Tensor:
            seen.append(images.detach())
            return super()._judge(images, labels, group)

    batch = batch_of(context.generator).select(0)
    game = {"local": 0.0, "samples": 2, "r1": 0.0}
    tune(batch, dataclasses.replace(context, discriminator=Watching()), steps=2, adversarial=game)
    first, second = seen[:3], seen[3:]  # each: the generator's loss at fakes, then real and fake for the discriminator
    assert len(second) == 3 and all(torch.equal(images, first[0]) for images in first)
    tuned, other = (float((second[1] - images).std()) for images in (second[2], first[1]))
    assert 0 < tuned < 0.3 * other


def test_a_photograph_that_diverges(context: Context) -> None:
    batch = batch_of(context.generator)
    batch.targets[0] = 1e18  # finite, but its square is not
    done = tune(batch, context)
    assert done.status == ["diverged", "ok"]
    assert "stopped being finite" in done.reason[0]
    assert all(value.isfinite().all() for value in done.weights[0].values())
    good = tune(batch_of(context.generator).select(1), context)
    assert all(torch.equal(good.weights[0][name], value) for name, value in done.weights[1].items())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"share": 0.5}, "unless there is an adversarial one"),
        ({"share": 0.0}, "share must be above 0"),
        ({"together": True, "stop": {"loss": "mse", "below": 0.1}}, "single photographs"),
        ({"adversarial": {"every": 0}}, "at least 1"),
        ({"locality": {"objective": MSE, "distance": 0.0}}, "distance above 0"),
        ({"steps": 0}, "at least 1"),
        ({"ramp_down": 2.0}, "fractions of the steps"),
        ({"betas": [1.5, 0.9]}, "betas must be from 0 to below 1"),
        ({"adversarial": {"lr": -1.0}}, "lr: wanted a number above 0"),
        ({"adversarial": {"resolution": 200}}, "resolution: wanted a power of two from 8 on, got 200"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ParamsError, match=match):
        read_preset("mine", {"inverter": "tune", "steps": 3, "lr": 0.1, "objective": MSE, **options})


def test_a_discriminator_without_channels_is_refused_before_any_work(tiny_generator: MobileStyleGAN) -> None:
    raw = {"inverter": "tune", "steps": 3, "lr": 0.1, "objective": MSE}
    read_preset("mine", {**raw, "adversarial": {"channels": 2}}).check(tiny_generator)  # of 64 px, not of 256
    with pytest.raises(ParamsError, match="channels: wanted at least 2 at 64 px, got 1"):
        read_preset("mine", {**raw, "adversarial": {"channels": 1}}).check(tiny_generator)


def test_tuning_comes_last(context: Context) -> None:
    batch = batch_of(context.generator)
    done = tune(batch, context, steps=2)
    again = dataclasses.replace(batch, start=done)
    with pytest.raises(ParamsError, match="tuned the generator already"):
        tune(again, context)
    more = {"inverter": "optimise", "space": "wplus", "init": "previous", "steps": 1, "lr": 0.1, "objective": MSE}
    preset = read_preset("mine", more)
    with pytest.raises(ParamsError, match="tuning comes last"):
        preset.inverter.run(again, context, preset.options)
    assert math.isfinite(float(done.trace.sum()))


def masked(batch: Batch, generator: Generator) -> Batch:
    """The same codes with a mask over the left half of the map of 32 px."""
    space = make_space("m32-32/wplus", generator)
    variables = space.from_ws(batch.require_start().variables["ws"])
    variables["m32"][..., :16] = 1.0
    return dataclasses.replace(
        batch, start=dataclasses.replace(batch.require_start(), space=space.name, variables=variables)
    )


@pytest.mark.slow
def test_differences_learn_beside_the_weights(context: Context) -> None:
    """The weights as without them, as long as they take part alone; then they stay and the differences learn on."""
    batch = masked(batch_of(context.generator), context.generator)
    first = tune(batch, context, steps=4)
    both = tune(batch, context, steps=4, differences={"lr": 0.05, "weight_steps": 0})
    assert not any(value.any() for weights in both.weights for value in weights.values())
    outside = both.variables["m32"] == 0
    assert both.variables["d32"].any()
    assert not both.variables["d32"].masked_select(outside).any()  # no picture depends on them there
    assert torch.equal(both.variables["m32"], batch.require_start().variables["m32"])
    assert not first.variables["d32"].any()
    together = tune(batch, context, steps=4, differences={"lr": 0.05, "weight_steps": 2})
    assert any(value.any() for value in together.weights[0].values())
    rows = (both.trace[:, -1] < both.trace[:, 0]).all() and (together.trace[:, -1] < both.trace[:, -1]).all()
    assert rows
    alone = tune(batch.select(1), context, steps=4, differences={"lr": 0.05, "weight_steps": 2})
    assert torch.equal(alone.variables["d32"][0], together.variables["d32"][1])


def test_differences_that_a_code_lacks_are_refused(context: Context) -> None:
    options = {"differences": {"lr": 0.05, "weight_steps": 2}}
    with pytest.raises(UnsupportedError, match="codes of space 'wplus' have none"):
        tune(batch_of(context.generator), context, **options)
    with pytest.raises(ParamsError, match="differences are for single photographs"):
        tune(batch_of(context.generator), context, together=True, **options)


@pytest.mark.parametrize("part", ["local", "everywhere"])
def test_an_adversarial_loss_without_weight_does_not_act(part: str, context: Context) -> None:
    """Neither in the generator nor in what the discriminator learns: without both, nothing remains of the game."""
    batch = batch_of(context.generator).select(0)
    small = {"samples": 1, "resolution": 16, "channels": 8, "lr": 0.01, "local": 0.1, "everywhere": 0.1}
    without = {**small, part: 0.0}
    plain = tune(batch, context, steps=3)
    none = tune(batch, context, steps=3, adversarial={**small, "local": 0.0, "everywhere": 0.0})
    assert all(torch.equal(plain.weights[0][name], value) for name, value in none.weights[0].items())
    one = tune(batch, context, steps=3, adversarial=without)
    assert any(not torch.equal(plain.weights[0][name], value) for name, value in one.weights[0].items())
