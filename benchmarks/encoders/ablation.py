"""Small encoders that differ in one thing: backbone, identity loss, samples, passes. Baseline: the first arm.

Every arm is trained from scratch in two phases: rows of samples, then photographs by drafts of the generator. Both are
far shorter than what the shipped encoder got, so that differences count, not levels.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path
from typing import Any

from benchmarks.encoders.bench import Bench, Row, kept, numbers, per_image
from ganvert.base import params
from ganvert.base.preset_files import ENCODERS, Presets
from ganvert.inversion.presets import read_preset
from ganvert.inversion.run import make_context
from ganvert.scoring.statistics import summarise
from ganvert.training import Photos, TrainOptions, read_photos, train

METRICS = ("lpips_vgg", "mse", "identity_dlib", "identity_mobilefacenet")

#: What the arms share: the first phase, and the second.
CODES: Row = {
    "extends": "parts/cpu",
    "encoder": {"space": "wplus", "heads": {"compact": {}}},
    "batch": 16,
    "data": {"validation": 0},
    "optimiser": {"weight_decay": 0.05},
    "latent": 1.0,
    "checkpoint_every": 50,
}
PICTURES: Row = {
    "extends": "parts/cpu_drafts",
    "encoder": {"space": "wplus", "heads": {"compact": {}}},
    "batch": 8,
    "data": {"validation": 0, "photos": 1.0, "photo_variants": 2, "augment": {"mirror": True}},
    "optimiser": {"lr": 0.0003, "weight_decay": 0.02},
    "regularise": {"w_norm": 0.003},
    "ema": 0.95,
    "checkpoint_every": 20,
}
IDENTITY: list[Row] = [{"loss": "identity_dlib", "weight": 0.5, "resolution": 128}]
#: Samples behind the drafts, the same for all arms.
DRAFT_SAMPLES = 400
#: Arm to what it changes: of the encoder, and beside it.
ARMS: dict[str, Row] = {
    "base": {},
    "few_samples": {"samples": 400},
    "parsing": {"encoder": {"backbone": "parsing_frozen"}},
    "identity": {"objective": IDENTITY},
    "descriptor": {
        "encoder": {"descriptor": "dlib", "heads": {"compact": {}, "identity": {}}},
        "objective": IDENTITY,
    },
    "two_passes": {"encoder": {"passes": 2}},
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--training", type=Path, required=True, help="table of aligned photographs to train on")
    parser.add_argument("--samples", type=int, default=1500, help="of the arms that do not say otherwise")
    parser.add_argument("--steps", type=int, nargs=2, default=(300, 120), help="of the two phases")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))


def run(bench: Bench) -> None:
    """Train every arm, score its one pass, and compare it with the first, paired by photograph."""
    photos = read_photos(bench.options.training, 256)
    results: dict[str, list[Row]] = {}
    costs: dict[str, Row] = {}
    for arm in bench.options.arms:
        weights = bench.out / "ablation" / f"{arm}.safetensors"
        costs[arm] = _trained(bench, arm, photos, weights)
        preset = read_preset("alone", {"inverter": "feed_forward", "space": "wplus"})
        context = make_context(preset, bench.generator, [weights], bench.assets, speed=bench.speed)
        results[arm] = [
            bench.scored(weights.with_suffix("") / crop.image_id, crop, preset, context, METRICS)
            for crop in bench.crops
        ]
    names = [bench.label(name) for name in METRICS]
    first, *others = results
    lines = [
        {"arm": arm, **costs[arm], **{what: summarise(numbers(rows, what)) for what in names}}
        for arm, rows in results.items()
    ]
    less = [
        {"arm": arm, **{w: summarise(numbers(results[arm], w) - numbers(results[first], w)) for w in names}}
        for arm in others
    ]
    bench.report(
        "ablation",
        {"One pass of small encoders": lines} | ({f"Less {first}": less} if less else {}),
        f"{len(photos.ids)} photographs and {bench.options.samples} samples to train on, {bench.options.steps[0]} "
        f"steps of {CODES['batch']} and {bench.options.steps[1]} of {PICTURES['batch']}. identity_dlib is in the "
        "objective of some arms; identity_mobilefacenet in none.",
        per_image(bench, results),
    )


def _trained(bench: Bench, arm: str, photos: Photos, target: Path) -> Row:
    """Train an arm in its phases, write its weights, and return what they cost; a stopped training resumes."""
    changes, steps = ARMS[arm], bench.options.steps
    first, second = copy.deepcopy(CODES), copy.deepcopy(PICTURES)
    first |= {"steps": steps[0]}
    first["data"]["samples"] = changes.get("samples", bench.options.samples)
    second |= {"steps": steps[1], "first_step": steps[0]}
    second["data"]["samples"] = DRAFT_SAMPLES
    for phase in (first, second):
        phase["encoder"] |= changes.get("encoder", {})
    presets = Presets(ENCODERS, {"codes": first, "pictures": second})
    todo = {name: presets.resolve(name) for name in ("codes", "pictures")}
    # Added to what the second phase inherits: a list in a preset would replace it.
    todo["pictures"].options["objective"] += changes.get("objective", [])
    options = {name: params.build(TrainOptions, each.options, each.where) for name, each in todo.items()}

    def compute() -> Row:
        start: Path | None = None
        parameters, began = 0, time.process_time()
        for name, phase in options.items():
            work = bench.out / "work"
            trained = train(bench.generator, phase, work, start=start, photos=photos, folder=bench.assets)
            start = target.with_name(f"{arm}_{name}.safetensors")
            trained.encoder.save(start, f"ablation {arm}")
            parameters = sum(value.numel() for value in trained.encoder.trained_state().values())
        trained.encoder.save(target, f"ablation {arm}")
        return {"million parameters": parameters / 1e6, "training core_s": time.process_time() - began}

    key: dict[str, Any] = {
        "options": {name: str(phase) for name, phase in options.items()},
        "photos": photos.fingerprint(),
        "generator": bench.fingerprint,
    }
    return kept(target.with_suffix(".json"), key, compute)
