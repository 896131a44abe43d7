"""train_encoder: generator samples -> data/encoder/encoder.safetensors, its losses and their plot."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

from ganvert.encoders.train import train
from ganvert.files import atomic_path
from ganvert.report.plots import losses_figure, save_png
from stages.common import generator_of, stage

ASSETS = Path("data/assets")
WORK = Path(".work/train_encoder")
OUT = Path("data/encoder")
METRICS = Path("reports/train_encoder.json")
log = logging.getLogger("train_encoder")


def main() -> None:
    """Run the stage."""
    with stage("train_encoder") as told:
        options = told["train_encoder"]
        generator = generator_of(told)
        encoder, records = train(generator, options, WORK, folder=ASSETS)
        OUT.mkdir(parents=True, exist_ok=True)
        encoder.save(OUT / "encoder.safetensors", json.dumps(dataclasses.asdict(options), sort_keys=True))
        with atomic_path(OUT / "losses.json") as temporary:
            temporary.write_text(json.dumps(records))
        save_png(losses_figure(records), OUT / "loss.png")
        last = records[-20:]
        means = {name: sum(record[name] for record in last) / len(last) for name in last[0] if name != "step"}
        with atomic_path(METRICS) as temporary:
            temporary.write_text(json.dumps({"steps": len(records), "last_20_steps": means}, indent=2) + "\n")
        log.info("losses over the last %d steps: %s", len(last), means)


if __name__ == "__main__":
    main()
