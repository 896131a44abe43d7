"""Speed of StyleGAN2, forward and backward, as a ratio to a plain implementation of the same formulas.

    python benchmarks/synthesis.py [--quick] [--device cuda] [--out synthesis.json]

Weights are random: only sizes matter. Ours is timed in float32 and in bfloat16, the plain network in float32. The plain
network is the baseline, and tests compare images with it too. It modulates and demodulates weights, one set per sample
of a grouped convolution, and filters as upfirdn does: zeros between the pixels, padding, convolution. Its
up-convolution is a transposed one, as in NVlabs' reference path for CPUs.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.compute.device import strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.compute.precision import Engine, Speed
from ganvert.generators.base import SynthesisInput
from ganvert.generators.stylegan2 import StyleGAN2

W_DIM = 512
COLUMNS = ("plain_seconds", "ours_seconds", "ours_ratio", "bfloat16_seconds", "bfloat16_ratio")
SQRT2 = math.sqrt(2)


# --- the plain network -----------------------------------------------------------------------------------------------


def upfirdn(x: Tensor, up: int, pad: tuple[int, int, int, int], gain: float) -> Tensor:
    """Insert zeros between the pixels of [N, C, h, w], pad (left, right, top, bottom), and filter by [1, 3, 3, 1]."""
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    taps = x.new_tensor([1, 3, 3, 1])
    # (1 + 3 + 3 + 1)^2 = 64. A gain of 4 makes up for the zeros between pixels, three of four.
    kernel = torch.outer(taps, taps) / 64 * gain
    return F.conv2d(F.pad(x, pad), kernel.expand(c, 1, 4, 4), groups=c)


def plain_conv(x: Tensor, weight: Tensor, style: Tensor, up: bool, epsilon: float = 1e-8) -> Tensor:
    """Convolve 3x3 with modulated and demodulated weights, one set per sample, as a grouped convolution."""
    n, c, h, w = x.shape
    own = weight * style[:, None, :, None, None]
    # Demodulation: every output channel's weights have length 1.
    own = own * (own.square().sum(dim=(2, 3, 4), keepdim=True) + epsilon).rsqrt()
    x = x.reshape(1, n * c, h, w)
    if not up:
        return F.conv2d(x, own.flatten(0, 1), padding=1, groups=n).reshape(n, -1, h, w)
    x = F.conv_transpose2d(x, own.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
    return upfirdn(x.reshape(n, -1, 2 * h + 1, 2 * w + 1), 1, (1, 1, 1, 1), 4)


def plain_synthesis(
    state: Mapping[str, Tensor], ws: Tensor, clamp: float | None = None, scaled: bool = False
) -> Tensor:
    """Draw ws [N, num_ws, w_dim] to [N, C, R, R]: StyleGAN2 with NVlabs' names, stored noise, any architecture."""

    def affine(name: str, row: int) -> Tensor:
        weight, bias = state[f"{name}.affine.weight"], state[f"{name}.affine.bias"]
        return ws[:, row] @ weight.t() / math.sqrt(weight.shape[1]) + bias

    def layer(name: str, x: Tensor, row: int, up: bool, gain: float = 1.0) -> Tensor:
        weight = state[f"{name}.weight"]
        x = plain_conv(x, weight, affine(name, row), up, 1e-8 * (weight[0].numel() if scaled else 1))
        if f"{name}.noise_const" in state:
            x = x + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
        # sqrt(2) restores the variance that the leaky ReLU takes.
        x = F.leaky_relu(x + state[f"{name}.bias"][:, None, None], 0.2) * (SQRT2 * gain)
        return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)

    sizes = sorted({int(name.split(".")[1][1:]) for name in state if name.startswith("synthesis.b")})
    x = state["synthesis.b4.const"].expand(len(ws), -1, -1, -1)
    picture: Tensor | None = None
    row = 0
    for size in sizes:
        block = f"synthesis.b{size}"
        around = state.get(f"{block}.skip.weight")
        # Residual blocks: the sum of two branches of equal variance keeps it when each is divided by sqrt(2).
        before, gain = x, 1.0 if around is None else math.sqrt(0.5)
        if size > 4:
            x, row = layer(f"{block}.conv0", x, row, up=True), row + 1
        x, row = layer(f"{block}.conv1", x, row, up=False, gain=gain), row + 1
        if around is not None:
            skipped = F.conv2d(before, around / math.sqrt(around.shape[1]))
            x = x + upfirdn(skipped, 2, (2, 1, 2, 1), 4) * math.sqrt(0.5)
        picture = None if picture is None else upfirdn(picture, 2, (2, 1, 2, 1), 4)
        if f"{block}.torgb.weight" in state:
            # ToRGB has no demodulation; 1 / sqrt(inputs) is its equalised learning rate.
            weight, style = state[f"{block}.torgb.weight"], affine(f"{block}.torgb", row)
            own = weight * style[:, None, :, None, None] / math.sqrt(weight.shape[1])
            flat = x.reshape(1, -1, size, size)
            rgb = F.conv2d(flat, own.flatten(0, 1), groups=len(ws)).reshape(len(ws), -1, size, size)
            rgb = rgb + state[f"{block}.torgb.bias"][:, None, None]
            rgb = rgb if clamp is None else rgb.clamp(-clamp, clamp)
            picture = rgb if picture is None else picture + rgb
    assert picture is not None
    return picture


