"""Files that are known by their content and refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.read import read_checkpoint, read_discriminator
from ganvert.exchange.import_weights import import_weights

WEIGHT = {"module.weight": torch.ones(2, 2)}


@pytest.mark.parametrize("suffix", ["", "_s"])
def test_alae_is_refused_by_name(suffix: str, tmp_path: Path) -> None:
    """With the keys of its checkpointer, whose averaged parts end in _s."""
    parts = ("discriminator", "generator", "mapping_tl", "mapping_fl")
    models: dict[str, Any] = {f"{name}{suffix}": WEIGHT for name in parts} | {
        "dlatent_avg": {"buff": torch.ones(18, 4)}
    }
    path = tmp_path / "model_submitted.pth"
    torch.save({"models": models, "auxiliary": {}, "iteration": 3}, path)
    for read in (read_checkpoint, read_discriminator):
        with pytest.raises(CheckpointError, match=r"model_submitted.pth: a checkpoint of ALAE.*take an encoder"):
            read(path)
    with pytest.raises(CheckpointError, match="a checkpoint of ALAE"):
        import_weights(path, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_other_files_with_models_are_not_taken_for_it(tmp_path: Path) -> None:
    torch.save({"models": {"generator": WEIGHT, "mapping": WEIGHT}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="not a ganvert generator"):
        read_checkpoint(tmp_path / "x.pth")
