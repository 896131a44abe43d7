"""SAM's choice of a layer for each segment: the rule, its extremes, and photographs that leave each other alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.codes import code_table, codes_of_inversion
from ganvert.compute.random import normal
from ganvert.faces.parsing import CLASSES, MERGED, find_segments
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.methods import assign as module
from ganvert.inversion.methods.assign import AssignOptions, choose, mask_of
from ganvert.inversion.presets import Batch, Context, Inversion, Preset, read_preset
from ganvert.losses.lpips import load_lpips
from ganvert.spaces import make_space

MSE = ({"loss": "mse", "resolution": 64},)
HALVES = np.zeros((512, 512), dtype=np.uint8)
HALVES[:, :256] = CLASSES.index("skin")
HALVES[:, 256:] = CLASSES.index("hair")


class Parser:
    """Says of every picture that its left half is skin and its right half hair."""

    def labels(self, picture: object) -> np.ndarray:
        return HALVES


@pytest.fixture
def context(tiny_generator: MobileStyleGAN, assets: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(module, "load_parser", lambda folder: Parser())
    return Context(generator=tiny_generator, folder=assets)


@pytest.fixture(scope="module")
def targets(tiny_generator: MobileStyleGAN) -> Tensor:
    return tiny_generator.synthesize(ws=tiny_generator.map(normal([103, 107], (16,)))).clamp(-1, 1)


def optimise(**options: Any) -> dict[str, Any]:
    return {"inverter": "optimise", "steps": 4, "lr": 0.05, "objective": MSE, **options}


def sam(threshold: float, space: str = "m16-32/wplus") -> Preset:
    """Rows, masks, and both together, with few steps."""
    choice = {"inverter": "assign", "space": space, "threshold": threshold, "trial_steps": 3, "lr": 0.1}
    stages = [optimise(space="wplus"), {**choice, "objective": MSE}, optimise(space=space, init="previous")]
    return read_preset("sam", {"inverter": "chain", "stages": stages})


def run(preset: Preset, targets: Tensor, context: Context) -> Inversion:
    batch = Batch(targets=targets, seeds=range(len(targets)))
    return preset.inverter.run(batch, context, preset.options)


def test_the_first_layer_that_is_near_enough() -> None:
    left = np.zeros((8, 8), dtype=bool)
    left[:, :4] = True
    seen = []

    def maps() -> Iterator[Tensor]:
        for layer, values in enumerate([(0.25, 0.5), (0.125, 0.25), (0.0625, 0.125)]):
            seen.append(layer)
            yield torch.tensor([[*[values[0]] * 2, *[values[1]] * 2]]).expand(1, 1, 4, 4)

    segments = [left, ~left, np.ones_like(left)]
    assert choose(maps(), segments, 0.25, last=3) == [0, 1, 1]  # inclusive; the whole picture has the mean of both
    assert seen == [0, 1]  # nothing is left to be tried
    assert choose(maps(), segments, 0.125, last=3) == [1, 2, 2]
    assert choose(maps(), segments, 0.0, last=3) == [3, 3, 3]


def test_masks_of_segments_cover_the_picture() -> None:
    segments = find_segments(HALVES)
    assert list(segments) == ["face", "hair"]
    masks = [mask_of([segment], 16) for segment in segments.values()]
    torch.testing.assert_close(sum(masks), torch.ones(1, 1, 16, 16), atol=1 / 128, rtol=0)
    assert masks[0][0, 0, :, 0].min() == 1.0 and masks[0][0, 0, :, -1].max() == 0.0


def test_segments_are_a_partition() -> None:
    labels = np.random.default_rng(1).integers(len(CLASSES), size=(64, 64))
    segments = find_segments(labels)
    assert (sum(segment.astype(int) for segment in segments.values()) == 1).all()
    assert set(segments) == {"face", *set(CLASSES) - set(MERGED)}
    assert {"glasses", "hair", "background"} < set(segments)
    assert list(find_segments(np.zeros((8, 8), dtype=np.uint8))) == ["picture"]


@pytest.mark.slow
def test_a_threshold_that_all_pass_leaves_the_rows_alone(context: Context, targets: Tensor) -> None:
    done = run(sam(10.0), targets, context)
    rows = [optimise(space="wplus"), optimise(space="wplus", init="previous")]
    plain = run(read_preset("rows", {"inverter": "chain", "stages": rows}), targets, context)
    assert torch.equal(done.variables["ws"], plain.variables["ws"])
    assert not any(done.variables[name].any() for name in ("d16", "d32", "m16", "m32"))
    assert done.trace[:, 4:7].isnan().all()  # no trial was made


@pytest.mark.slow
def test_a_threshold_that_none_passes_gives_all_to_the_finest_map(context: Context, targets: Tensor) -> None:
    done = run(sam(0.0), targets, context)
    assert (done.variables["m32"] == 1).all() and not done.variables["m16"].any()
    assert done.variables["d32"].any() and not done.variables["d16"].any()
    assert done.trace[:, 4:7].isfinite().all()  # 16 px was tried
    alone = run(sam(0.0), targets[1:], dataclasses.replace(context))
    assert torch.equal(alone.variables["m32"][0], done.variables["m32"][1])
    torch.testing.assert_close(alone.trace[0], done.trace[1], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_rows_of_z_start_nearby_under_the_same_masks(context: Context, targets: Tensor) -> None:
    done, rows = run(sam(0.0, "m16-32/zplus"), targets, context), run(sam(0.0), targets, context)
    assert torch.equal(done.variables["m32"], rows.variables["m32"])
    radius = done.variables["z"].norm(dim=-1)
    torch.testing.assert_close(radius, torch.full_like(radius, 4.0))
    make_space("m16-32/zplus", context.generator).check(done.variables)


def test_masks_are_chosen_by_what_the_codes_own_noise_draws(context: Context, targets: Tensor) -> None:
    """Maps that a stage before has optimised are part of the picture that a segment is compared in."""
    noise = optimise(space="wplus", init="previous", code="fixed", noise="optimise", lr=1.0, noise_normalise=False)
    chain = read_preset("noise", {"inverter": "chain", "stages": [optimise(space="wplus"), noise]})
    one = Batch(targets=targets[:1], seeds=[0], start=run(chain, targets[:1], context))
    options = sam(0.0).stages[1].options
    found = next(module.Trials(one, context, options).maps([]))
    drawn = codes_of_inversion(one.require_start(), ["a"], "noise", context.generator).draw()
    lpips = load_lpips("vgg", context.folder, context.device)
    assert torch.equal(found, lpips.maps(drawn, lpips.features(targets[:1])))
    choice = {"inverter": "assign", "space": "m16-32/wplus", "threshold": 10.0, "trial_steps": 1, "lr": 0.1}
    choice |= {"objective": MSE}
    both = read_preset("both", {"inverter": "chain", "stages": [optimise(space="wplus"), noise, choice]})
    table, _ = code_table(both, context)
    promised = {field.name for field in table.columns if field.name.startswith("noise_")}
    assert len(promised) == len(run(both, targets[:1], context).noise)


def test_what_cannot_be_assigned_is_refused(context: Context, targets: Tensor) -> None:
    stage = {"inverter": "assign", "space": "m16-32/wplus", "trial_steps": 3, "lr": 0.1, "objective": MSE}
    with pytest.raises(ParamsError, match="space: wanted mSIZE-SIZE/SPACE"):
        read_preset("x", {**stage, "space": "f16/wplus"})
    with pytest.raises(ParamsError, match="threshold: wanted 0 or more"):
        read_preset("x", {**stage, "threshold": -0.1})
    with pytest.raises(ParamsError, match="fractions of the steps"):
        read_preset("x", {**stage, "ramp_up": -1.0})
    with pytest.raises(ParamsError, match=r"preview_steps must be between 0 and trial_steps \(3\), got 4"):
        read_preset("x", {**stage, "preview_steps": 4})
    with pytest.raises(ParamsError, match="put it behind another"):
        run(read_preset("x", stage), targets, context)
    behind = {"inverter": "chain", "stages": [optimise(space="f16/wplus"), stage]}
    with pytest.raises(UnsupportedError, match="has no ws"):
        run(read_preset("x", behind), targets, context)
    trial = read_preset("x", {**stage, "preview_steps": 2, "preview_px": 16}).options
    assert isinstance(trial, AssignOptions)
    assert (trial.trial(16).preview_steps, trial.trial(16).preview_px, trial.trial(16).steps) == (2, 16, 3)
    with pytest.raises(ParamsError, match="differences is for spaces mSIZE-SIZE"):
        read_preset("x", optimise(space="wplus", regularise={"differences": 1.0}))
