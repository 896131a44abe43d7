"""Heads by name.

They make parts of codes of features. The package may import `spaces` and what lies below.
"""

from __future__ import annotations

from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.base_code import BaseCodeHead
from ganvert.encoders.heads.compact import CompactHead
from ganvert.encoders.heads.consultation import ConsultationHead
from ganvert.encoders.heads.content import ContentHead
from ganvert.encoders.heads.dense import DenseHead
from ganvert.encoders.heads.feature import FeatureHead
from ganvert.encoders.heads.fused import FusedHead
from ganvert.encoders.heads.grid import GridHead
from ganvert.encoders.heads.identity import IdentityHead
from ganvert.encoders.heads.last import LastHead
from ganvert.encoders.heads.map2style import Map2StyleHead
from ganvert.encoders.heads.padding import PaddingHead
from ganvert.encoders.heads.pooled import PooledHead
from ganvert.encoders.heads.progressive import ProgressiveHead
from ganvert.encoders.heads.refined import RefinedHead
from ganvert.encoders.heads.single import SingleHead
from ganvert.encoders.heads.thirds import ThirdsHead

__all__ = ["HEADS", "Head", "Prediction"]

HEADS: dict[str, type[Head]] = {
    "base_code": BaseCodeHead,
    "compact": CompactHead,
    "consultation": ConsultationHead,
    "content": ContentHead,
    "dense": DenseHead,
    "feature": FeatureHead,
    "fused": FusedHead,
    "grid": GridHead,
    "identity": IdentityHead,
    "last": LastHead,
    "map2style": Map2StyleHead,
    "padding": PaddingHead,
    "pooled": PooledHead,
    "progressive": ProgressiveHead,
    "refined": RefinedHead,
    "single": SingleHead,
    "thirds": ThirdsHead,
}
