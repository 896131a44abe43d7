"""Training encoders."""

from __future__ import annotations

from ganvert.training.data import Photos, read_photos
from ganvert.training.loop import Trained, train
from ganvert.training.options import DataOptions, TrainOptions

__all__ = ["DataOptions", "Photos", "TrainOptions", "Trained", "read_photos", "train"]
