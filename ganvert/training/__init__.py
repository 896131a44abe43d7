"""Training of encoders on samples and photographs, with checkpoints from which a killed run resumes.

The package may import `inversion` and what lies below.
"""

from __future__ import annotations

from ganvert.training.data import Photos, read_photos
from ganvert.training.loop import Trained, train
from ganvert.training.options import DataOptions, TrainOptions

__all__ = ["DataOptions", "Photos", "TrainOptions", "Trained", "read_photos", "train"]
