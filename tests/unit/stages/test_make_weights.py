"""Scores of the shipped table: a run that was killed resumes behind the last whole line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ganvert.generators.mobile_stylegan import MobileStyleGAN
from stages import make_weights


def test_scoring_resumes_behind_the_last_whole_line(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def draw(generator: Any, seeds: range, px: int) -> Iterator[tuple[int, torch.Tensor]]:
        for seed in seeds:
            drawn.append(seed)
            yield seed, torch.zeros(3, 4, 4)

    class Scorer:
        def __init__(self, *_: object) -> None: ...

        def score(self, pictures: list[Any]) -> list[dict[str, float]]:
            return [{"smile": float(drawn[-1])} for _ in pictures]

    for name, value in (("WORK", tmp_path), ("COUNT", 4), ("draw", draw), ("AttributeScorer", Scorer)):
        monkeypatch.setattr(make_weights, name, value)
    whole = make_weights._score_seeds(tiny_generator, ["smile"])
    (file,) = (tmp_path / "scores").iterdir()
    text = file.read_text()
    assert drawn == [0, 1, 2, 3] and [row["smile"] for row in whole] == [0, 1, 2, 3]
    file.write_text(text[: len(text) // 2 + 4])  # killed while it wrote the third line
    drawn.clear()
    assert make_weights._score_seeds(tiny_generator, ["smile"]) == whole
    assert drawn == [2, 3] and file.read_text() == text
