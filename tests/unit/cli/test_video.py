"""Animations as MP4."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvert.base.errors import ParamsError
from ganvert.cli.paths import Writes, check_paths
from ganvert.cli.pictures import write_series


def test_a_series_goes_there_and_back(tmp_path: Path) -> None:
    av = pytest.importorskip("av")  # of the extra `video`
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
    pictures = [Image.new("RGB", (101, 101), colour) for colour in colours]
    write_series(tmp_path / "x.mp4", pictures, 81, ["", "", ""])
    with av.open(str(tmp_path / "x.mp4")) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == 4
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert frames[0].shape == (80, 80, 3)
    order = [colours[i] for i in (0, 1, 2, 1)] * 4
    assert len(frames) == len(order)
    for frame, colour in zip(frames, order, strict=True):
        assert np.abs(frame.mean(axis=(0, 1)) - colour).max() < 6


def test_without_an_encoder_a_gif_is_proposed_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typing import Annotated

    def command(out: Annotated[Path, Writes("series")]) -> None: ...

    command.__annotations__["out"] = Annotated[Path, Writes("series")]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParamsError, match=r"\.mp4 needs PyAV: .*'ganvert\[video\]', or name a \.gif instead"):
        check_paths(command, {"out": tmp_path / "x.mp4"})
    check_paths(command, {"out": tmp_path / "x.gif"})
