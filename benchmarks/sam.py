"""SAM's threshold: what it gives in reconstruction and takes in editing (Parmar et al. 2022, figure 7).

    python -m benchmarks.sam OUT [--preset cpu_sam] [--scale 1] [--thresholds 0 0.1 0.15 0.2 0.3] [--count 4]
                             [--directions smile yaw] [--aligned data/aligned.parquet] [--assets data/assets]
                             [--precision auto]

The rows and the trials of a photograph do not depend on the threshold, and are made once; so is the joint optimisation
of thresholds that choose the same layers. A photograph and a choice are a folder under OUT and are not computed again.
OUT/sweep.json has every number, OUT/sweep.png the means and the single photographs, and OUT/sheet.png the pictures.

Measured are MSE and LPIPS to the crop; what amount +2 of a direction does less what -2 does to its own score;
MobileFaceNet's cosine of edited and unedited pictures; and by how much an edit changes the pixels of segments that the
rows draw and of those that a feature map draws: root mean square, pictures in [-1, 1] at 256 px.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image

from ganvert import tables
from ganvert.assets.shipped import shipped
from ganvert.base.preset_files import METHODS, Presets
from ganvert.codes import Code, codes_of_inversion
from ganvert.compute.device import strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.compute.precision import Precision, Speed
from ganvert.directions import choose as direction_of
from ganvert.directions import load_directions
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits.shift import Shift
from ganvert.editing.render import draw_edit
from ganvert.faces import AttributeScorer
from ganvert.generators import load_generator
from ganvert.images import area_resize, contact_sheet, from_pil, from_png, to_pil
from ganvert.inversion.methods.assign import (
    AssignOptions,
    Trials,
    choose,
    masked_space,
    mean_over,
    segments_of,
    with_masks,
)
from ganvert.inversion.presets import Batch, Inversion, read_preset
from ganvert.inversion.run import Crop, make_context, seeds_for, shipped_encoders, targets_of
from ganvert.scoring.metrics import metric
from ganvert.scoring.statistics import bootstrap_mean

AMOUNT = 2.0
PX = 256
#: Panels of the figure: a number of a row to the axis' label.
PANELS = {
    "lpips_vgg_256": "LPIPS-vgg at 256 px",
    "mse_256": "MSE at 256 px",
    "moved": "score moved, share of the rows alone",
    "identity": "MobileFaceNet, edited and unedited",
    "change_rows": "change where the rows draw",
    "change_maps": "change where maps draw",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A photograph with its rows, and what the trials have found.

    Attributes:
        crop: the photograph.
        batch: the same with its code of rows.
        segments: name to bool [512, 512].
        maps: [layers - 1, 1, 1, 256, 256], LPIPS's maps of the rows alone and of all feature maps but the finest.
    """

    crop: Crop
    batch: Batch
    segments: Mapping[str, np.ndarray]
    maps: torch.Tensor

    def chosen(self, threshold: float) -> list[int]:
        """Return the layer of every segment (:func:`ganvert.inversion.methods.assign.choose`)."""
        return choose(iter(self.maps), list(self.segments.values()), threshold, len(self.maps))

    def distances(self) -> dict[str, list[float]]:
        """Return segment to the mean distance on every layer but the finest map."""
        return {name: [round(mean_over(part, of), 3) for of in self.maps] for name, part in self.segments.items()}


