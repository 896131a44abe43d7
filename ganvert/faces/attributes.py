"""Attributes of a face: pose and expression from 68 landmarks, the rest from small networks.

| name             | unit    | meaning |
| ---------------- | ------- | ------------------------------------------------------------------------------------ |
| yaw              | degrees | positive: the person looks to the image's right |
| pitch            | degrees | positive: up |
| roll             | degrees | positive: clockwise in the image |
| smile            | ratio   | mouth width / distance of the eye centres + 2 x lift of the mouth corners / mouth width |
| mouth_open       | ratio   | gap between the lips / distance of the eye centres |
| eyes_open        | ratio   | eye height / eye width, mean of both eyes (about 0.1 closed, 0.3 open) |
| age              | years   | expectation over the network's 81 ages, 0 to 80 |
| gender           | logit   | log p(male) - log p(female) as the network predicts it |
| glasses          | share   | area of the glasses / area of the face (0 without, about 0.15 with) |
| hat              | share   | area of the hat / area of the head |
| hair_length      | ratio   | area of the hair below the line of the eyes / area of the face |
| bald             | share   | bare skin / (bare skin + hair) on the head above the brows; none below a hat |
| smile_expression | logit   | log p(happy) - log(1 - p(happy)) as the expression network predicts it |
| happy, sad, ...  | share   | probability of each of the seven expressions |
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganvert.base.registry import lookup
from ganvert.faces.age_gender import Classifier
from ganvert.faces.align import cut_quad, face_quad
from ganvert.faces.detect import FaceDetector
from ganvert.faces.expression import EXPRESSIONS, ExpressionNet, log_odds
from ganvert.faces.parsing import PARSER_PX, find_region, load_parser
from ganvert.faces.paste import homography
from ganvert.faces.pose import head_pose

__all__ = ["ATTRIBUTES", "Attribute", "AttributeScorer", "Face"]

DETECTION_SIDE = 512  # px; on an aligned crop of this size a face is about 250 px, three times what the detector needs
TINY = 1e-7  # keeps the logit finite
HATTED = 0.05  # share of the head from which a hat hides whether there is hair


class Face:
    """Inputs of the attribute functions: landmarks, pose, and outputs of the networks, computed on demand.

    Args:
        image: RGB.
        landmarks: [68, 2] pixels of it.
        networks: by the names that attributes need them by (:data:`NETWORKS`).
    """

    def __init__(self, image: Image.Image, landmarks: np.ndarray, networks: Mapping[str, Any]) -> None:
        self.landmarks = landmarks
        self.yaw, self.pitch, self.roll = head_pose(landmarks)
        self._image = image
        self._networks = networks

    @property
    def eye_distance(self) -> float:
        """Pixels between the centres of the two eyes."""
        return float(np.linalg.norm(self.landmarks[42:48].mean(0) - self.landmarks[36:42].mean(0)))

    def probabilities(self, network: str) -> tuple[np.ndarray, Classifier]:
        """Return the class probabilities [classes] of ``"age"`` or ``"gender"``, and the network that gave them."""
        model = self._networks[network]
        return model(self._image, self.landmarks), model

    @functools.cached_property
    def expression(self) -> np.ndarray:
        """Logits [7] of the expressions."""
        return self._networks["expression"].logits(self._image, self.landmarks)

    @functools.cached_property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels [512, 512] of the face's aligned crop, and its landmarks [68, 2] there."""
        quad = face_quad(self.landmarks)
        labels = self._networks["parser"].labels(cut_quad(self._image, quad, PARSER_PX))
        unit = np.column_stack([self.landmarks, np.ones(68)]) @ homography(quad).T
        return labels, unit[:, :2] / unit[:, 2:] * PARSER_PX

    def area(self, region: str, rows: slice = slice(None)) -> int:
        """Return how many pixels a region has in some rows of the crop."""
        return int(find_region(self.parts[0][rows], region).sum())


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


def glasses(face: Face) -> float | None:
    """Return the area of the glasses by that of the face."""
    return _ratio(face.area("glasses"), face.area("face"))


def hat(face: Face) -> float | None:
    """Return the area of the hat by that of the head."""
    return _ratio(face.area("hat"), face.area("head"))


def hair_length(face: Face) -> float | None:
    """Return the area of the hair below the line of the eyes by that of the face.

    An area rather than a length: long hair ends below the crop.
    """
    eyes = max(round(float(face.parts[1][36:48, 1].mean())), 0)
    return _ratio(face.area("hair", slice(eyes, None)), face.area("face"))


def bald(face: Face) -> float | None:
    """Return how much of the head above the brows is bare; None where a hat covers it."""
    above = slice(0, max(round(float(face.parts[1][17:27, 1].min())), 1))
    skin, hair = face.area("face", above), face.area("hair", above)
    return None if face.area("hat") > HATTED * face.area("head") else _ratio(skin, skin + hair)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def probability_of(name: str) -> Attribute:
    """Return the attribute that is the probability of an expression."""

    def probability(face: Face) -> float:
        return float(np.exp(face.expression - np.logaddexp.reduce(face.expression))[EXPRESSIONS.index(name)])

    return Attribute(probability, ("expression",))


@dataclass(frozen=True)
class Attribute:
    """A number that a face has, or None where it cannot be seen; `needs` names the networks it is computed with."""

    function: Callable[[Face], float | None]
    needs: tuple[str, ...] = ()

    def __call__(self, face: Face) -> float | None:
        """Return the number."""
        return self.function(face)


#: name -> loads the network from the folder of assets
NETWORKS: dict[str, Callable[[Path], Any]] = {
    "age": lambda folder: Classifier(folder, "age"),
    "gender": lambda folder: Classifier(folder, "gender"),
    "expression": lambda _: ExpressionNet(),
    "parser": load_parser,
}

#: name -> how it is computed
ATTRIBUTES: dict[str, Attribute] = {
    "yaw": Attribute(lambda face: face.yaw),
    "pitch": Attribute(lambda face: face.pitch),
    "roll": Attribute(lambda face: face.roll),
    "smile": Attribute(smile),
    "mouth_open": Attribute(mouth_open),
    "eyes_open": Attribute(eyes_open),
    "age": Attribute(age, ("age",)),
    "gender": Attribute(gender, ("gender",)),
    "glasses": Attribute(glasses, ("parser",)),
    "hat": Attribute(hat, ("parser",)),
    "hair_length": Attribute(hair_length, ("parser",)),
    "bald": Attribute(bald, ("parser",)),
    "smile_expression": Attribute(lambda face: log_odds(face.expression, "happy"), ("expression",)),
} | {name: probability_of(name) for name in EXPRESSIONS}


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
        self._attributes = {name: lookup(ATTRIBUTES, name, "attribute") for name in names}
        needs = dict.fromkeys(need for attribute in self._attributes.values() for need in attribute.needs)
        self._networks = {need: NETWORKS[need](folder) for need in needs}
        self._detector = FaceDetector(folder, long_side=DETECTION_SIDE)

    def score(self, images: Sequence[Image.Image]) -> list[dict[str, float | None]]:
        """Return a mapping of attribute to value per image; all values are None if no face was found."""
        return [self._score(image) for image in images]

    def _score(self, image: Image.Image) -> dict[str, float | None]:
        faces = self._detector.detect(image, upsample=0)
        if not faces:
            return dict.fromkeys(self._attributes)
        face = Face(image.convert("RGB"), faces[0], self._networks)
        return {name: attribute(face) for name, attribute in self._attributes.items()}
