"""dlib's age and gender classifiers as ONNX (CC0), with the preprocessing of their manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganvert import assets
from ganvert.base.errors import AssetError
from ganvert.faces.detect import as_dlib

__all__ = ["MANIFEST_FILE", "Classifier"]

MANIFEST_FILE = "age_gender_manifest.json"


class Classifier:
    """One of the two networks.

    The face is cut out by five landmarks (dlib's chip geometry, padding from the manifest) at the network's input size;
    pixels are ``(RGB - mean) * scale``.

    Args:
        folder: of the asset files.
        task: age or gender.

    Raises:
        AssetError: the model or the manifest is missing or damaged.
    """

    def __init__(self, folder: Path, task: str) -> None:
        import onnxruntime

        manifest = _read_manifest(folder)

        try:
            facts = manifest["models"][task]
            self._padding = float(manifest["preprocessing"]["face_chip_padding"])
            self._size = int(facts["input"]["shape"][2])
            self._mean = np.array(facts["input"]["normalization"]["means"], dtype=np.float32)
            self._scale = np.float32(facts["input"]["normalization"]["scale"])
            self._input = str(facts["input"]["name"])
            path = assets.path(facts["artifact"]["filename"], folder)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            where = f"{folder}/{MANIFEST_FILE}"
            raise AssetError(f"{where}: lacks {error} for {task!r}; delete it and fetch again") from error
        self.values = np.array(facts.get("age_weights", []), dtype=np.float64)  # age: years of each class
        self.labels: list[str] = list(facts.get("labels", []))  # gender: names of the classes
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own types share no public base
            raise AssetError(f"{path}: not a readable ONNX model ({error}); delete it and fetch again") from error

    def __call__(self, image: Image.Image, landmarks: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, float64, for the face with these landmarks."""
        import dlib

        chip = dlib.get_face_chip(np.asarray(image), as_dlib(landmarks), self._size, self._padding)
        pixels = (chip.astype(np.float32) - self._mean) * self._scale
        batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        return self._session.run(None, {self._input: batch})[0][0].astype(np.float64)


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    path = assets.path(MANIFEST_FILE, folder)
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise AssetError(f"{path}: not valid JSON ({error}); delete it and fetch again") from error
