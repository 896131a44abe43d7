"""Attributes of a face: head pose and expression from 68 landmarks, age and gender from two small networks.

| name       | unit    | meaning                                                                              |
|------------|---------|--------------------------------------------------------------------------------------|
| yaw        | degrees | positive: the person looks to the image's right                                      |
| pitch      | degrees | positive: up                                                                         |
| roll       | degrees | positive: clockwise in the image                                                     |
| smile      | ratio   | mouth width / distance of the eye centres + 2 x lift of the mouth corners / mouth width |
| mouth_open | ratio   | gap between the lips / distance of the eye centres                                   |
| eyes_open  | ratio   | eye height / eye width, mean of both eyes (about 0.1 closed, 0.3 open)               |
| age        | years   | expectation over the network's 81 ages, 0 to 80                                      |
| gender     | logit   | log p(male) - log p(female) as the network predicts it                               |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganvert import assets
from ganvert.base.errors import AssetError
from ganvert.base.registry import lookup
from ganvert.faces.detect import FaceDetector, as_dlib
from ganvert.faces.pose import head_pose

__all__ = ["ATTRIBUTES", "AttributeScorer", "Face"]

MANIFEST_FILE = "age_gender_manifest.json"
DETECTION_SIDE = 512  # px; on an aligned crop of this size a face is about 250 px, three times what the detector needs
TINY = 1e-7  # keeps the logit finite


class Face:
    """Inputs of the attribute functions: landmarks, pose, and outputs of the networks, computed on demand."""

    def __init__(self, image: np.ndarray, landmarks: np.ndarray, networks: Mapping[str, _Network]) -> None:
        self.landmarks = landmarks
        self.yaw, self.pitch, self.roll = head_pose(landmarks)
        self._image = image
        self._networks = networks

    @property
    def eye_distance(self) -> float:
        """Pixels between the centres of the two eyes."""
        return float(np.linalg.norm(self.landmarks[42:48].mean(0) - self.landmarks[36:42].mean(0)))

    def probabilities(self, network: str) -> tuple[np.ndarray, _Network]:
        """Return the class probabilities [classes] of ``"age"`` or ``"gender"``, and the network that gave them."""
        model = self._networks[network]
        return model(self._image, self.landmarks), model


def smile(face: Face) -> float:
    """Measure a wide mouth with raised corners; both terms grow with a smile and hardly depend on size, roll or yaw."""
    points = face.landmarks
    left, right = points[48], points[54]
    width = float(np.linalg.norm(right - left))
    # Lift is measured along the face's own vertical, from the corners' middle to the middle of the lips' midline.
    down = np.array([-(right - left)[1], (right - left)[0]]) / max(width, 1e-9)
    lift = float(((points[[51, 57, 62, 66]].mean(0) - (left + right) / 2) * down).sum())
    return width / face.eye_distance + 2 * lift / max(width, 1e-9)


def mouth_open(face: Face) -> float:
    """Return the mean gap between the three pairs of inner lip points over the eye distance."""
    points = face.landmarks
    gap = np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1).mean()
    return float(gap) / face.eye_distance


def eyes_open(face: Face) -> float:
    """Return the eye aspect ratio (Soukupova and Cech 2016), mean of both eyes."""
    points = face.landmarks
    ratios = []
    for first in (36, 42):
        a, b, c, d, e, f = points[first : first + 6]
        ratios.append((np.linalg.norm(b - f) + np.linalg.norm(c - e)) / max(2 * float(np.linalg.norm(a - d)), 1e-9))
    return float(np.mean(ratios))


def age(face: Face) -> float:
    """Return the expected age in years."""
    probabilities, network = face.probabilities("age")
    return float(probabilities @ network.values)


def gender(face: Face) -> float:
    """Return log p(male) - log p(female)."""
    probabilities, network = face.probabilities("gender")
    male = probabilities[network.labels.index("male")]
    female = probabilities[network.labels.index("female")]
    return float(np.log(max(male, TINY)) - np.log(max(female, TINY)))


#: name -> function
ATTRIBUTES: dict[str, Callable[[Face], float]] = {
    "yaw": lambda face: face.yaw,
    "pitch": lambda face: face.pitch,
    "roll": lambda face: face.roll,
    "smile": smile,
    "mouth_open": mouth_open,
    "eyes_open": eyes_open,
    "age": age,
    "gender": gender,
}


class AttributeScorer:
    """Scores images, each by its largest face and independently of the others.

    Args:
        folder: of the asset files.
        names: which attributes; all by default.

    Raises:
        AssetError: a model or the manifest is missing or damaged.
        UnknownNameError: there is no attribute of that name.
    """

    def __init__(self, folder: Path, names: Sequence[str] = tuple(ATTRIBUTES)) -> None:
        self._functions = {name: lookup(ATTRIBUTES, name, "attribute") for name in names}
        manifest = _read_manifest(folder)
        self._networks = {task: _Network(folder, manifest, task) for task in ("age", "gender") if task in names}
        self._detector = FaceDetector(folder, long_side=DETECTION_SIDE)

    def score(self, images: Sequence[Image.Image]) -> list[dict[str, float | None]]:
        """Return a mapping of attribute to value per image; all values are None if no face was found."""
        return [self._score(image) for image in images]

    def _score(self, image: Image.Image) -> dict[str, float | None]:
        faces = self._detector.detect(image, upsample=0)
        if not faces:
            return dict.fromkeys(self._functions)
        face = Face(np.asarray(image.convert("RGB")), faces[0], self._networks)
        return {name: function(face) for name, function in self._functions.items()}


class _Network:
    """One of dlib's age or gender networks as ONNX, with the preprocessing of its manifest.

    The face is cut out by five landmarks (dlib's chip geometry, padding from the manifest) at the network's input size;
    pixels are ``(RGB - mean) * scale``.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any], task: str) -> None:
        import onnxruntime

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

    def __call__(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        import dlib

        chip = dlib.get_face_chip(image, as_dlib(landmarks), self._size, self._padding)
        pixels = (chip.astype(np.float32) - self._mean) * self._scale
        batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        return self._session.run(None, {self._input: batch})[0][0].astype(np.float64)


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    path = assets.path(MANIFEST_FILE, folder)
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise AssetError(f"{path}: not valid JSON ({error}); delete it and fetch again") from error
