"""Measures how fast a photograph is inverted, against the plainest loop: same steps, start and generator, one run.

    python benchmarks/inversion.py [--photos 1] [--steps 60] [--presets encoder_wplus cpu_fzplus] [--device cuda]
                                   [--preview PRESET STEPS PX EVERY] [--precision bfloat16] [--compile graphs]
                                   [--side-by-side 8] [--workers 2] [--profile] [--out inversion.json]

The plain loop draws the whole picture in every step, one photograph after the other, by PyTorch's own operators, eager
and in float32, takes the target's LPIPS features anew each time, and leaves malloc as it is; every loop has a process
of its own, so that no setting leaks. With --workers ours are that many processes of one thread each, as `ganvert
extract` starts them, which share the photographs; the plain one has all threads. Reads data/aligned.parquet,
data/assets, the encoders that come with ganvert, and presets of params.yaml, whose preview steps keep their share. More
photographs than there are begin again at the first, with another seed.

Prints seconds a photograph, quality (256 px), their ratios, and with --profile where the time goes and how far that is
from the machine's peak (a matrix product). Quality is a loss: a ratio above 1 is worse.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from ganvert import tables
from ganvert.base.preset_files import METHODS, Presets
from ganvert.codes import codes_of_inversion
from ganvert.compute import kernels
from ganvert.compute.device import resolve_device, strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.compute.precision import Precision, Speed
from ganvert.generators import load_generator
from ganvert.images import area_resize, from_pil, from_png, to_pil
from ganvert.inversion.presets import Batch, Context, Inversion, Preset, read_preset
from ganvert.inversion.run import Crop, make_context, seeds_for, shipped_encoders, targets_of
from ganvert.inversion.schedule import scheduled_rate
from ganvert.losses import LOSSES
from ganvert.scoring.metrics import metric
from ganvert.spaces import make_space

ASSETS = Path("data/assets")
METRICS = ("mse_256", "lpips_vgg_256")
#: Operators of the profile by what they do; the first group that names a part of an operator has it.
GROUPS = {
    "convolutions": ("conv", "cudnn"),
    "matrix products": ("mm", "gemm", "matmul", "linalg"),
    "resizing": ("pool", "pixel", "upsample"),
}


# --- the plain loop --------------------------------------------------------------------------------------------------


def plain_step(
    target: Tensor, start: Mapping[str, Tensor], leaves: Mapping[str, Tensor], preset: Preset, context: Context
) -> Tensor:
    """Return the objective of a code, with everything computed from scratch."""
    options = preset.options
    images = context.generator.synthesize(make_space(options.space, context.generator).decode(leaves))
    total = torch.zeros((), device=images.device)
    for term in options.objective:
        size = term.resolution or target.shape[-1]
        loss = LOSSES[term.loss](context.folder, target.device)
        value = loss(area_resize(images, size), loss.prepare(area_resize(target, size)))
        total = total + term.weight * value.sum()
    for name, weight in options.regularise.items():
        assert name == "base", f"the plain loop does not know the penalty {name}"
        total = total + weight * (leaves["f"] - start["f"]).square().mean()
    return total


def plain(target: Tensor, seed: int, preset: Preset, context: Context) -> dict[str, Tensor]:
    """Return the code [1, ...] of one photograph [1, 3, h, w]."""
    options = preset.options
    space = make_space(options.space, context.generator)
    if options.init == "encoder":
        start = space.adopt(context.require_encoder().encode(target), [seed], options.detail_init)
    else:
        ws = context.generator.w_avg.expand(1, context.generator.num_ws, -1)
        start = space.start(ws, [seed], options.detail_init) if options.init == "mean" else space.from_random([seed])
    leaves = {name: value.detach().clone().requires_grad_() for name, value in start.items()}
    adam = torch.optim.Adam(leaves.values(), lr=options.lr, betas=(0.9, 0.999), eps=1e-8)
    for step in range(options.steps):
        adam.param_groups[0]["lr"] = scheduled_rate(step, options)
        adam.zero_grad()
        plain_step(target, start, leaves, preset, context).backward()
        adam.step()
        space.retract_(leaves)
    return {name: value.detach() for name, value in leaves.items()}


# --- one process a loop ----------------------------------------------------------------------------------------------


def prepare(arguments: argparse.Namespace, name: str, loop: str) -> tuple[Preset, Context, list[Crop]]:
    """Return the preset with the number of steps asked for, the models, and the photographs."""
    strict_math(arguments.threads if loop.startswith("plain") or arguments.workers == 1 else 1)
    if loop.startswith("plain"):
        kernels.ENABLED = False
    else:
        keep_freed_memory()
    raw = Presets.of_project(METHODS).resolve(name).options
    share = raw.get("preview_steps", 0) / raw["steps"]
    raw |= {"steps": arguments.steps, "preview_steps": round(share * arguments.steps)}
    for preset, steps, px, every in arguments.preview or ():
        if preset == name:
            raw |= {"preview_steps": int(steps), "preview_px": int(px), "preview_every": int(every)}
    preset = read_preset(name, raw)
    generator = load_generator(ASSETS / "mobile_stylegan.safetensors").to(resolve_device(arguments.device))
    context = make_context(preset, generator, shipped_encoders(preset), ASSETS)
    compiled = {"false": False, "true": True, "graphs": "graphs"}[arguments.compile]
    speed = Speed(precision=arguments.precision, compile=compiled)
    context = Context(
        generator=generator, folder=ASSETS, encoder=context.encoder, side_by_side=arguments.side_by_side, speed=speed
    )
    rows = tables.read(Path("data/aligned.parquet"), tables.ALIGNED).to_pylist()
    share = range(arguments.worker, arguments.photos, 1 if loop.startswith("plain") else arguments.workers)
    turns = [(rows[i % len(rows)], i // len(rows)) for i in share]
    return preset, context, [Crop(f"{row['image_id']}+{turn}", from_png(row["crop"])) for row, turn in turns]


def child(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one loop over all photographs; return its seconds and the quality of every result."""
    name, loop = arguments.child
    preset, context, crops = prepare(arguments, name, loop)
    seeds, targets = seeds_for(crops, name, 0), targets_of(crops, context.generator)
    if loop.endswith("profile"):
        return profile(loop.startswith("plain"), preset, context, targets[:1], seeds[:1])
    ids = [crop.image_id for crop in crops]

    def invert(count: int, method: Preset) -> list[Inversion]:
        if loop == "plain":
            codes = [plain(targets[i : i + 1], seeds[i], method, context) for i in range(count)]
            return [
                Inversion(method.space, code, [], torch.zeros(1, 0), torch.zeros(1), ["ok"], [""]) for code in codes
            ]
        batch = Batch(targets=targets[:count], seeds=seeds[:count], image_ids=ids[:count])
        done = method.inverter.run(batch, context, method.options)
        return [done.select(i) for i in range(count)]

    warm = read_preset(name, {**preset.raw, "steps": 2, "preview_steps": min(1, preset.options.preview_steps)})
    invert(min(len(crops), context.side_by_side or 1), warm)
    if arguments.meet:  # the workers begin together, and none has the machine for itself
        (arguments.meet / str(arguments.worker)).touch()
        while len(list(arguments.meet.iterdir())) < arguments.workers:
            time.sleep(0.01)
    start, busy = time.perf_counter(), time.process_time()
    found = invert(len(crops), preset)
    _wait(context.device)
    seconds = {"seconds": time.perf_counter() - start, "core_seconds": time.process_time() - busy}
    worth: dict[str, list[float]] = {what: [] for what in METRICS}
    for crop, inversion in zip(crops, found, strict=True):
        inversion.variables = {key: value.to(context.device) for key, value in inversion.variables.items()}
        picture = codes_of_inversion(inversion, [crop.image_id], name, context.generator)[0].draw()
        for what in METRICS:
            pair = from_pil(to_pil(picture)), from_pil([crop.image])
            worth[what].append(float(metric(what, ASSETS)(*pair)[0]))
    options = {key: getattr(preset.options, key) for key in ("steps", "preview_steps", "preview_px", "preview_every")}
    return {**seconds, "options": options, "speed": str(context.engine.now), **worth}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# --- what bounds it --------------------------------------------------------------------------------------------------


