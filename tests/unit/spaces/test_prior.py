"""P_N against BDInvert's own statements, run on the same samples, and against closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.base.files import user_cache
from ganvert.compute.random import normal
from ganvert.generators import Generator, load_generator
from ganvert.spaces import prior as module
from ganvert.spaces.prior import Prior, activate, deactivate, prior, prior_of

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    recorded = np.load(GOLDEN / "F_pnorm_A2.npz")
    return {name: torch.from_numpy(recorded[name]) for name in recorded.files if name != "meta_json"}


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator(GOLDEN / "A2_ada_skip_w64_map8.pkl")


@pytest.fixture(scope="module")
def ours(golden: dict[str, Tensor], generator: Generator) -> Prior:
    p = deactivate(generator.map_to_w(golden["z_float16"].float())).double()
    return prior_of(p.mean(dim=0), torch.cov(p.T))


def test_the_references_statistics(ours: Prior, golden: dict[str, Tensor]) -> None:
    torch.testing.assert_close(ours.mean.float(), golden["mean_latent"], rtol=1e-4, atol=1e-5)
    values, order = golden["eigen_values_f64"].sort(descending=True)
    torch.testing.assert_close(ours.values, values, rtol=1e-4, atol=1e-9)
    vectors = golden["eigen_vectors"][:, order].double()
    theirs = vectors @ values.diag() @ vectors.T
    torch.testing.assert_close(ours.vectors @ ours.values.diag() @ ours.vectors.T, theirs, rtol=1e-4, atol=1e-5)


def test_the_references_codes(ours: Prior, golden: dict[str, Tensor]) -> None:
    # Signs of eigenvectors are free: lengths and the penalty are compared.
    v = ours.whiten(golden["w_test"].double())
    torch.testing.assert_close(v.norm(dim=1), golden["p_n_test"].double().norm(dim=1), rtol=1e-3, atol=1e-3)
    assert float(v.square().mean()) == pytest.approx(float(golden["reg_loss_test"]), rel=1e-3)


def test_whitening_gives_unit_variance(ours: Prior, golden: dict[str, Tensor], generator: Generator) -> None:
    v = ours.whiten(generator.map_to_w(golden["z_float16"].float()).double())
    torch.testing.assert_close(v.mean(dim=0), torch.zeros(64).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.cov(v.T), torch.eye(64).double(), rtol=0, atol=1e-4)


def test_colouring_undoes_whitening(ours: Prior, generator: Generator) -> None:
    w = generator.map(normal(range(5), (64,)))
    torch.testing.assert_close(ours.colour(ours.whiten(w)), w, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(activate(deactivate(w)), w)


def test_where_statistics_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dvc.yaml of something else does not make a folder ganvert's."""
    monkeypatch.delenv("GANVERT_PRIORS")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {train: {cmd: python train.py}}")
    assert module._folder() == user_cache() / "priors"
    Path("params.yaml").touch()
    Path("dvc.yaml").write_text("stages: {invert: {cmd: python -m stages.invert}}")
    assert module._folder() == Path(".work/priors")


def test_small_eigenvalues_are_floored() -> None:
    found = prior_of(torch.zeros(2), torch.tensor([[4.0, 0.0], [0.0, 1e-12]]).double())
    assert found.values.tolist() == [4.0, module.FLOOR]


def test_statistics_are_streamed_and_kept(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLES", 25_000)
    monkeypatch.setenv("GANVERT_PRIORS", str(tmp_path))
    monkeypatch.setattr(module, "_KNOWN", {})
    found = prior(generator)
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(module, "_moments", None)  # now only the file can answer
    monkeypatch.setattr(module, "_KNOWN", {})
    again = prior(generator)
    assert all(torch.equal(getattr(found, name), getattr(again, name)) for name in ("mean", "values", "vectors"))
    v = found.whiten(generator.map_to_w(normal(range(2000), (64,))).double())
    assert float(v.square().mean()) == pytest.approx(1, abs=0.1)
    stored = vars(found)
    monkeypatch.setattr(module, "_KNOWN", {})
    for damage in (
        {"mean": stored["mean"] * float("nan")},
        {"vectors": stored["vectors"][:3]},
        {"values": -stored["values"]},
    ):
        save_file({name: value.contiguous() for name, value in {**stored, **damage}.items()}, file)
        with pytest.raises(CheckpointError, match="delete it to compute them again"):
            prior(generator)
    file.write_bytes(b"something else")
    with pytest.raises(CheckpointError):
        prior(generator)
