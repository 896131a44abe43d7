"""Checkpoints written by other people's code, with what that code computed from them: through the public functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import ganvert
from ganvert.generators import Generator, SynthesisInput

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"
FILES = sorted(path for path in GOLDEN.iterdir() if path.suffix in (".pkl", ".pt", ".pth"))


def tolerance(generator: Generator) -> float:
    """Instance normalisation magnifies rounding: StyleGAN1 is good to 5e-5, the others to 1e-5."""
    return 5e-5 if generator.architecture == "stylegan1" else 1e-5


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def case(request: pytest.FixtureRequest) -> tuple[Generator, dict[str, Tensor]]:
    recorded = np.load(request.param.with_suffix(".npz"))
    outputs = {name: torch.from_numpy(recorded[name]) for name in recorded.files if name != "meta_json"}
    return ganvert.load_generator(request.param), outputs


def check(ours: Tensor, theirs: Tensor, limit: float) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= limit


def test_mapping(case: tuple[Generator, dict[str, Tensor]]) -> None:
    generator, outputs = case
    labels, limit = outputs.get("c"), tolerance(generator)
    ws = generator.map(outputs["z"], labels)
    theirs = outputs["w"] if "w" in outputs else outputs["w_psi1"]
    if generator.rows_differ:
        check(ws.flatten(1), theirs, limit)
    else:
        check(ws, theirs[:, None].expand_as(ws), limit)
    compared = 0
    for name, psi, cutoff in [
        ("w_psi0.7", 0.7, None),
        ("ws_psi0.7_cutoff4", 0.7, 4),
        ("ws_psi0.7_layers8", 0.7, 8),
        ("wp_trunc", 0.7, 8),
    ]:
        # A training file of rosinality's has no mean code; its sidecar's is of other samples than ours.
        if name not in outputs or (
            "latent_avg" in outputs and not torch.allclose(outputs["latent_avg"], generator.w_avg)
        ):
            continue
        n = len(outputs[name])
        theirs = outputs[name] if outputs[name].ndim == 3 else outputs[name][:, None].expand(-1, generator.num_ws, -1)
        check(generator.map(outputs["z"][:n], None if labels is None else labels[:n], psi, cutoff), theirs, limit)
        compared += 1
    assert compared or "latent_avg" in outputs


def test_pictures(case: tuple[Generator, dict[str, Tensor]]) -> None:
    generator, outputs = case
    limit, ws = tolerance(generator), outputs["ws_mix"]
    const = outputs["img_mix_const"]
    check(generator.synthesize(ws=ws[: len(const)]), const, limit)
    if "img_mix_none" in outputs:
        check(generator.synthesize(ws=ws[:1], noise="none"), outputs["img_mix_none"], limit)
    if "img_mix_explicit" in outputs:
        maps = [outputs[f"noise_explicit/{i}"] for i in range(len(generator.noise_shapes))]
        check(generator.synthesize(ws=ws[:1], noise=maps), outputs["img_mix_explicit"], limit)
    if "img_mix_transformed" in outputs:
        moved = SynthesisInput(ws=ws[:1], transform=outputs["transform"])
        check(generator.synthesize(moved), outputs["img_mix_transformed"], limit)
    if "img_G_mix_const" in outputs:  # the network that was not averaged is another one
        assert float((generator.synthesize(ws=ws[:1]) - outputs["img_G_mix_const"]).abs().max()) > 1e-2


def test_styles(case: tuple[Generator, dict[str, Tensor]]) -> None:
    generator, outputs = case
    theirs = {name.removeprefix("style/"): value for name, value in outputs.items() if name.startswith("style/")}
    ours = generator.styles(outputs["ws_mix"])
    assert len(ours) == len(theirs)
    # In execution order, but for genforce's outputs, which stand apart.
    if "output_style0" in theirs:
        names = [name for name in theirs if not name.startswith("output")]
        outputs = [name for name in theirs if name.startswith("output")]
        theirs = {name: theirs[name] for name in names + outputs}
        ours = {name: ours[name] for name in sorted(ours, key=lambda name: name.endswith("torgb"))}
    for value, recorded in zip(ours.values(), theirs.values(), strict=True):
        check(value, recorded, 1e-5)
