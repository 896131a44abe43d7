"""Make the shipped files of ganvert/weights, from the root of the project::

    python -m stages.make_weights expression vladmandic-face-api-1.7.15.tgz
    python -m stages.make_weights scores
    python -m stages.make_weights wplus|padinv|parsing ALIGNED.parquet
    python -m stages.make_weights NAME ALIGNED.parquet PRESET    # train the file that is there on, by one more preset

Takes hours on a CPU, minutes on a GPU. Images, features and checkpoints are kept in ``.work``; a stopped run resumes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ganvert.base import params, preset_files
from ganvert.base.errors import AssetError, GanvertError
from ganvert.base.files import atomic_path, sha256_of, write_json
from ganvert.base.preset_files import Presets
from ganvert.checkpoints.ganvert_file import pack
from ganvert.checkpoints.weights import read_weights
from ganvert.compute.device import resolve_device, strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.compute.progress import log_to_stderr, progress
from ganvert.faces import ATTRIBUTES, AttributeScorer
from ganvert.faces.expression import EXPRESSION_FILE
from ganvert.generators import Generator, load_generator
from ganvert.images import to_pil
from ganvert.report.plots import losses_figure, save_png
from ganvert.sampling import generator_key, read_score_table
from ganvert.sampling.draw import draw
from ganvert.training import TrainOptions, read_photos, train

ASSETS = Path("data/assets")
OUT = Path("ganvert/weights")
WORK = Path(".work")
COUNT = 3000  # seeds
SCORED_PX = 512  # side of the images that are scored
#: sha256 of the package @vladmandic/face-api 1.7.15 of the npm registry
FACE_API = "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"
FACE_API_PARTS = ("face_expression_model-weights_manifest.json", "face_expression_model.bin")
#: Axes of TensorFlow's tensors in PyTorch's order: kernels are [h, w, in, out], those of single channels [h, w, c, 1].
AXES = {
    "filters": (3, 2, 0, 1),
    "pointwise_filter": (3, 2, 0, 1),
    "depthwise_filter": (2, 3, 0, 1),
    "weights": (1, 0),
    "bias": (0,),
}
#: Encoder to the presets that it is trained by, one after the other.
PHASES = {
    "wplus": (
        *("cpu_wplus_codes", "cpu_wplus_pictures", "cpu_wplus_identity", "cpu_wplus_fused", "cpu_wplus_drawn"),
        *("cpu_refined_samples", "cpu_refined", "cpu_refined_vgg"),
    ),
    "padinv": ("cpu_wplus_codes", "cpu_padinv"),
    "parsing": ("parsing_codes", "parsing_pictures", "parsing_tuned"),
}


def make_scores() -> None:
    """Write the attribute scores of seeds 0 .. COUNT - 1; columns that the file has already are kept as they are."""
    generator = load_generator(ASSETS / "mobile_stylegan.safetensors")
    target = OUT / "scores_ffhq.parquet"
    known = read_score_table(target, generator)[0] if target.exists() else {}
    lacking = [name for name in ATTRIBUTES if name not in known]
    fresh = _score_seeds(generator, lacking)
    columns: dict[str, pa.Array] = {"seed": pa.array(range(COUNT), pa.int32())}
    for name in ATTRIBUTES:
        values = [known[name].get(i) if name in known else fresh[i][name] for i in range(COUNT)]
        columns[name] = pa.array(values, pa.float32())
    table = pa.table(columns).replace_schema_metadata({"generator": generator.fingerprint(), "px": str(SCORED_PX)})
    with atomic_path(target) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _score_seeds(generator: Generator, names: Sequence[str]) -> list[dict[str, float | None]]:
    """Return the scores of every seed; they are kept one line a seed, so that a stopped run resumes behind the last."""
    stem = hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]
    lines = WORK / "scores" / f"{generator_key(generator)}-{SCORED_PX}-{stem}.jsonl"
    lines.parent.mkdir(parents=True, exist_ok=True)
    text = lines.read_text() if lines.exists() else ""
    whole = text[: text.rfind("\n") + 1]  # a kill may have cut off the last line
    if whole != text:
        with atomic_path(lines) as temporary:
            temporary.write_text(whole)
    done = [json.loads(line) for line in whole.splitlines()[:COUNT]]
    if not names or len(done) == COUNT:
        return done or [{} for _ in range(COUNT)]
    scorer, seeds = AttributeScorer(ASSETS, names), range(len(done), COUNT)
    with lines.open("a") as file:
        for _, image in progress(draw(generator, seeds, SCORED_PX), len(seeds), "scoring samples"):
            done += scorer.score(to_pil(image[None]))
            file.write(json.dumps(done[-1]) + "\n")
            file.flush()
    return done


def make_expression(archive: Path) -> None:
    """Write the expression network out of face-api's package (``npm pack @vladmandic/face-api@1.7.15``)."""
    if sha256_of(archive) != FACE_API:
        raise AssetError(f"{archive}: wanted the package of sha256 {FACE_API}, got another; fetch it again")
    with tarfile.open(archive, "r:gz") as package:
        parts = [cast(IO[bytes], package.extractfile(f"package/model/{name}")).read() for name in FACE_API_PARTS]
    (group,), data = json.loads(parts[0]), parts[1]
    tensors, position = {}, 0
    for entry in group["weights"]:
        name, shape, coding = _expression_name(entry["name"]), entry["shape"], entry.get("quantization")
        size = int(np.prod(shape)) * (1 if coding else 4)
        values = np.frombuffer(data[position : position + size], np.uint8 if coding else np.float32).reshape(shape)
        position += size
        values = values.transpose(AXES[entry["name"].rpartition("/")[2]])
        tensors[name] = torch.from_numpy(values.copy())
        if coding:
            tensors[f"{name}.range"] = torch.tensor([coding["scale"], coding["min"]])
    metadata = {"licence": "MIT, Copyright (c) Vladimir Mandic", "source": archive.name, "source_sha256": FACE_API}
    with atomic_path(OUT / EXPRESSION_FILE) as temporary:
        temporary.write_bytes(pack(tensors, metadata))


