"""How the golden files were made: ``python tests/golden/regenerate.py WHEEL ASSETS DLIB`` from the project's folder.

WHEEL is random_face-2021.7.21.1-py3-none-any.whl, run by OpenVINO (extra `crosscheck`): not a line of ganvert's own
network is involved. ASSETS holds the LPIPS backbones, run by the `lpips` package's own LPIPS class. DLIB is
dlib_face_recognition_resnet_model_v1.dat of face_recognition_models-0.3.0.tar.gz, run by dlib.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage import data

from ganvert.compute.random import normal
from ganvert.losses.lpips import Lpips

HERE = Path(__file__).parent
SEEDS = (0, 1, 2, 3)
DRAWN = (0, 1)


def run_ir(wheel: Path, part: str, feed: np.ndarray) -> np.ndarray:
    """The output of `MappingNetwork` or `SynthesisNetwork` at full precision."""
    import openvino

    with zipfile.ZipFile(wheel) as archive:
        xml, weights = (archive.read(f"random_face/data/{part}Network.{kind}") for kind in ("xml", "bin"))
    core = openvino.Core()
    model = core.read_model(model=xml, weights=openvino.Tensor(np.frombuffer(weights, np.uint8)))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    return np.stack([next(iter(compiled([row[None]]).values()))[0] for row in feed])


def area(images: np.ndarray, size: int) -> np.ndarray:
    """[N, 3, h, h] averaged to [N, 3, size, size]."""
    n, c, h, _ = images.shape
    return images.reshape(n, c, size, h // size, size, h // size).mean(axis=(3, 5))


def generator_golden(wheel: Path) -> dict[str, np.ndarray]:
    """Codes and small pictures."""
    w = run_ir(wheel, "Mapping", normal(SEEDS, (512,)).numpy())
    images = run_ir(wheel, "Synthesis", w[: len(DRAWN)])
    return {"seeds": np.array(SEEDS), "w": w[:, :16], "images": area(images, 16).astype(np.float32)}


def synthetic_pair(size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures [1, 3, size, size] in [-1, 1] that any machine can make: gradients, and the same under noise."""
    line = torch.linspace(-1, 1, size)
    x = torch.stack([line.expand(size, size), line.expand(size, size).T, line.outer(line)])[None]
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(x.shape, np.float32))
    return x, (x + 0.3 * noise).clamp(-1, 1)


def lpips_golden(assets: Path) -> dict[str, float]:
    """Distances by the package's own forward."""
    values: dict[str, Any] = {}
    with torch.no_grad():
        for net in ("vgg", "alex"):
            values[net] = float(Lpips(net, assets).model(*synthetic_pair()))  # type: ignore[arg-type]
    return values


def dlib_chips() -> np.ndarray:
    """uint8 [3, 150, 150, 3] that no resampling made: a face, its mirror image, and a cat's."""
    face, cat = data.astronaut()[45:195, 150:300], data.chelsea()[50:200, 130:280]
    return np.stack([face, face[:, ::-1], cat])


def dlib_golden(model: Path) -> np.ndarray:
    """Descriptors [3, 128] of the chips by dlib 20.0.1."""
    import dlib

    network = dlib.face_recognition_model_v1(str(model))
    return np.array([network.compute_face_descriptor(chip) for chip in dlib_chips()], np.float32)


if __name__ == "__main__":
    wheel, assets, dlib_model = map(Path, sys.argv[1:])
    np.savez_compressed(HERE / "mobile_stylegan.npz", **generator_golden(wheel))
    (HERE / "lpips.json").write_text(json.dumps(lpips_golden(assets), indent=2) + "\n")
    np.save(HERE / "dlib_descriptor.npy", dlib_golden(dlib_model))
