"""Faces: reading photographs, detection, alignment, pasting back, and measurements of pose, attributes and identity.

The package may import `assets` and what lies below.
"""

from __future__ import annotations

from ganvert.faces.align import RECIPES, Aligned, align
from ganvert.faces.attributes import ATTRIBUTES, AttributeScorer
from ganvert.faces.detect import FaceDetector
from ganvert.faces.identity import IdentityEmbedder, distance
from ganvert.faces.listing import find_photos
from ganvert.faces.paste import paste, soft_region
from ganvert.faces.photo import Photo, open_photo
from ganvert.faces.pipeline import AlignOptions, align_photos
from ganvert.faces.pose import head_pose

__all__ = [
    "ATTRIBUTES",
    "RECIPES",
    "AlignOptions",
    "Aligned",
    "AttributeScorer",
    "FaceDetector",
    "IdentityEmbedder",
    "Photo",
    "align",
    "align_photos",
    "distance",
    "find_photos",
    "head_pose",
    "open_photo",
    "paste",
    "soft_region",
]