def _expression_name(name: str) -> str:
    """Return our name of a tensor of face-api, such as ``dense1/conv2/pointwise_filter``."""
    if name.startswith("fc/"):
        return "classify." + {"weights": "weight", "bias": "bias"}[name.removeprefix("fc/")]
    block, conv, part = name.split("/")
    # The very first convolution is a plain one, all others are two in a row: of single channels, and 1x1.
    inner = {"filters": "weight", "depthwise_filter": "0.weight", "pointwise_filter": "1.weight", "bias": "1.bias"}
    inner |= {"bias": "bias"} if (block, conv) == ("dense0", "conv0") else {}
    return f"blocks.{block.removeprefix('dense')}.layers.{conv.removeprefix('conv')}.{inner[part]}"


def make_encoder(name: str, aligned: Path, more: str | None = None) -> None:
    """Train an encoder in its phases, or the one that is there by a preset more, and write it.

    Args:
        name: of the encoder.
        aligned: the table of photographs (stage align).
        more: a preset that goes on from the file that is there; None makes it anew.
    """
    generator = load_generator(ASSETS / "mobile_stylegan.safetensors").to(resolve_device("auto"))
    presets, target = Presets.of_project(preset_files.ENCODERS), OUT / f"{name}_ffhq.safetensors"
    start, notes = (target, json.loads(read_weights(target)[1]["note"])) if more else (None, [])
    for preset in (more,) if more else PHASES[name]:
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
    trained.encoder.save(target, json.dumps(notes, sort_keys=True))


def main() -> None:
    """Make the file that the command line names."""
    log_to_stderr()
    strict_math()
    keep_freed_memory()
    try:
        match sys.argv[1:]:
            case ["expression", archive]:
                make_expression(Path(archive))
            case ["scores"]:
                make_scores()
            case [name, aligned] if name in PHASES:
                make_encoder(name, Path(aligned))
            case [name, aligned, preset] if name in PHASES:
                make_encoder(name, Path(aligned), preset)
            case _:
                names = "|".join(PHASES)
                sys.exit(
                    "usage: python -m stages.make_weights "
                    f"expression ARCHIVE | scores | {names} ALIGNED.parquet [PRESET]"
                )
    except GanvertError as error:
        sys.exit(f"make_weights {' '.join(sys.argv[1:])}: {error}")


if __name__ == "__main__":
    main()