class Sweep:
    """Inverts and measures; everything is kept under `out`."""

    def __init__(
        self, out: Path, preset: str, scale: float, directions: Sequence[str], assets: Path, speed: Speed
    ) -> None:
        self.out, self.assets = out, assets
        self.generator = load_generator(assets / "mobile_stylegan.safetensors")
        self.preset = read_preset(preset, scaled(Presets.of_project(METHODS).resolve(preset).options, scale))
        self.rows, self.choice, self.together = self.preset.stages
        self.context = make_context(self.preset, self.generator, shipped_encoders(self.preset), assets, speed=speed)
        table = load_directions(shipped("directions_ffhq.parquet"), self.generator)
        self.directions = {name: direction_of(table, name, "w") for name in directions}
        self.scorer = AttributeScorer(assets, directions)
        self.errors = [metric(name, assets) for name in ("mse_256", "lpips_vgg_256")]
        self.identity = metric("identity_mobilefacenet", assets, moved=True)

    def subject(self, crop: Crop) -> Subject:
        """Find the rows of a photograph and make all trials, or read them."""
        folder = self.out / crop.image_id
        folder.mkdir(parents=True, exist_ok=True)
        batch = Batch(
            targets=targets_of([crop], self.generator),
            seeds=seeds_for([crop], self.preset.name, 0),
            image_ids=[crop.image_id],
        )
        options = self.choice.options
        assert isinstance(options, AssignOptions)
        kept = folder / "trials.npz"
        if not kept.exists():
            rows = self.rows.inverter.run(batch, self.context, self.rows.options, None)
            batch = dataclasses.replace(batch, start=rows)
            sizes = masked_space(self.context, options).sizes
            maps = torch.stack(list(Trials(batch, self.context, options).maps(sizes[:-1])))
            np.savez(kept, ws=rows.variables["ws"].numpy(), maps=maps.numpy())
        found = np.load(kept, allow_pickle=False)
        start = _inversion(self.rows.options.space, {"ws": torch.from_numpy(found["ws"])})
        batch = dataclasses.replace(batch, start=start)
        return Subject(crop, batch, segments_of(batch, self.context), torch.from_numpy(found["maps"]))

    def measure(self, subject: Subject, chosen: Sequence[int]) -> dict[str, Any]:
        """Optimise rows and maps together for one choice of layers and measure the code, or read what was measured."""
        folder = self.out / subject.crop.image_id / "-".join(map(str, chosen))
        kept = folder / "scores.json"
        if not kept.exists():
            folder.mkdir(parents=True, exist_ok=True)
            started = time.process_time()
            parts = list(subject.segments.values())
            start = with_masks(subject.batch, self.context, self.choice.options, parts, chosen)
            batch = dataclasses.replace(subject.batch, start=start)
            code = self._code(self.together.inverter.run(batch, self.context, self.together.options, None), subject)
            scores = self._scores(subject, code, chosen, folder)
            kept.write_text(json.dumps({**scores, "seconds": time.process_time() - started}))
        return dict(json.loads(kept.read_text()))

    def _code(self, inversion: Inversion, subject: Subject) -> Code:
        return codes_of_inversion(inversion, [subject.crop.image_id], self.preset.name, self.generator)[0]

    def _scores(self, subject: Subject, code: Code, chosen: Sequence[int], folder: Path) -> dict[str, float]:
        unedited = to_pil(code.draw())[0]
        unedited.save(folder / "unedited.png")
        pair = from_pil([unedited]), from_pil([subject.crop.image])
        scores = {each.name: float(each(*pair)[0]) for each in self.errors}
        maps = np.any([part for part, of in zip(subject.segments.values(), chosen, strict=True) if of], axis=0)
        maps = np.broadcast_to(maps, next(iter(subject.segments.values())).shape)
        before, cosines, changes = area_resize(pair[0], PX), [], []
        for name, direction in self.directions.items():
            ends = {}
            for amount in (-AMOUNT, AMOUNT):
                picture = draw_edit(Shift(), EditInputs(code=code, directions=[(direction, 1.0)]), amount)
                picture.save(folder / f"{name}{amount:+g}.png")
                ends[amount] = self.scorer.score([picture])[0][name]
                cosines.append(float(self.identity(from_pil([picture]), pair[0])[0]))
                changes.append((area_resize(from_pil([picture]), PX) - before).square().mean(dim=1)[0].numpy())
            low, high = ends[-AMOUNT], ends[AMOUNT]
            scores[f"moved_{name}"] = float("nan") if low is None or high is None else high - low
        scores["identity"] = float(np.nanmean(cosines))
        for name, where in (("rows", ~maps), ("maps", maps)):
            inside = np.mean(changes, axis=0)[_small(where, PX)]
            scores[f"change_{name}"] = float(np.sqrt(inside.mean())) if inside.size else float("nan")
        return scores


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is a number; nan where nothing is, as the change where no map draws."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def scaled(raw: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Return a preset with the steps of its stages and trials multiplied; at least one each."""
    names = ("steps", "trial_steps", "preview_steps")
    stages = [
        {**stage, **{name: max(1, round(stage[name] * scale)) for name in names if stage.get(name)}}
        for stage in raw["stages"]
    ]
    return {**raw, "stages": stages}


def _small(part: np.ndarray, px: int) -> np.ndarray:
    """Return a mask [H, H] at px: the pixels that lie in it by half."""
    return area_resize(torch.from_numpy(np.array(part, dtype=np.float32))[None, None], px)[0, 0].numpy() >= 0.5


def _inversion(space: str, variables: dict[str, torch.Tensor]) -> Inversion:
    return Inversion(space, variables, [], torch.zeros(1, 1), torch.zeros(1), ["ok"], [""])


