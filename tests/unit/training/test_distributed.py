"""Two processes on the CPU do what one does; this file is also the program that they run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganvert.base.errors import UnsupportedError
from ganvert.compute.random import normal
from ganvert.encoders import BACKBONES
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.training import Photos, Trained, TrainOptions, train
from ganvert.training.adversary import Adversary, AdversaryOptions
from ganvert.training.distributed import World, collect, leave, share, sum_gradients, synchronised, world

BATCH, STEPS = 5, 12  # shares of three and two
GAMES = {
    "latent": AdversaryOptions(kind="latent", weight=1.0, lr=1e-3, pool=4, r1_every=3),
    "picture": AdversaryOptions(kind="picture", weight=1.0, lr=1e-3, px=8, base=32, r1_every=2),
}


def filled(module: nn.Module, seed: int) -> nn.Module:
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(0.5 * normal([seed + i], parameter.shape)[0])
    return module


def trained(here: World) -> dict[str, Tensor]:
    """A small network after some steps of Adam, each process with its share of every batch."""
    network = filled(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2), nn.Linear(2, 2)), 0)
    adam = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(STEPS):
        mine = share(range(step * BATCH, (step + 1) * BATCH), here)
        x, y = normal(mine, (4,)), normal([-1 - i for i in mine], (2,))
        adam.zero_grad()
        # The last layer is not used, as a head that joins later; the one before in the main process alone.
        loss = (network[:3](x) - y).square().mean(dim=1).sum() / BATCH
        if here.is_main:
            loss = loss + network[0].bias.square().sum()
        loss.backward()
        sum_gradients(network.parameters(), here)
        adam.step()
    assert all(p.grad is None for p in network[3].parameters())
    return network.state_dict()


def played(here: World, generator: MobileStyleGAN) -> dict[str, Tensor]:
    """Both kinds of adversary after some steps."""
    found = {}
    for kind, options in GAMES.items():
        game, losses = Adversary(options, generator, None, 0), []
        for step in range(4):
            mine = share(range(step * BATCH, (step + 1) * BATCH), here)
            if kind == "latent":
                loss = game.update(None, normal(mine, (generator.num_ws, generator.w_dim)), step)
            else:
                loss = game.update(normal(mine, (3, 8, 8)), normal([-1 - i for i in mine], (3, 8, 8)), step)
            losses.append(here.sum({"loss": loss})["loss"])
        found |= {f"{kind}.{name}": value for name, value in game.state().items()}
        found[f"{kind}.losses"] = torch.tensor(losses)
    return found


def small_generator() -> MobileStyleGAN:
    generator = filled(MobileStyleGAN([4, 4], z_dim=4, w_dim=4, mapping_layers=1), 100)
    return generator.eval().requires_grad_(False)  # type: ignore[return-value]


def game_and_network(here: World) -> dict[str, Tensor]:
    return {**trained(here), **played(here, small_generator())}


def trained_encoder(out: Path, options: Callable[..., TrainOptions], waves: Callable[..., Photos]) -> Trained:
    """A training in which the processes have uneven shares, and in some steps nothing to compare."""
    training = options(
        encoder={"heads": {"compact": {"width": 8, "code": 16, "drop": 0.0}}},
        batch=5,  # shares of three and two
        steps=6,
        data={
            "px": 32,
            "photos": 0.3,
            "photo_variants": 2,
            "augment": {"mirror": True, "colour": 0.3, "noise": 0.1},
        },
        optimiser={"kind": "ranger", "lr": 0.003, "betas": (0.95, 0.999)},
        objective=[{"loss": "mse"}],
        picture_precision="float32",  # bfloat16 rounds other batches otherwise
        objective_on="photos",  # one or two a step: of one photograph one process has none
        adversary={"kind": "latent", "weight": 0.1, "lr": 0.001, "pool": 4, "r1_every": 2},
        regularise={"w_norm": 0.01},
        ema=0.9,
        clip=0.5,
    )
    generator = MobileStyleGAN([8, 8, 8], z_dim=8, w_dim=8, mapping_layers=1)
    with torch.no_grad():
        for i, (name, value) in enumerate(generator.state_dict().items()):
            value.copy_(0.3 * normal([i], value.shape)[0] + float(name.endswith("bias") and "affine" in name))
    generator = generator.eval().requires_grad_(False)
    return train(generator, training, out / "work", photos=waves(5, 32))


def process(out: Path) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    here = world()
    assert world() == here and here.size == 2
    found = game_and_network(here)
    mine = torch.tensor(share(range(7), here))
    found["collected"] = collect(mine[:, None] * torch.ones(2), here)
    found["uneven"] = collect(torch.full((3 * here.rank,), here.rank), here)
    record = here.sum({"both": 1.5 + here.rank, f"only {here.rank}": 2.0})
    (out / f"{here.rank}.json").write_text(json.dumps(record))
    here.wait()
    torch.save(found, out / f"{here.rank}.pt")

    import conftest  # the one beside this file, which is a program here

    BACKBONES["tiny"] = conftest.Tiny
    encoder = trained_encoder(out, conftest.make_options, conftest.make_waves)
    state = {"state": encoder.encoder.state_dict(), "records": encoder.records}
    torch.save(state, out / f"trained-{here.rank}.pt")
    leave()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, in_two_processes: Callable[[Path, Path], None]) -> Path:
    """The folder into which two processes wrote."""
    out = tmp_path_factory.mktemp("processes")
    in_two_processes(Path(__file__), out)
    return out


@pytest.mark.slow
def test_two_processes_are_as_one(found: Path) -> None:
    one = game_and_network(World())
    first, second = (torch.load(found / f"{rank}.pt") for rank in (0, 1))
    for name, value in one.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=1e-6, msg=lambda text: f"{name}: {text}")  # noqa: B023
    started = filled(nn.Linear(4, 8), 0)
    assert float((one["0.weight"] - started.weight).detach().abs().min()) > 1e-3


@pytest.mark.slow
def test_two_processes_train_as_one(
    found: Path, tmp_path: Path, options: Callable[..., TrainOptions], waves: Callable[..., Photos]
) -> None:
    first, second = (torch.load(found / f"trained-{rank}.pt") for rank in (0, 1))
    alone = trained_encoder(tmp_path, options, waves)
    assert all("picture" in record for record in alone.records)
    for record, a, b in zip(alone.records, first["records"], second["records"], strict=True):
        assert a == b
        assert a == pytest.approx(record, rel=1e-4, abs=1e-6)
    for name, value in alone.encoder.state_dict().items():
        assert torch.equal(first["state"][name], second["state"][name]), name
        torch.testing.assert_close(first["state"][name], value, rtol=1e-5, atol=1e-5)
    assert len(list((found / "work/checkpoints").iterdir())) == 1


@pytest.mark.slow
def test_what_processes_exchange(found: Path) -> None:
    for rank in (0, 1):
        assert json.loads((found / f"{rank}.json").read_text()) == {"both": 4.0, "only 0": 2.0, "only 1": 2.0}
        collected = torch.load(found / f"{rank}.pt")
        assert torch.equal(collected["collected"], torch.arange(7.0)[:, None].expand(7, 2))
        assert collected["uneven"].tolist() == [1, 1, 1]


def test_shares() -> None:
    assert [share("abcde", World(rank, 3)) for rank in range(3)] == [["a", "d"], ["b", "e"], ["c"]]
    assert share(range(3), World()) == [0, 1, 2]
    assert World(0, 2).is_main and not World(1, 2).is_main


def test_one_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    here = world()
    assert here == World(0, 1)
    network = nn.Linear(2, 2)
    sum_gradients(network.parameters(), here)
    assert network.weight.grad is None
    here.wait()
    assert here.sum({"a": 1.0}) == {"a": 1.0}
    assert torch.equal(collect(network.weight, here), network.weight)
    leave()


def test_half_of_what_torchrun_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UnsupportedError, match="no MASTER_ADDR, MASTER_PORT: start with torchrun"):
        world()


def test_batch_normalisation() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    assert synchronised(network, World()) is network
    with pytest.raises(UnsupportedError, match="2 processes: 1 normalises over a batch"):
        synchronised(network, World(0, 2))
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4))
    assert synchronised(plain, World(0, 2)) is plain


if __name__ == "__main__":
    process(Path(sys.argv[1]))
