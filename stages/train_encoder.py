"""train_encoder NAME: samples and photographs -> data/encoders/NAME.safetensors, its losses, plots and images.

On several GPUs: ``torchrun --nproc-per-node 4 -m stages.train_encoder NAME``.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import statistics
import sys
from pathlib import Path

from ganvert.base import params
from ganvert.base.errors import InputError
from ganvert.base.files import atomic_path, write_json
from ganvert.base.registry import lookup
from ganvert.discriminators import load_discriminator
from ganvert.report.plots import losses_figure, save_png
from ganvert.training import Trained, TrainOptions, read_photos, train
from ganvert.training.distributed import leave, world
from stages.common import generator_of, resolved_options, stage

ASSETS = Path("data/assets")
WORK = Path(".work/train_encoder")
PRESETS = Path("data/presets/encoders")
OUT = Path("data/encoders")
REPORTS = Path("reports/train_encoder")
log = logging.getLogger("train_encoder")


def main() -> None:
    """Train the encoder named on the command line."""
    with stage("train_encoder") as settings:
        if len(sys.argv) != 2:
            raise InputError("usage: python -m stages.train_encoder NAME")
        here = world()  # before anything is moved to a device: from here on, "cuda" is this process's own GPU
        name, section = sys.argv[1], settings.train_encoder
        weights = lookup(section.encoders, name, "encoder in train_encoder.encoders")
        preset = PRESETS / f"{name}.yaml"
        options = params.build(TrainOptions, resolved_options(preset), str(preset))
        generator, path = generator_of(settings), settings.generator.path
        start = None if weights == path else Path(weights)
        judges_images = options.adversary is not None and options.adversary.kind == "picture"
        trained = train(
            generator,
            options,
            WORK,
            start=start,
            photos=read_photos(Path(section.photos), options.data.px),
            folder=ASSETS,
            discriminator=load_discriminator(path, generator.label) if judges_images else None,
        )
        if here.is_main:
            _write(name, options, trained)
        leave()


def _write(name: str, options: TrainOptions, trained: Trained) -> None:
    """Write the weights, the losses as numbers and plots, and the metrics."""
    out = OUT / name
    trained.encoder.save(OUT / f"{name}.safetensors", json.dumps(dataclasses.asdict(options), sort_keys=True))
    write_json(out / "losses.json", {"training": trained.records, "validation": trained.validation})
    save_png(losses_figure(trained.records), REPORTS / f"{name}.png")
    if trained.sheet is not None:
        with atomic_path(out / "validation.png") as temporary:
            trained.sheet.save(temporary)
    if len(trained.validation) > 1:
        save_png(losses_figure(trained.validation, batches=False), out / "validation_loss.png")
    last = trained.records[-20:]
    names = dict.fromkeys(name for record in last for name in record if name != "step")
    # A step without photographs, for example, has no losses of photographs.
    means = {name: statistics.fmean(record[name] for record in last if name in record) for name in names}
    facts = {"steps": len(trained.records), "last_20_steps": means, "held_out": (trained.validation or [{}])[-1]}
    write_json(REPORTS / f"{name}.json", facts)
    log.info("losses over the last %d steps: %s; held-out photographs: %s", len(last), means, facts["held_out"])


if __name__ == "__main__":
    main()