def peak(device: torch.device, size: int = 2048) -> float:
    """Return the floating-point operations a second of a square matrix product, the best of five."""
    a = torch.randn(size, size, device=device)
    a @ a
    best = min(_seconds(lambda: a @ a, device) for _ in range(5))
    return 2 * size**3 / best


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


class _NoModules(contextlib.nullcontext[None]):
    """Stand-in for the counter's tracker of modules, which fails on leaves that are used under no_grad."""

    parents = frozenset({"Global"})


def profile(
    of_plain: bool, preset: Preset, context: Context, target: Tensor, seeds: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Return, by kind of step, its seconds, the share of every group of operators, and its part of the peak."""
    from torch.utils.flop_counter import FlopCounterMode

    def ours(count: int, early: int = 0) -> Callable[[], object]:
        more = {"steps": count, "preview_steps": early, "preview_every": 100, "ramp_down": 0.0}
        method = read_preset(preset.name, {**preset.raw, **more})
        batch = Batch(targets=target, seeds=seeds)
        return lambda: method.inverter.run(batch, context, method.options)

    def theirs(count: int) -> Callable[[], object]:
        method = read_preset(preset.name, {**preset.raw, "steps": count, "preview_steps": 0, "ramp_down": 0.0})
        return lambda: plain(target, seeds[0], method, context)

    # Runs of two lengths: what a step takes is the difference, so that starts and targets drop out.
    pairs = {"plain step": (theirs(1), theirs(3))} if of_plain else {"full step": (ours(1), ours(3))}
    if preset.options.preview_steps and not of_plain:
        pairs["preview step"] = ours(1, early=1), ours(3, early=3)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if context.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    best = peak(context.device)
    found: dict[str, dict[str, Any]] = {}
    for kind, (short, long) in pairs.items():
        short()
        seconds = (_seconds(long, context.device) - _seconds(short, context.device)) / 2
        operations = []
        for work in (short, long):
            counter = FlopCounterMode(display=False)
            counter.mod_tracker = _NoModules()
            with counter:
                work()
            operations.append(counter.get_total_flops())
        with torch.profiler.profile(activities=activities) as recorded:  # the start's share in it is small
            long()
            _wait(context.device)
        spent = dict.fromkeys([*GROUPS, "element by element"], 0.0)
        for event in recorded.key_averages():
            own = event.self_device_time_total if context.device.type == "cuda" else event.self_cpu_time_total
            group = next((g for g, parts in GROUPS.items() if any(p in event.key for p in parts)), "element by element")
            spent[group] += own
        flops = (operations[1] - operations[0]) / 2
        found[kind] = {
            "seconds": seconds,
            "gflop": flops / 1e9,
            "peak_gflops": best / 1e9,
            "of_peak": flops / seconds / best,
            "share": {group: value / sum(spent.values()) for group, value in spent.items()},
        }
    return found


# --- the parent ------------------------------------------------------------------------------------------------------


def run_child(name: str, loop: str, workers: int = 1) -> dict[str, Any]:
    """Run a loop in a process of its own, or in several that share the photographs; return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        meet, outs = Path(folder) / "meet", [Path(folder) / f"{i}.json" for i in range(workers)]
        meet.mkdir()
        own = [sys.executable, __file__, *sys.argv[1:], "--child", name, loop]
        own += ["--meet", str(meet)] if workers > 1 else []
        commands = [[*own, "--worker", str(i), "--out", str(out)] for i, out in enumerate(outs)]
        children = [subprocess.Popen(command) for command in commands]
        ended = [child.wait() for child in children]
        if any(ended):
            sys.exit(f"{name}: a loop failed")
        found = [json.loads(out.read_text()) for out in outs]
    if loop.endswith("profile"):
        return found[0]
    whole = {**found[0], **{what: [value for part in found for value in part[what]] for what in METRICS}}
    photos = len(whole[METRICS[0]])
    whole["seconds"] = max(part["seconds"] for part in found) / photos  # the longest of those that ran at once
    whole["core_seconds"] = sum(part["core_seconds"] for part in found) / photos
    return whole


def line(name: str, loop: str, found: Mapping[str, Any]) -> str:
    """Return the line to print for a run."""
    worth = "  ".join(f"{what} {sum(found[what]) / len(found[what]):.5f}" for what in METRICS)
    steps = found["options"]
    early = f"  ({steps['preview_steps']} of {steps['steps']} steps at {steps['preview_px']} px)"
    taken = f"{found['seconds']:8.2f} s ({found['core_seconds']:.1f} core s) a photograph"
    return (
        f"{name:16} {loop:6} {taken}  {3600 / found['seconds']:7.1f} an hour  {worth}{early if loop == 'ours' else ''}"
    )


def compared(plain: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, float]:
    """Return ratios of two runs: how many times as fast ours is, and its losses by the plain loop's (means).

    Core-seconds leave out the time that other programs took.
    """
    worth = {what: sum(ours[what]) / sum(plain[what]) for what in METRICS}
    by_cores = plain["core_seconds"] / ours["core_seconds"]
    return {"times as fast": plain["seconds"] / ours["seconds"], "times by core seconds": by_cores, **worth}


def main() -> None:
    """Run both loops for every preset, print the figures, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["encoder_wplus", "cpu_fzplus"])
    parser.add_argument("--photos", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--preview", nargs=4, action="append", metavar=("PRESET", "STEPS", "PX", "EVERY"))
    parser.add_argument("--precision", default="float32", choices=get_args(Precision))
    parser.add_argument("--compile", default="false", choices=["false", "true", "graphs"])
    parser.add_argument("--side-by-side", type=int, default=None)
    parser.add_argument("--workers", type=int, default=1, help="processes of ours, a thread each")
    parser.add_argument("--profile", action="store_true", help="where the time goes, in one more process a preset")
    parser.add_argument(
        "--plain", type=Path, help="JSON of an earlier run with the same photographs and steps: only ours"
    )
    parser.add_argument("--out", type=Path, help="write all figures as JSON")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--meet", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.photos < arguments.workers:
        parser.error(f"--workers {arguments.workers}: there are {arguments.photos} --photos to share")
    if arguments.child:
        arguments.out.write_text(json.dumps(child(arguments)))
        return
    before = json.loads(arguments.plain.read_text()) if arguments.plain else {}
    report: dict[str, Any] = {"torch": torch.__version__, "device": arguments.device, "threads": arguments.threads}
    for name in arguments.presets:
        found = report[name] = {"plain": before[name]["plain"] if before else run_child(name, "plain")}
        print(line(name, "plain", found["plain"]), flush=True)
        found["ours"] = run_child(name, "ours", arguments.workers)
        print(line(name, "ours", found["ours"]), flush=True)
        found["ratio"] = compared(found["plain"], found["ours"])
        print(f"{name:16} ratio  " + "  ".join(f"{what} {value:.3f}" for what, value in found["ratio"].items()))
        if arguments.profile:
            found["profile"] = run_child(name, "plain profile") | run_child(name, "our profile")
            for kind, facts in found["profile"].items():
                shares = ", ".join(f"{group} {value:.0%}" for group, value in facts["share"].items())
                print(
                    f"{name:16} {kind:13} {facts['seconds']:6.3f} s  {facts['gflop']:7.1f} GFLOP  "
                    f"{facts['of_peak']:4.0%} of {facts['peak_gflops']:.0f} GFLOP/s  ({shares})"
                )
        sys.stdout.flush()
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
