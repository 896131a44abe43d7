"""Presets on aligned photographs: errors at 256 px and seconds, as ratios to the first preset, and a sheet of images.

    python benchmarks/methods.py OUT PRESET [PRESET ...] [--count 4] [--threads 1] [--precision auto]

Reads data/aligned.parquet, data/assets and the presets. Every pair of preset and photograph has a folder
under OUT and is not computed again. Prints means over photographs with 95 % bootstrap intervals, and the mean ratio to
the first preset, the baseline, paired by photograph.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image

from ganvert import tables
from ganvert.assets.shipped import shipped
from ganvert.base.preset_files import METHODS, Presets
from ganvert.codes import codes_of_inversion, write_codes
from ganvert.compute.device import strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.compute.precision import Precision, Speed
from ganvert.generators import load_generator
from ganvert.images import contact_sheet, from_pil, from_png, to_pil
from ganvert.inversion.presets import Context, read_preset
from ganvert.inversion.run import Crop, invert_crops, make_context, seeds_for
from ganvert.scoring.metrics import metric
from ganvert.scoring.statistics import bootstrap_mean

ASSETS = Path("data/assets")
METRICS = ("mse_256", "ssim_256", "lpips_vgg_256", "identity_dlib")


def invert_one(out: Path, name: str, context: Context, raw: dict, crop: Crop, seed: int) -> dict:
    """Invert one photograph by one preset, or read the result of an earlier run."""
    folder = out / name / crop.image_id
    done = folder / "scores.json"
    if done.exists():
        return json.loads(done.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    preset = read_preset(name, raw)
    start = time.monotonic()
    inversion = invert_crops([crop], preset, context, seed=seed)
    seconds = time.monotonic() - start
    write_codes(folder / "codes.parquet", preset, inversion, [crop.image_id], seeds_for([crop], name, seed), context)
    picture = to_pil(codes_of_inversion(inversion, [crop.image_id], name, context.generator)[0].draw())[0]
    picture.save(folder / "picture.png")
    pair = from_pil([picture]), from_pil([crop.image])
    scores = {measure: float(metric(measure, ASSETS)(*pair)[0]) for measure in METRICS}
    facts = {**scores, "seconds": seconds, "status": inversion.status[0], "trace": inversion.trace[0].tolist()}
    done.write_text(json.dumps(facts))
    return facts


def main() -> None:
    """Invert every photograph by every preset, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--precision", default="auto", choices=get_args(Precision))
    options = parser.parse_args()
    strict_math(threads=options.threads)
    keep_freed_memory()
    presets = Presets.of_project(METHODS)
    rows = tables.read(Path("data/aligned.parquet"), tables.ALIGNED).to_pylist()[: options.count]
    crops = [Crop(row["image_id"], from_png(row["crop"])) for row in rows]
    generator, speed = load_generator(ASSETS / "mobile_stylegan.safetensors"), Speed(precision=options.precision)
    contexts, raws, results = {}, {}, {}
    for name in options.presets:
        raws[name] = presets.resolve(name).options
        preset = read_preset(name, raws[name])
        contexts[name] = make_context(preset, generator, shipped("wplus_ffhq.safetensors"), ASSETS, speed=speed)
    # Photograph by photograph, so that an unfinished run compares whole rows.
    for crop in crops:
        for name in options.presets:
            results[name, crop.image_id] = invert_one(options.out, name, contexts[name], raws[name], crop, options.seed)
            line = {k: round(v, 4) for k, v in results[name, crop.image_id].items() if isinstance(v, float)}
            print(name, crop.image_id, line, flush=True)
    print(f"{len(crops)} photographs; mean [95 % bootstrap interval], mean ratio to {options.presets[0]}")
    for name in options.presets:
        cells = []
        for measure in (*METRICS, "seconds"):
            values, baseline = (
                np.array([results[preset, crop.image_id][measure] for crop in crops])
                for preset in (name, options.presets[0])
            )
            low, high = bootstrap_mean(values)
            ratio = np.nanmean(values / baseline)
            cells.append(f"{measure} {np.nanmean(values):.4f} [{low:.4f}, {high:.4f}] x{ratio:.3f}")
        print(f"{name:24}", "  ".join(cells))
    pictures = [crop.image.resize((256, 256), Image.Resampling.LANCZOS) for crop in crops]
    labels = [crop.image_id for crop in crops]
    for name in options.presets:
        for crop in crops:
            picture = Image.open(options.out / name / crop.image_id / "picture.png")
            pictures.append(picture.resize((256, 256), Image.Resampling.LANCZOS))
            labels.append(f"{name} {results[name, crop.image_id]['mse_256']:.4f}")
    columns = len(crops) if len(crops) > 1 else 5
    contact_sheet(pictures, columns, 256, labels).save(options.out / "sheet.jpg", quality=88)


if __name__ == "__main__":
    main()