def rows_of(sweep: Sweep, crops: Sequence[Crop], thresholds: Sequence[float]) -> list[dict[str, Any]]:
    """Return a row of numbers for every photograph and threshold."""
    rows = []
    for crop in crops:
        subject = sweep.subject(crop)
        alone = sweep.measure(subject, [0] * len(subject.segments))
        for threshold in thresholds:
            chosen = subject.chosen(threshold)
            scores = sweep.measure(subject, chosen)
            # The share of what the same photograph's rows alone move, over the directions.
            shares = [scores[f"moved_{name}"] / alone[f"moved_{name}"] for name in sweep.directions]
            layers = dict(zip(subject.segments, chosen, strict=True))
            rows.append(
                {
                    "image_id": crop.image_id,
                    "threshold": threshold,
                    **scores,
                    "moved": np.mean(shares),
                    "layers": layers,
                }
            )
            print(
                crop.image_id, threshold, layers, {name: round(float(rows[-1][name]), 4) for name in PANELS}, flush=True
            )
    return rows


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw every number against the threshold: a light line per photograph, and their mean."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    thresholds = sorted({row["threshold"] for row in rows})
    ids = list(dict.fromkeys(row["image_id"] for row in rows))
    figure, panels = plt.subplots(2, 3, figsize=(11, 6), sharex=True, constrained_layout=True)
    for axes, (name, label) in zip(panels.flat, PANELS.items(), strict=True):
        values = np.array([[row[name] for row in rows if row["image_id"] == image_id] for image_id in ids])
        axes.plot(thresholds, values.T, color="#3f7fd6", alpha=0.3, linewidth=0.9)
        axes.plot(thresholds, [_mean(column) for column in values.T], color="#3f7fd6", marker="o", linewidth=1.8)
        axes.margins(y=0.1)
        axes.set(title=label, xlabel="threshold", ylim=(0, None))
        axes.grid(alpha=0.2)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Measure what is missing, print the table, and draw figure and sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--preset", default="cpu_sam")
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps of every stage and of the trials")
    parser.add_argument("--thresholds", nargs="+", type=float, default=[0.0, 0.1, 0.15, 0.2, 0.3])
    parser.add_argument("--directions", nargs="+", default=["smile", "yaw"], help="named after attributes")
    parser.add_argument("--aligned", type=Path, default=Path("data/aligned.parquet"))
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--assets", type=Path, default=Path("data/assets"))
    parser.add_argument("--precision", default="auto", choices=get_args(Precision))
    parser.add_argument("--trials", action="store_true", help="only make the trials, and print what they find")
    options = parser.parse_args()
    strict_math(threads=1)
    keep_freed_memory()
    table = tables.read(options.aligned, tables.ALIGNED).to_pylist()[: options.count]
    crops = [Crop(row["image_id"], from_png(row["crop"])) for row in table]
    speed = Speed(precision=options.precision)
    sweep = Sweep(options.out, options.preset, options.scale, options.directions, options.assets, speed)
    if options.trials:
        for crop in crops:
            subject = sweep.subject(crop)
            print(crop.image_id, subject.distances(), flush=True)
        return
    rows = rows_of(sweep, crops, options.thresholds)
    (options.out / "sweep.json").write_text(json.dumps(rows, indent=1))
    plot(rows, options.out / "sweep.png")
    for threshold in options.thresholds:
        cells = []
        for name in PANELS:
            values = np.array([row[name] for row in rows if row["threshold"] == threshold])
            low, high = bootstrap_mean(values[np.isfinite(values)])
            cells.append(f"{name} {_mean(values):.4f} [{low:.4f}, {high:.4f}]")
        print(f"{threshold:6g}  " + "  ".join(cells))
    sheet(rows, crops, options.directions[0], options.out)


def sheet(rows: Sequence[Mapping[str, Any]], crops: Sequence[Crop], direction: str, out: Path) -> None:
    """Write, for every photograph and threshold, the unedited picture and the ends of a direction."""
    pictures, labels = [], []
    names = [f"{direction}{-AMOUNT:+g}", "unedited", f"{direction}{AMOUNT:+g}"]
    for crop in crops:
        pictures.append(crop.image)
        labels.append(crop.image_id)
        mine = [row for row in rows if row["image_id"] == crop.image_id]
        for row in mine:
            folder = out / crop.image_id / "-".join(map(str, row["layers"].values()))
            pictures += [Image.open(folder / f"{name}.png") for name in names]
            labels += [f"{row['threshold']:g} {name}" for name in names]
    small = [picture.resize((PX, PX), Image.Resampling.LANCZOS) for picture in pictures]
    contact_sheet(small, len(small) // len(crops), PX, labels).save(out / "sheet.png")


if __name__ == "__main__":
    main()
