"""Presets against each other on aligned photographs: error at 256 px, seconds, and a sheet of pictures.

    python benchmarks/methods.py OUT PRESET [PRESET ...] [--count 4] [--params params.yaml] [--threads 1]

Reads data/aligned.parquet, data/assets and the presets of params.yaml; every (preset, photograph) is a folder of its
own under OUT and is not computed again. Prints the table at the end, means over photographs with bootstrap intervals.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ganvert import tables
from ganvert.assets.shipped import shipped
from ganvert.base.preset_files import METHODS, Presets
from ganvert.codes import codes_of_inversion, write_codes
from ganvert.compute.device import strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.generators import load_generator
from ganvert.images import contact_sheet, from_pil, from_png, to_pil
from ganvert.inversion.presets import read_preset
from ganvert.inversion.run import Crop, invert_crops, make_context, seeds_for
from ganvert.scoring.metrics import metric
from ganvert.scoring.statistics import bootstrap_mean

ASSETS = Path("data/assets")
METRICS = ("mse_256", "ssim_256", "lpips_vgg_256", "identity_dlib")


def one(out: Path, name: str, raw: dict, crop: Crop, seed: int) -> dict:
    """Invert one photograph by one preset, or read what an earlier run found."""
    folder = out / name / crop.image_id
    done = folder / "scores.json"
    if done.exists():
        return json.loads(done.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    generator = load_generator(ASSETS / "mobile_stylegan.safetensors")
    preset = read_preset(name, raw)
    context = make_context(preset, generator, shipped("wplus_ffhq.safetensors"), ASSETS)
    start = time.monotonic()
    inversion = invert_crops([crop], preset, context, seed=seed)
    seconds = time.monotonic() - start
    write_codes(folder / "codes.parquet", preset, inversion, [crop.image_id], seeds_for([crop], name, seed), context)
    picture = to_pil(codes_of_inversion(inversion, [crop.image_id], name, generator).draw())[0]
    picture.save(folder / "picture.png")
    pair = from_pil([picture]), from_pil([crop.image])
    scores = {what: float(metric(what, ASSETS)(*pair)[0]) for what in METRICS}
    facts = {**scores, "seconds": seconds, "status": inversion.status[0], "trace": inversion.trace[0].tolist()}
    done.write_text(json.dumps(facts))
    return facts


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--threads", type=int, default=None)
    told = parser.parse_args()
    strict_math(threads=told.threads)
    keep_freed_memory()
    presets = Presets.of_project(METHODS, told.params)
    rows = tables.read(Path("data/aligned.parquet"), tables.ALIGNED).to_pylist()[: told.count]
    crops = [Crop(row["image_id"], from_png(row["crop"])) for row in rows]
    found = {}
    # Photograph by photograph, so that an unfinished run compares whole rows.
    for crop in crops:
        for name in told.presets:
            found[name, crop.image_id] = one(told.out, name, presets.resolve(name).options, crop, told.seed)
            line = {k: round(v, 4) for k, v in found[name, crop.image_id].items() if isinstance(v, float)}
            print(name, crop.image_id, line, flush=True)
    print(f"{len(crops)} photographs; mean [95 % bootstrap interval]")
    for name in told.presets:
        text = []
        for what in (*METRICS, "seconds"):
            values = np.array([found[name, crop.image_id][what] for crop in crops])
            low, high = bootstrap_mean(values)
            text.append(f"{what} {np.nanmean(values):.4f} [{low:.4f}, {high:.4f}]")
        print(f"{name:24}", "  ".join(text))
    pictures = [crop.image.resize((256, 256), Image.Resampling.LANCZOS) for crop in crops]
    labels = [crop.image_id for crop in crops]
    for name in told.presets:
        for crop in crops:
            picture = Image.open(told.out / name / crop.image_id / "picture.png")
            pictures.append(picture.resize((256, 256), Image.Resampling.LANCZOS))
            labels.append(f"{name} {found[name, crop.image_id]['mse_256']:.4f}")
    columns = len(crops) if len(crops) > 1 else 5
    contact_sheet(pictures, columns, 256, labels).save(told.out / "sheet.jpg", quality=88)


if __name__ == "__main__":
    main()
