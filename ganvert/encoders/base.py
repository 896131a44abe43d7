"""The encoder contract: a frozen trunk whose features can be cached, and a trained head that predicts ws."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ganvert.files import atomic_path
from ganvert.generators.base import Generator
from ganvert.images import area_resize

__all__ = ["Encoder"]


class Encoder(nn.Module, ABC):
    """Picture to W+: offsets from the mean code ``w_avg``."""

    kind: str
    input_px = 256
    w_avg: Tensor  # [w_dim]

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.num_ws, self.w_dim = generator.num_ws, generator.w_dim
        self.register_buffer("w_avg", generator.w_avg.clone())
        self.generator_fingerprint = generator.fingerprint()

    @abstractmethod
    def trunk(self, images: Tensor) -> Tensor:
        """Features [N, ...] of pictures [N, 3, 256, 256]; no parameter here is trained."""

    @abstractmethod
    def head(self, features: Tensor) -> Tensor:
        """Offsets [N, num_ws, w_dim] of trunk features."""

    @abstractmethod
    def trained_state(self) -> dict[str, Tensor]:
        """What a weights file holds: everything that training moves."""

    def forward(self, images: Tensor) -> Tensor:
        """The ws [N, num_ws, w_dim] of pictures [N, 3, 256, 256] in [-1, 1]."""
        return self.w_avg + self.head(self.trunk(images))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The ws of RGB pictures of any square size (smaller ones are enlarged), in eval mode."""
        self.eval()
        return self(area_resize(images, self.input_px))

    def fingerprint(self) -> str:
        """sha256 of the trained weights."""
        digest = hashlib.sha256(self.kind.encode())
        for name, value in sorted(self.trained_state().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path, note: str) -> None:
        """Half-precision safetensors that say which generator they belong to and how they were made."""
        state = {name: value.detach().cpu().half().contiguous() for name, value in self.trained_state().items()}
        metadata = {"kind": f"encoder/{self.kind}", "generator": self.generator_fingerprint, "note": note}
        with atomic_path(path) as temporary:
            save_file(state, temporary, metadata)
