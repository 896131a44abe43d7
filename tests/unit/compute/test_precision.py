"""Faster computation is used only where it is near enough."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganvert.base import params
from ganvert.base.errors import ParamsError, ShapeError
from ganvert.compute import kernels
from ganvert.compute.precision import PLAIN, Engine, Speed, compile_cache, speed_here
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.presets import Batch, Context, Inversion, read_preset


@pytest.fixture(scope="module")
def targets(tiny_generator: MobileStyleGAN) -> Tensor:
    return tiny_generator.synthesize(ws=tiny_generator.map(normal([103, 107], (16,)))).clamp(-1, 1)


@pytest.fixture
def plain_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces and differentiates as always, but leaves out the C++ compiler, which takes minutes."""
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


def invert(generator: MobileStyleGAN, targets: Tensor, speed: Speed, steps: int = 4, **more: Any) -> Inversion:
    raw = {"inverter": "optimise", "space": "wplus", "steps": steps, "lr": 0.05, "objective": [{"loss": "mse"}]}
    preset = read_preset("mine", raw | more)
    context = Context(generator=generator, speed=speed, side_by_side=2)
    return preset.inverter.run(Batch(targets=targets, seeds=range(len(targets))), context, preset.options)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def evaluation(engine: Engine, ws: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    def evaluate() -> tuple[Tensor, Tensor]:
        at = ws.clone().requires_grad_()
        value = engine.synthesize(SynthesisInput(ws=at)).square().mean(dim=(1, 2, 3))
        (gradient,) = torch.autograd.grad(value.sum(), at)
        return value.detach(), gradient.flatten(1)

    return evaluate


def test_speed_as_it_is_written() -> None:
    assert params.build(Speed, {}, "speed") == Speed()
    assert PLAIN.plain
    for speed in ({"compile": True}, {"compile": "graphs"}, {"precision": "bfloat16"}):
        assert not params.build(Speed, speed, "speed").plain
    for bad in (
        {"compile": "yes"},
        {"precision": "bf16"},
        {"tolerance": 0.0},
        {"gradient_tolerance": 0.0},
        {"tolerances": 1.0},
    ):
        with pytest.raises(ParamsError, match="speed"):
            params.build(Speed, bad, "speed")


def test_plain_speed_measures_nothing(tiny_generator: MobileStyleGAN) -> None:
    def never() -> tuple[Tensor, Tensor]:
        raise AssertionError

    engine = Engine(tiny_generator)
    engine.settle("x", never)
    assert engine.now.plain


@pytest.mark.parametrize(
    ("off_value", "off_gradient", "good"),
    [(0.0, 0.0, True), (0.009, 0.009, True), (0.011, 0.0, False), (0.0, 0.011, False), (float("nan"), 0.0, False)],
)
def test_the_tolerance_is_of_the_objective_and_the_gradient(
    off_value: float,
    off_gradient: float,
    good: bool,
    tiny_generator: MobileStyleGAN,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One of two images is off by so much, measured as the length of the difference."""
    engine = Engine(tiny_generator, Speed(precision="bfloat16", tolerance=0.01, gradient_tolerance=0.01))
    value, gradient = torch.tensor([2.0, 3.0]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    calls: list[Speed] = []

    def evaluate() -> tuple[Tensor, Tensor]:
        calls.append(engine.now)
        if engine.now.plain:
            return value, gradient
        away = torch.tensor([[0.0, 5 * off_gradient], [0.0, 0.0]])
        return value + torch.tensor([0.0, 3 * off_value]), gradient + away

    engine.settle("x", evaluate)
    assert engine.now.plain is not good
    assert [speed.precision for speed in calls] == ["float32", "bfloat16"]
    engine.settle("x", evaluate)
    assert len(calls) == 2  # once is enough
    said = warnings(caplog)
    assert len(said) == int(not good)
    if said:
        assert "bfloat16: the objective or its gradient differs" in said[0]
        assert "tolerance of 1.0e-02 and 1.0e-02; it is not used" in said[0]
    engine.settle("another kind of work", evaluate)
    assert len(calls) == 4


def test_images_that_diverge_anyway_say_nothing(tiny_generator: MobileStyleGAN) -> None:
    for reference, good in ((float("inf"), True), (1.0, False)):
        engine = Engine(tiny_generator, Speed(precision="bfloat16", tolerance=0.01))

        def evaluate(engine: Engine = engine, reference: float = reference) -> tuple[Tensor, Tensor]:
            first = reference if engine.now.plain else float("nan")
            return torch.tensor([first, 3.0]), torch.ones(2, 4)

        engine.settle("x", evaluate)
        assert engine.now.plain is not good


@pytest.mark.slow  # the first bfloat16 operators of a process take seconds without hardware for them
def test_bfloat16_is_near_and_stays_inside(
    tiny_generator: MobileStyleGAN, targets: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    for more in ({}, {"preview_steps": 2, "preview_px": 16}):
        exact = invert(tiny_generator, targets, PLAIN, **more)
        near = invert(tiny_generator, targets, Speed(precision="bfloat16", tolerance=0.2), **more)
        assert not torch.equal(near.trace, exact.trace)
        torch.testing.assert_close(near.trace, exact.trace, rtol=0.1, atol=0)
        assert near.variables["ws"].dtype == near.trace.dtype == torch.float32
    assert warnings(caplog) == []
    engine = Engine(tiny_generator, Speed(precision="bfloat16", tolerance=0.2))
    ws = tiny_generator.map(normal([1, 2], (16,)))
    engine.settle("x", evaluation(engine, ws))
    with engine.autocast():
        assert (ws[:, 0] @ ws[:, 0].T).dtype == torch.bfloat16
    images, features = engine.run(SynthesisInput(ws=ws), read=["x16"])
    assert images.dtype == features["x16"].dtype == torch.float32


def test_what_is_not_near_enough_leaves_no_trace(
    tiny_generator: MobileStyleGAN, targets: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"latent_noise": 0.1, "space": "w"}
    exact = invert(tiny_generator, targets, PLAIN, **options)
    refused = invert(tiny_generator, targets, Speed(precision="bfloat16", tolerance=1e-6), **options)
    assert torch.equal(refused.trace, exact.trace)
    assert torch.equal(refused.variables["w"], exact.variables["w"])
    (said,) = warnings(caplog)
    assert said.startswith("bfloat16: the objective or its gradient differs")


FLAGS = "processor\t: 0\nflags\t\t: fpu avx512f {}\n\nprocessor\t: 1\nflags\t\t: fpu avx512f {}\n"


@pytest.mark.parametrize(
    ("cpuinfo", "fast"),
    [
        (FLAGS.format("avx512_bf16", "avx512_bf16"), True),
        (FLAGS.format("amx_bf16 amx_tile", "amx_bf16 amx_tile"), True),
        (FLAGS.format("avx512_vnni", "avx512_vnni"), False),
        ("model name\t: made of amx_bf16\n", False),
        (None, False),
    ],
)
def test_auto_is_decided_by_the_processor(
    cpuinfo: str | None, fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(kernels, "CPUINFO", path)
    assert kernels.fast_bfloat16() is fast
    cpu = torch.device("cpu")
    chosen = speed_here(Speed(), cpu)
    assert chosen.precision == ("bfloat16" if fast else "float32")
    assert speed_here(chosen, cpu) == chosen  # what is decided stays so on every worker
    assert speed_here(Speed(precision="bfloat16"), cpu).precision == "bfloat16"
    assert speed_here(PLAIN, cpu) == PLAIN
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not kernels.fast_bfloat16()


@pytest.mark.parametrize("where", ["image", "gradient"])
@pytest.mark.parametrize("preview", [0, 3])
def test_what_is_not_finite_in_bfloat16_is_done_in_float32(
    where: str,
    preview: int,
    tiny_generator: MobileStyleGAN,
    targets: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It happens in the second step of two images; the run goes on, and says so once."""
    own, calls = Engine._run_in_bfloat16, []

    def broken(engine: Engine, synthesis_input: SynthesisInput, options: Any) -> Any:
        images, activations = own(engine, synthesis_input, options)
        if torch.is_grad_enabled():
            calls.append(1)
        if len(calls) <= 2:  # one of the measurement, one of the first step
            return images, activations

        def spoil(value: Tensor) -> Tensor:
            if where == "image":
                return value * float("nan")
            if value.requires_grad:
                value.register_hook(lambda gradient: gradient * float("inf"))
            return value

        return spoil(images), {name: spoil(value) for name, value in activations.items()}

    monkeypatch.setattr(Engine, "_run_in_bfloat16", broken)
    more = {"preview_steps": preview, "preview_px": 16} if preview else {}
    inversion = invert(tiny_generator, targets, Speed(precision="bfloat16", tolerance=0.2), **more)
    assert inversion.status == ["ok", "ok"]
    assert inversion.trace.isfinite().all()
    assert len(calls) == 3
    (said,) = warnings(caplog)
    assert "precision: bfloat16: an objective or its gradient is not finite; the run goes on in float32" in said
    exact = invert(tiny_generator, targets, PLAIN, **more)
    torch.testing.assert_close(inversion.trace, exact.trace, rtol=0.1, atol=0)


def test_an_operator_that_is_missing_is_done_without(
    tiny_generator: MobileStyleGAN,
    targets: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def missing(*_: Any) -> Any:
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(Engine, "_run_in_bfloat16", missing)
    refused = invert(tiny_generator, targets, Speed(precision="bfloat16"))
    assert torch.equal(refused.trace, invert(tiny_generator, targets, PLAIN).trace)
    (said,) = warnings(caplog)
    assert "not available here: could not create a primitive; it is not used" in said


def test_tf32_is_switched_on_for_a_step_only(tiny_generator: MobileStyleGAN) -> None:
    engine = Engine(tiny_generator)
    engine.now = Speed(precision="tf32")

    def switches() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = switches()
    with pytest.raises(KeyError), engine.running():
        assert switches() == (True, True)
        raise KeyError
    assert switches() == before == (False, False)
    engine.now = Speed()
    with engine.running():
        assert switches() == (False, False)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"precision": "tf32"}, "tf32: wanted a CUDA GPU"), ({"compile": "graphs"}, "graphs: wanted a")],
)
def test_what_a_cpu_cannot_do_is_said_once(
    options: dict[str, Any],
    says: str,
    tiny_generator: MobileStyleGAN,
    targets: Tensor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    exact = invert(tiny_generator, targets, PLAIN)
    assert torch.equal(invert(tiny_generator, targets, Speed(**options)).trace, exact.trace)
    (said,) = warnings(caplog)
    assert says in said


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own, while it traces
def test_a_compiled_generator_draws_the_same(
    plain_compiler: None, tiny_generator: MobileStyleGAN, targets: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    # A preview with an injected feature, then full images with gradients: what differs when it is compiled.
    options = {"space": "f16/zplus", "init": "random", "preview_steps": 2, "preview_px": 32}
    exact = invert(tiny_generator, targets, PLAIN, **options)
    compiled = invert(tiny_generator, targets, Speed(compile=True, tolerance=1e-4), **options)
    torch.testing.assert_close(compiled.trace, exact.trace, rtol=1e-3, atol=0)
    assert warnings(caplog) == []
    engine = Engine(tiny_generator, Speed(compile=True, tolerance=1e-4))
    engine.settle("x", evaluation(engine, tiny_generator.map(normal([1, 2], (16,)))))
    assert engine.now.compile is True
    with pytest.raises(ShapeError):  # errors of ours are not the compiler's
        engine.run(SynthesisInput(ws=torch.zeros(1, 3, 16)))
    assert engine.now.compile is True


@pytest.mark.parametrize("when", [0, 5])
def test_a_compiler_that_fails_is_done_without(
    when: int,
    tiny_generator: MobileStyleGAN,
    targets: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At once, or in the middle of a run, where another number of images is compiled anew."""
    calls: list[int] = []

    def broken(function: Callable[..., Any], mode: str | None) -> Callable[..., Any]:
        def compiled(*args: Any, **more: Any) -> Any:
            calls.append(1)
            if len(calls) > when:
                raise RuntimeError("no working C++ compiler found\nand much more")
            return function(*args, **more)

        return compiled

    monkeypatch.setattr(torch, "compile", broken)
    exact = invert(tiny_generator, targets, PLAIN, steps=9)
    assert torch.equal(invert(tiny_generator, targets, Speed(compile=True), steps=9).trace, exact.trace)
    assert warnings(caplog) == ["compile: failed, continuing eagerly: RuntimeError: no working C++ compiler found"]
    assert len(calls) == when + 1
    caplog.clear()
    calls.clear()
    both = Speed(compile=True, precision="bfloat16", tolerance=0.2)
    near = invert(tiny_generator, targets, both, steps=9)
    assert not torch.equal(near.trace, exact.trace)  # bfloat16 is still worth having
    assert len(warnings(caplog)) == 1


def test_a_lack_of_memory_is_not_the_compilers_fault(
    tiny_generator: MobileStyleGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(torch, "compile", lambda function, mode: full)
    engine = Engine(tiny_generator, Speed(compile=True))
    engine.now = Speed(compile=True)
    with pytest.raises(torch.OutOfMemoryError):
        engine.synthesize(SynthesisInput(ws=tiny_generator.map(normal([1], (16,)))))


def test_compiled_code_is_kept_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    assert compile_cache() == tmp_path
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert compile_cache() == tmp_path / "home/.cache/ganvert/compiled"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(compile_cache())
