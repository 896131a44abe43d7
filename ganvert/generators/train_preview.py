"""Training the preview head of a generator on the generator's own samples."""

from __future__ import annotations

from pathlib import Path

import torch

from ganvert.generators.base import Generator, SynthesisInput
from ganvert.generators.preview import Preview, preview_loss
from ganvert.runtime import progress
from ganvert.samples import PictureStore, codes_of
from ganvert.seeds import item_seed

__all__ = ["train_preview"]


def train_preview(
    generator: Generator, work: Path, *, point: str, samples: int, steps: int, batch: int, lr: float, seed: int = 0
) -> tuple[Preview, list[float]]:
    """Fit a head to the generator's pictures.

    Args:
        generator: frozen.
        work: folder where drawn samples are kept (shared with encoder training).
        point: feature point the head draws from; its picture is twice that feature's size.
        samples: seeds 0 .. samples - 1 are the training set.
        steps, batch, lr: Adam; the learning rate falls linearly to zero.
        seed: initial weights and order.

    Returns:
        The head and the mean squared error of every step.
    """
    preview = Preview(generator, point).to(generator.w_avg.device)
    preview.initialise_(seed)
    store = PictureStore(generator, work / "samples", samples, preview.resolution)
    order = torch.randint(samples, (steps, batch), generator=torch.Generator().manual_seed(item_seed("preview", seed)))
    store.fill(sorted(set(order.flatten().tolist())))
    adam = torch.optim.Adam(preview.parameters(), lr=lr)
    errors: list[float] = []
    for step in progress(range(steps), steps, "training the preview head"):
        for group in adam.param_groups:
            group["lr"] = lr * (1 - step / steps)
        seeds = order[step].tolist()
        _, ws = codes_of(generator, seeds)
        told = SynthesisInput(ws=ws.unsqueeze(1).expand(-1, generator.num_ws, -1))
        with torch.no_grad():
            feature = generator.features(told, [point])[point]
        target = store.get(seeds).to(ws.device)
        drawn = preview(feature, told.ws)  # type: ignore[arg-type]
        errors.append(float((drawn.detach() - target).square().mean()))
        adam.zero_grad(set_to_none=True)
        preview_loss(drawn, target).sum().backward()
        adam.step()
    return preview.eval().requires_grad_(False), errors
