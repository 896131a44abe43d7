"""Draft reconstructions: a small network draws an image from an early activation, to train encoders without a GPU.

Nine tenths of a synthesis step at 1024 px are spent after the 64 px activation, in layers that add detail to what is
already there. The draft network sees that activation and the rows of ws that act after it, and is trained on the
generator's own images. It is used while an encoder is trained, never for a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ganvert.base.errors import UnsupportedError
from ganvert.base.files import atomic_path
from ganvert.base.seeds import item_seed
from ganvert.checkpoints.weights import read_weights
from ganvert.compute.progress import progress
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.images import area_resize
from ganvert.losses import LOSSES

__all__ = ["Draft"]

#: Hidden channels; the work of the 3 x 3 convolutions grows with their square.
_WIDTH = 128
#: Numbers that the rows behind the feature become, to modulate by: all of them would be too many to learn from.
_STYLE = 64


class Draft(nn.Module):
    """Draws images of twice the side of the generator's last feature of at most `size` px."""

    w_avg: Tensor  # [w_dim]

    def __init__(self, generator: Generator, size: int = 64) -> None:
        super().__init__()
        # At most a quarter of the resolution: a draft has twice the feature's side, and must be smaller than the image.
        points = [
            p for p in generator.feature_points if p.first_row and p.shape[1] <= min(size, generator.resolution // 4)
        ]
        if not points:
            raise UnsupportedError(f"draft: {generator.architecture} has no feature of at most {size} px; draw in full")
        self.point = points[-1]
        self.resolution = 2 * self.point.shape[1]
        with torch.random.fork_rng(devices=[]):
            # Always the same: a draft is named by its generator and data alone, and kept between trainings.
            torch.manual_seed(0)
            channels = self.point.shape[0]
            self.style = nn.Linear((generator.num_ws - (self.point.first_row or 0)) * generator.w_dim, _STYLE)
            scales = [nn.Linear(_STYLE, c) for c in (channels, _WIDTH, _WIDTH, _WIDTH)]
            self.scales = nn.ModuleList(scales)
            self.squeeze = nn.Conv2d(channels, _WIDTH, 1)
            self.shapes = nn.ModuleList(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1) for _ in range(2))
            self.out = nn.Conv2d(_WIDTH, 12, 3, padding=1)  # 3 colours of 2 x 2 px, see pixel_shuffle
        # Starts unmodulated: the scale in `forward` is 1 plus this.
        for scale in scales:
            nn.init.zeros_(scale.weight)
            nn.init.zeros_(scale.bias)
        self.register_buffer("w_avg", generator.w_avg.detach().clone())
        self.to(generator.w_avg.device)

    def forward(self, feature: Tensor, ws: Tensor) -> Tensor:
        """Draw images [N, 3, resolution, resolution] of the activation [N, *point.shape] and ws [N, num_ws, w_dim]."""
        # Only rows that act after the feature: earlier ones are in it already. Centred, as most codes are near w_avg.
        late = self.style((ws[:, self.point.first_row :] - self.w_avg).flatten(1))
        first, *inner, last = [1 + scale(late)[:, :, None, None] for scale in self.scales]
        x = F.leaky_relu(self.squeeze(feature * first), 0.2)
        for shape, scale in zip(self.shapes, inner, strict=True):
            x = x + F.leaky_relu(shape(x * scale), 0.2)
        return F.pixel_shuffle(self.out(x * last), 2)

    def draw(self, generator: Generator, synthesis_input: SynthesisInput) -> Tensor:
        """Return the drafts [N, 3, resolution, resolution] of what the generator would draw."""
        if synthesis_input.ws is None:
            raise UnsupportedError("draft: needs ws; draw in full")
        feature = generator.features(synthesis_input, [self.point.name])[self.point.name]
        return self(feature, synthesis_input.ws)

    def train_(
        self,
        generator: Generator,
        ws_of: Callable[[Sequence[int]], Tensor],
        pictures_of: Callable[[Sequence[int]], Tensor],
        count: int,
        *,
        folder: Path | None,
        more: Mapping[str, float] | None = None,
        epochs: int = 2,
        batch: int = 8,
        lr: float = 1e-3,
    ) -> list[float]:
        """Train on samples 0 .. count - 1 by MSE, half of LPIPS-alex and `more`; return the loss of every step.

        Args:
            generator: whose images the drafts imitate.
            ws_of: returns the ws of seeds.
            pictures_of: returns the images of seeds, [N, 3, h, h] in [-1, 1].
            count: number of samples.
            folder: the asset folder, for losses that have weights.
            more: further losses by name with their weights (``ganvert.losses.LOSSES``): what an encoder is to learn
                from drafts, they must show.
            epochs: passes over the samples.
            batch: samples a step.
            lr: Adam's at the start; it falls linearly to a tenth.
        """
        device = generator.w_avg.device
        terms = {"lpips_alex": 0.5, **(more or {})}
        compare = {name: LOSSES[name](folder, device) for name in terms}
        adam = torch.optim.Adam(self.parameters(), lr=lr)
        batch = min(batch, count)
        per_epoch, losses = count // batch, []
        for step in progress(range(epochs * per_epoch), epochs * per_epoch, "training the draft network"):
            epoch, place = divmod(step, per_epoch)
            order = torch.randperm(count, generator=torch.Generator().manual_seed(item_seed("draft", epoch)))
            seeds = order[place * batch : (place + 1) * batch].tolist()
            for group in adam.param_groups:
                group["lr"] = lr * (1 - 0.9 * step / (epochs * per_epoch))
            ws = ws_of(seeds)
            with torch.no_grad():
                # No further than the feature: the draft stands in for what comes after it.
                feature = generator.features(SynthesisInput(ws=ws), [self.point.name])[self.point.name]
                target = area_resize(pictures_of(seeds).to(device), self.resolution)
            drawn = self(feature, ws)
            loss = (drawn - target).square().mean()
            for name, weight in terms.items():
                loss = loss + weight * compare[name](drawn, compare[name].prepare(target)).mean()
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            losses.append(float(loss.detach()))
        return losses

    def save(self, path: Path) -> None:
        """Write its weights as safetensors."""
        with atomic_path(path) as temporary:
            save_file({name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}, temporary)

    @staticmethod
    def load(path: Path, generator: Generator, size: int = 64) -> Draft:
        """Return the network that :meth:`save` wrote for this generator."""
        draft = Draft(generator, size)
        state, _ = read_weights(path)
        draft.load_state_dict(state)
        return draft