# --- measuring -------------------------------------------------------------------------------------------------------


def random_state(
    resolution: int,
    channel_base: int,
    channel_max: int = 512,
    *,
    w_dim: int = W_DIM,
    colours: int = 3,
    architecture: str = "skip",
) -> dict[str, Tensor]:
    """Return random weights with the names of our StyleGAN2; `architecture` is skip, resnet or orig."""
    source = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source)

    channels = {4 * 2**i: min(channel_base // (4 * 2**i), channel_max) for i in range(int(math.log2(resolution)) - 1)}
    state = {"w_avg": 0.1 * normal(w_dim), "synthesis.b4.const": normal(channels[4], 4, 4)}
    for i in range(2):
        # The mapping multiplies weights and biases by its learning rate of 0.01.
        state |= {f"mapping.fc{i}.weight": 100 * normal(w_dim, w_dim), f"mapping.fc{i}.bias": 10 * normal(w_dim)}

    def layer(name: str, inputs: int, outputs: int, kernel: int) -> None:
        state[f"{name}.weight"] = normal(outputs, inputs, kernel, kernel)
        state[f"{name}.bias"] = 0.1 * normal(outputs)
        state[f"{name}.affine.weight"], state[f"{name}.affine.bias"] = normal(inputs, w_dim), torch.ones(inputs)

    for size, count in channels.items():
        before, block = channels.get(size // 2, count), f"synthesis.b{size}"
        for conv in ("conv0", "conv1")[size == 4 :]:
            layer(f"{block}.{conv}", before if conv == "conv0" else count, count, 3)
            state[f"{block}.{conv}.noise_const"] = normal(size, size)
            state[f"{block}.{conv}.noise_strength"] = torch.tensor(0.1)
        if architecture == "resnet" and size > 4:
            state[f"{block}.skip.weight"] = normal(count, before, 1, 1)
        if architecture == "skip" or size == resolution:
            layer(f"{block}.torgb", count, colours, 1)
    return state


def seconds(draw: Callable[[Tensor], Tensor], ws: Tensor, backward: bool, repeats: int) -> float:
    """Return the seconds of the fastest of `repeats` runs: drawing, with `backward` also the gradient to ws."""
    best = math.inf
    for _ in range(repeats):
        at = ws.clone().requires_grad_(backward)
        gc.collect()
        start = _now(ws.device)
        with torch.set_grad_enabled(backward):
            image = draw(at)
            if backward:
                image.square().sum().backward()
        best = min(best, _now(ws.device) - start)
    return best


def _now(device: torch.device) -> float:
    """Return the time when the device has finished its work, in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    # With one thread, processor time: other processes on the machine do not lengthen it.
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def measure(
    resolution: int, channel_base: int, batch: int, device: torch.device, repeats: int
) -> list[dict[str, object]]:
    """Return the rows of the table for one network and batch size."""
    state = {name: value.to(device) for name, value in random_state(resolution, channel_base).items()}
    generator = StyleGAN2.for_state(state, {}).to(device)
    generator.load_state_dict(state)
    generator.eval().requires_grad_(False)
    ws = torch.randn(batch, generator.num_ws, W_DIM, generator=torch.Generator().manual_seed(1)).to(device)
    engine = Engine(generator, Speed(precision="bfloat16"))
    engine.now = engine.speed
    networks: dict[str, Callable[[Tensor], Tensor]] = {
        "plain": lambda at: plain_synthesis(state, at),
        "ours": lambda at: generator.synthesize(ws=at),
        "bfloat16": lambda at: engine.synthesize(SynthesisInput(ws=at)),
    }
    with torch.no_grad():
        pictures = [networks[name](ws[:1]) for name in ("plain", "ours")]
    difference = float((pictures[0] - pictures[1]).abs().max() / pictures[0].abs().max())
    assert difference < 1e-3, f"the two networks draw different images ({difference})"
    rows = []
    for backward in (False, True):
        taken: dict[str, float | None] = {}
        for name, draw in networks.items():
            try:
                taken[name] = seconds(draw, ws, backward, repeats)
            except (MemoryError, RuntimeError) as error:
                if not any(word in str(error) for word in ("memory", "alloc", "primitive")):
                    raise
                taken[name] = None
        row = {
            "resolution": resolution,
            "channel_base": channel_base,
            "batch": batch,
            "pass": "forward + backward" if backward else "forward",
        }
        row |= {f"{name}_seconds": value for name, value in taken.items()}
        for name in ("ours", "bfloat16"):
            plain, other = taken["plain"], taken[name]
            row[f"{name}_ratio"] = None if plain is None or other is None else plain / other
        rows.append(row)
    return rows


def show(row: Mapping[str, object]) -> str:
    """Return one line of the table."""
    cells = [f"{row['resolution']} px", f"base {row['channel_base']}", f"batch {row['batch']}", str(row["pass"])]
    for name in COLUMNS:
        value, unit = row[name], "s" if name.endswith("seconds") else "x"
        cells.append(f"{value:.3f} {unit}" if isinstance(value, float) else "no memory")
    return " | ".join(f"{cell:>18}" for cell in cells)


def _limit_memory() -> None:
    """Make an allocation that does not fit fail, so that the kernel does not end a process for it."""
    facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(facts["MemAvailable"].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (available, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def main() -> None:
    """Measure, print the table, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="256 px and batch 1 only, one run each")
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--threads", default=1, type=int)
    parser.add_argument("--batch", default=[1, 8], type=int, nargs="+")
    parser.add_argument("--resolution", default=[256, 1024], type=int, nargs="+")
    parser.add_argument("--repeats", default=3, type=int)
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    options = parser.parse_args()
    strict_math(options.threads)
    keep_freed_memory()  # as the stages do; both networks gain from it
    _limit_memory()
    if options.quick:
        options.batch, options.resolution, options.repeats = [1], [256], 1
    heads = ("picture", "channels", "batch", "pass", *(name.replace("_", " ") for name in COLUMNS))
    sys.stdout.write(" | ".join(f"{head:>18}" for head in heads) + "\n")
    rows = []
    for resolution in options.resolution:
        base = 32768 if resolution >= 512 else 16384  # NVlabs' automatic configuration: half the channels below 512 px
        for batch in options.batch:
            measured = measure(resolution, base, batch, options.device, options.repeats)
            sys.stdout.write("\n".join(map(show, measured)) + "\n")
            sys.stdout.flush()
            rows += measured
    if options.out is not None:
        facts = {"device": str(options.device), "threads": options.threads, "torch": torch.__version__, "rows": rows}
        options.out.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
