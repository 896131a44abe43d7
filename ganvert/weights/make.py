"""How the shipped files were made: ``python -m ganvert.weights.make scores|encoder`` from the project's folder.

Hours on a CPU, minutes on a GPU. Pictures, features and checkpoints are kept in ``.work``; a stopped run goes on.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ganvert.encoders.train import TrainOptions, train
from ganvert.errors import GanvertError
from ganvert.faces import ATTRIBUTES
from ganvert.files import atomic_path
from ganvert.generators import load_generator
from ganvert.report.plots import losses_figure, save_png
from ganvert.runtime import keep_freed_memory, log_to_stderr, resolve_device, strict_math
from ganvert.samples import SampleOptions, sample

ASSETS = Path("data/assets")
OUT = Path("ganvert/weights")
WORK = Path(".work")
COUNT = 3000
#: First the code alone (features are cached, so this is cheap), then the pictures drawn from it.
ENCODER = (
    {"steps": 3000, "batch": 32, "lr": 1e-3, "weight_decay": 0.05, "latent": 1.0},
    {"steps": 250, "batch": 4, "lr": 2e-4, "weight_decay": 0.01, "latent": 0.1, "pixel": 1.0, "lpips": 1.0},
)


def make_scores() -> None:
    """Attribute scores of seeds 0 .. COUNT - 1."""
    generator = load_generator(ASSETS / "mobile_stylegan.safetensors")
    options = SampleOptions(count=COUNT, known=None)
    rows = sample(generator, options, ASSETS, WORK / "sample").rows
    columns: dict[str, pa.Array] = {"seed": pa.array([row["seed"] for row in rows], pa.int32())}
    columns |= {name: pa.array([row[name] for row in rows], pa.float32()) for name in ATTRIBUTES}
    table = pa.table(columns).replace_schema_metadata({"generator": generator.fingerprint(), "px": str(options.px)})
    with atomic_path(OUT / "scores_ffhq.parquet") as temporary:
        pq.write_table(table, temporary, compression="zstd")


def make_encoder() -> None:
    """The compact encoder, in the two phases of ENCODER."""
    generator = load_generator(ASSETS / "mobile_stylegan.safetensors").to(resolve_device("auto"))
    start, done, records = None, 0, []
    for phase in ENCODER:
        options = TrainOptions(start=start, first_step=done, samples=COUNT, **phase)  # type: ignore[arg-type]
        encoder, new = train(generator, options, WORK / "train_encoder", folder=ASSETS)
        done, start = done + options.steps, str(WORK / "encoder_phase.safetensors")
        encoder.save(Path(start), json.dumps(phase))
        records.append(new)
    encoder.save(OUT / "encoder_ffhq.safetensors", json.dumps(ENCODER))
    for i, part in enumerate(records):
        save_png(losses_figure(part), WORK / f"encoder_phase_{i}.png")


if __name__ == "__main__":
    log_to_stderr()
    strict_math()
    keep_freed_memory()
    torch.manual_seed(0)
    made = {"scores": make_scores, "encoder": make_encoder}
    if len(sys.argv) != 2 or sys.argv[1] not in made:
        sys.exit(f"usage: python -m ganvert.weights.make {'|'.join(made)}")
    try:
        made[sys.argv[1]]()
    except GanvertError as error:
        sys.exit(f"make {sys.argv[1]}: {error}")
