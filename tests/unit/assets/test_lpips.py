"""LPIPS networks out of flax checkpoints, which are pickles: only plain float32 arrays are read."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganvert.assets.converters.lpips import lpips_state, read_array_pickle
from ganvert.base.errors import CheckpointError


class Payload:
    """A pickle of this creates a file when loaded by pickle.load."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def checkpoint(convs: int = 11, **extra: object) -> bytes:
    rng = np.random.default_rng(0)
    tree: dict[str, Any] = {"Net_0": {}}
    for i in range(convs):
        kernel, bias = rng.normal(size=(3, 3, 4, 8)).astype("f4"), rng.normal(size=8).astype("f4")
        tree["Net_0"][f"Conv_{i}"] = {"kernel": kernel, "bias": bias}
    for i in range(5):
        tree[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": rng.random((1, 1, 8, 1), dtype="f4")}}
    return pickle.dumps(tree | extra, protocol=3)


def test_malicious_checkpoint_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    evil = checkpoint(extra=Payload(mark))
    pickle.loads(evil)
    assert mark.exists()  # the payload is live
    mark.unlink()
    with pytest.raises(CheckpointError, match="not on the list"):
        lpips_state(evil, "toy")
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        checkpoint()[:-100],
        b"",
        b"garbage",
        pickle.dumps({"a": np.zeros(3)}, 3),  # float64
        pickle.dumps({"a": np.array([{}], dtype=object)}, 3),
        pickle.dumps({"a": "text"}, 3),
        pickle.dumps({1: np.zeros(3, "f4")}, 3),
        pickle.dumps([1], 3),
        b"\x80\x03cnumpy\nndarray\nK\x05\x85R.",  # calls numpy.ndarray(5)
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85C\x01b\x87R.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x03cnumpy\ndtype.type\n.",
    ],
)
def test_other_pickles_are_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="somewhere: refused"):
        read_array_pickle(data, "somewhere")


def test_large_pickle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvert.assets.converters.lpips.MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="more than the 1000"):
        read_array_pickle(checkpoint(), "somewhere")


def test_lpips_state_names_and_layout() -> None:
    data = checkpoint(convs=11)
    tree = pickle.loads(data)
    state = lpips_state(data, "toy")
    assert len(state) == 27
    for i in (0, 2, 10):  # 10 comes after 9, not after 1
        kernel = tree["Net_0"][f"Conv_{i}"]["kernel"]
        weight = state[f"conv{i}.weight"]
        assert weight.shape == (8, 4, 3, 3)
        assert weight.is_contiguous()
        assert weight[5, 1, 2, 0] == kernel[2, 0, 1, 5]
        np.testing.assert_array_equal(state[f"conv{i}.bias"], tree["Net_0"][f"Conv_{i}"]["bias"])
    np.testing.assert_array_equal(state["lin3"], tree["NetLinLayer_3"]["Conv_0"]["kernel"].ravel())


@pytest.mark.parametrize(
    "extra",
    [{"NetLinLayer_7": {"Conv_0": {"kernel": np.zeros((1, 1, 2, 1), "f4")}}}, {"Dense_0": np.zeros(3, "f4")}],
)
def test_other_networks_are_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="LPIPS network"):
        lpips_state(checkpoint(**extra), "toy")
