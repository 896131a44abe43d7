"""Make the shipped files of ganvert/weights, from the root of the project::

    python -m stages.make_weights scores
    python -m stages.make_weights wplus|basecode|padinv ALIGNED.parquet

Takes hours on a CPU, minutes on a GPU. Images, features and checkpoints are kept in ``.work``; a stopped run resumes.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ganvert.base import params, preset_files
from ganvert.base.errors import GanvertError
from ganvert.base.files import atomic_path, write_json
from ganvert.base.preset_files import Presets
from ganvert.compute.device import resolve_device, strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.compute.progress import log_to_stderr
from ganvert.faces import ATTRIBUTES
from ganvert.generators import load_generator
from ganvert.report.plots import losses_figure, save_png
from ganvert.sampling import SampleOptions, sample
from ganvert.training import TrainOptions, read_photos, train

ASSETS = Path("data/assets")
OUT = Path("ganvert/weights")
WORK = Path(".work")
COUNT = 3000
#: Encoder to the presets that it is trained by, one after the other.
PHASES = {
    "wplus": ("cpu_wplus_codes", "cpu_wplus_pictures"),
    "basecode": ("cpu_basecode",),
    "padinv": ("cpu_wplus_codes", "cpu_padinv"),
}


def make_scores() -> None:
    """Write the attribute scores of seeds 0 .. COUNT - 1."""
    generator = load_generator(ASSETS / "mobile_stylegan.safetensors")
    options = SampleOptions(count=COUNT, known=None)
    rows = sample(generator, options, ASSETS, WORK / "sample").rows
    columns: dict[str, pa.Array] = {"seed": pa.array([row["seed"] for row in rows], pa.int32())}
    columns |= {name: pa.array([row[name] for row in rows], pa.float32()) for name in ATTRIBUTES}
    table = pa.table(columns).replace_schema_metadata({"generator": generator.fingerprint(), "px": str(options.px)})
    with atomic_path(OUT / "scores_ffhq.parquet") as temporary:
        pq.write_table(table, temporary, compression="zstd")


def make_encoder(name: str, aligned: Path) -> None:
    """Train an encoder in its phases and write it; `aligned` is the table of photographs (stage align)."""
    generator = load_generator(ASSETS / "mobile_stylegan.safetensors").to(resolve_device("auto"))
    presets, start, notes = Presets.of_project(preset_files.ENCODERS), None, []
    for preset in PHASES[name]:
        resolved = presets.resolve(preset)
        options = params.build(TrainOptions, resolved.options, resolved.where)
        photos = read_photos(aligned, options.data.px)
        trained = train(generator, options, WORK / "train_encoder", start=start, photos=photos, folder=ASSETS)
        notes.append({"preset": preset, "options": dataclasses.asdict(options), "photos": photos.fingerprint()})
        start = WORK / "made" / f"{preset}.safetensors"
        trained.encoder.save(start, json.dumps(notes[-1], sort_keys=True))
        save_png(losses_figure(trained.records), start.with_suffix(".png"))
        if trained.sheet is not None:
            trained.sheet.save(start.with_name(f"{preset}_held_out.png"))
        write_json(start.with_suffix(".json"), {"training": trained.records, "validation": trained.validation})
    trained.encoder.save(OUT / f"{name}_ffhq.safetensors", json.dumps(notes, sort_keys=True))


def main() -> None:
    """Make the file that the command line names."""
    log_to_stderr()
    strict_math()
    keep_freed_memory()
    try:
        match sys.argv[1:]:
            case ["scores"]:
                make_scores()
            case [name, aligned] if name in PHASES:
                make_encoder(name, Path(aligned))
            case _:
                sys.exit(f"usage: python -m stages.make_weights scores | {'|'.join(PHASES)} ALIGNED.parquet")
    except GanvertError as error:
        sys.exit(f"make_weights {' '.join(sys.argv[1:])}: {error}")


if __name__ == "__main__":
    main()
