"""What is faster is used only where it is near enough, and memory decides how many images fit side by side."""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from ganvert.base import params
from ganvert.base.errors import ParamsError, ShapeError
from ganvert.compute.memory import auto_batch, free_memory, memory_budget, out_of_memory, peak_memory
from ganvert.compute.precision import Engine, Speed, compile_cache
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.presets import Batch, Context, Inversion, read_preset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def targets(tiny_generator: MobileStyleGAN) -> Tensor:
    return tiny_generator.synthesize(ws=tiny_generator.map(normal([103, 107], (16,)))).clamp(-1, 1)


@pytest.fixture
def plain_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces and differentiates as always, but leaves out the C++ compiler, which takes minutes."""
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


def invert(generator: MobileStyleGAN, targets: Tensor, speed: Speed, steps: int = 4, **more: Any) -> Inversion:
    told = {"inverter": "optimise", "space": "wplus", "steps": steps, "lr": 0.05, "objective": [{"loss": "mse"}]}
    preset = read_preset("mine", told | more)
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
    assert Speed().plain
    for told in ({"compile": True}, {"compile": "graphs"}, {"precision": "bf16"}):
        assert not params.build(Speed, told, "speed").plain
    for bad in ({"compile": "yes"}, {"precision": "fp16"}, {"tolerance": 0.0}, {"tolerances": 1.0}):
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
    engine = Engine(tiny_generator, Speed(precision="bf16", tolerance=0.01))
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
    assert [speed.precision for speed in calls] == ["float32", "bf16"]
    engine.settle("x", evaluate)
    assert len(calls) == 2  # once is enough
    said = warnings(caplog)
    assert len(said) == int(not good)
    if said:
        assert "bf16, eager: the objective or its gradient differs" in said[0]
        assert "tolerance of 1.0e-02; it is not used" in said[0]
    engine.settle("another kind of work", evaluate)
    assert len(calls) == 4


def test_images_that_diverge_anyway_say_nothing(tiny_generator: MobileStyleGAN) -> None:
    for told, good in ((float("inf"), True), (1.0, False)):
        engine = Engine(tiny_generator, Speed(precision="bf16", tolerance=0.01))

        def evaluate(engine: Engine = engine, told: float = told) -> tuple[Tensor, Tensor]:
            first = told if engine.now.plain else float("nan")
            return torch.tensor([first, 3.0]), torch.ones(2, 4)

        engine.settle("x", evaluate)
        assert engine.now.plain is not good


def test_bfloat16_is_near_and_stays_inside(
    tiny_generator: MobileStyleGAN, targets: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    for more in ({}, {"preview_steps": 2, "preview_px": 16}):
        exact = invert(tiny_generator, targets, Speed(), **more)
        near = invert(tiny_generator, targets, Speed(precision="bf16", tolerance=0.2), **more)
        assert not torch.equal(near.trace, exact.trace)
        torch.testing.assert_close(near.trace, exact.trace, rtol=0.1, atol=0)
        assert near.variables["ws"].dtype == near.trace.dtype == torch.float32
    assert warnings(caplog) == []
    engine = Engine(tiny_generator, Speed(precision="bf16", tolerance=0.2))
    ws = tiny_generator.map(normal([1, 2], (16,)))
    engine.settle("x", evaluation(engine, ws))
    with engine.autocast():
        assert (ws[:, 0] @ ws[:, 0].T).dtype == torch.bfloat16
    images, features = engine.run(SynthesisInput(ws=ws), read=["x16"])
    assert images.dtype == features["x16"].dtype == torch.float32


def test_what_is_not_near_enough_leaves_no_trace(
    tiny_generator: MobileStyleGAN, targets: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    told = {"latent_noise": 0.1, "space": "w"}
    exact = invert(tiny_generator, targets, Speed(), **told)
    refused = invert(tiny_generator, targets, Speed(precision="bf16", tolerance=1e-6), **told)
    assert torch.equal(refused.trace, exact.trace)
    assert torch.equal(refused.variables["w"], exact.variables["w"])
    (said,) = warnings(caplog)
    assert "bf16, eager" in said


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
    ("told", "says"), [({"precision": "tf32"}, "tf32: wanted a CUDA GPU"), ({"compile": "graphs"}, "graphs: wanted a")]
)
def test_what_a_cpu_cannot_do_is_said_once(
    told: dict[str, Any],
    says: str,
    tiny_generator: MobileStyleGAN,
    targets: Tensor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    exact = invert(tiny_generator, targets, Speed())
    assert torch.equal(invert(tiny_generator, targets, Speed(**told)).trace, exact.trace)
    (said,) = warnings(caplog)
    assert says in said


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own, while it traces
def test_a_compiled_generator_draws_the_same(
    plain_compiler: None, tiny_generator: MobileStyleGAN, targets: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    for told in ({"preview_steps": 2, "preview_px": 16}, {"space": "f16/zplus", "init": "random"}):
        exact = invert(tiny_generator, targets, Speed(), **told)
        compiled = invert(tiny_generator, targets, Speed(compile=True, tolerance=1e-4), **told)
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
    exact = invert(tiny_generator, targets, Speed(), steps=9)
    assert torch.equal(invert(tiny_generator, targets, Speed(compile=True), steps=9).trace, exact.trace)
    assert warnings(caplog) == ["compile: failed, continuing eagerly: RuntimeError: no working C++ compiler found"]
    assert len(calls) == when + 1
    caplog.clear()
    calls.clear()
    both = Speed(compile=True, precision="bf16", tolerance=0.2)
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


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fixed", "each", "budget", "most", "fits"),
    [
        (10, 5, 100, 64, 18),
        (10, 5, 99, 64, 17),
        (10, 5, 14, 64, 1),  # not even one; to be tried all the same
        (10, 5, 19, 64, 1),
        (10, 5, 100, 4, 4),
        (10, 0, 100, 64, 64),
    ],
)
def test_as_many_as_fit(fixed: int, each: int, budget: int, most: int, fits: int) -> None:
    assert auto_batch(lambda count: fixed + each * count, budget, most) == fits


def test_where_two_do_not_fit_one_does() -> None:
    def measure(count: int) -> int:
        if count > 1:
            raise torch.OutOfMemoryError("full")
        return 10

    assert auto_batch(measure, 100) == 1

    def never(count: int) -> int:
        raise ValueError

    assert auto_batch(never, 100, most=1) == 1
    with pytest.raises(ValueError):
        auto_batch(never, 100)


def test_errors_that_say_that_memory_ran_out() -> None:
    assert out_of_memory(torch.OutOfMemoryError("x"))
    assert out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert out_of_memory(raised.value)
    assert not out_of_memory(RuntimeError("x"))


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("version", [1, 2])
def test_free_memory_is_the_machines_or_the_containers(version: Literal[1, 2], tmp_path: Path) -> None:
    assert free_memory(root=tmp_path) == 0
    write(tmp_path, proc__meminfo="MemTotal:  9000 kB\nMemAvailable:    2000 kB\n")
    assert free_memory(root=tmp_path) == 2_048_000
    names = {1: ("limit_in_bytes", "usage_in_bytes", "memory__memoryDOT"), 2: ("max", "current", "memoryDOT")}
    limit, used, before = names[version]
    group = f"sys__fs__cgroup__{before}"
    write(tmp_path, **{group + limit: "max\n", group + used: "500\n"})
    assert free_memory(root=tmp_path) == 2_048_000
    write(tmp_path, **{group + limit: "1000500\n"})
    assert free_memory(root=tmp_path) == 1_000_000
    write(tmp_path, **{group + limit: "9000000000\n"})
    assert free_memory(root=tmp_path) == 2_048_000
    write(tmp_path, **{group + limit: "400\n"})
    assert free_memory(root=tmp_path) == 0


def test_the_peak_of_some_work_is_seen() -> None:
    size = 256 * 2**20

    def touch() -> None:
        with mmap.mmap(-1, size) as pages:
            for i in range(0, size, mmap.PAGESIZE):
                pages[i] = 1

    low = peak_memory(CPU, lambda: None)
    high = peak_memory(CPU, touch)
    assert 0.9 * size < high - low < 1.5 * size
    assert peak_memory(CPU, lambda: None) < high - 0.9 * size  # it is not the peak of all times
    assert memory_budget(CPU) > size
