"""The mapping network that StyleGAN1, 2 and 3 share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError

__all__ = ["SLOPE", "Dense", "MappingNetwork", "normalise"]

#: Of all leaky ReLUs of StyleGANs. Its inverse, with slope 1 / 0.2 = 5, leads from W to the space P.
SLOPE = 0.2


def normalise(x: Tensor) -> Tensor:
    """Divide each row of [N, dim] by its RMS (pixel norm, Karras et al. 2018, arXiv 1710.10196, section 4.2).

    Rows of z then lie on the sphere of radius sqrt(dim); their length before has no effect on the image.
    """
    # NVlabs' epsilon. Beside a mean square of 1 it is lost in float32; it keeps a z of zeros from becoming nan.
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class Dense(nn.Module):
    """A linear layer with equalised learning rate (Karras et al. 2018, section 4.1).

    Weights are stored at unit scale, and the gain 1 / sqrt(inputs) acts at run time. Adam, whose steps do not depend on
    the scale of a gradient, then moves all layers at the same relative rate; a learning rate multiplier m < 1 makes the
    stored numbers 1 / m larger and their relative steps m times smaller. Fine-tuning sees the parameters as the
    network's own training did.
    """

    def __init__(self, inputs: int, outputs: int, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight_gain, self.bias_gain = lr_multiplier / math.sqrt(inputs), lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.bias_gain == 1 else self.bias * self.bias_gain
        return F.linear(x, self.weight * self.weight_gain, bias)


class MappingNetwork(nn.Module):
    """z [N, z_dim], and labels [N, label_dim] of conditional networks, to [N, widths[-1]].

    Layers ``fc0``, ``fc1``, ... with leaky ReLU 0.2 and gain sqrt(2), learning rate multiplier 0.01.
    """

    def __init__(
        self,
        z_dim: int,
        widths: Sequence[int],
        *,
        label_dim: int = 0,
        label_width: int = 0,
        labels: Literal["embed", "concat"] = "embed",
        bias_gain: float = math.sqrt(2),
        lr_multiplier: float = 0.01,
    ) -> None:
        """Build the network.

        Args:
            z_dim: width of z.
            widths: output width of every layer.
            label_dim: number of classes, 0 for none.
            label_width: width of the label's vector.
            labels: ``embed``: an embedding, normalised by itself (StyleGAN2-ADA); ``concat``: a matrix, normalised
                together with z (StyleGAN1 and 2).
            bias_gain: sqrt(2) where the gain acts on the activation, 1 where it acts on weights only (StyleGAN1).
            lr_multiplier: learning rate multiplier of all layers but the embedding.
        """
        super().__init__()
        self.label_dim, self.labels, self.count = label_dim, labels, len(widths)
        self.bias_gain = bias_gain
        if label_dim and labels == "embed":
            self.embed = Dense(label_dim, label_width)
        elif label_dim:
            self.label_weight = nn.Parameter(torch.zeros(label_dim, label_width))
        inputs = [z_dim + (label_width if label_dim else 0), *widths[:-1]]
        for i, (before, after) in enumerate(zip(inputs, widths, strict=True)):
            self.add_module(f"fc{i}", Dense(before, after, lr_multiplier))

    @classmethod
    def for_state(
        cls,
        state: Mapping[str, Tensor],
        *,
        bias_gain: float = math.sqrt(2),
        lr_multiplier: float = 0.01,
    ) -> tuple[MappingNetwork, int]:
        """Return the network whose sizes fit ``mapping.*`` of a state dict (values are not loaded), and z_dim.

        Raises:
            CheckpointError: the tensors do not make a mapping network.
        """
        count = len({name.split(".")[1] for name in state if name.startswith("mapping.fc")})
        try:
            shapes = [tuple(state[f"mapping.fc{i}.weight"].shape) for i in range(count)]
            label_dim = label_width = 0
            kind: Literal["embed", "concat"] = "embed"
            if "mapping.embed.weight" in state:
                label_width, label_dim = state["mapping.embed.weight"].shape
            elif "mapping.label_weight" in state:
                label_dim, label_width = state["mapping.label_weight"].shape
                kind = "concat"
            z_dim = shapes[0][1] - label_width
            if z_dim < 1:
                raise ValueError("the first layer is narrower than the labels")
            widths = [shape[0] for shape in shapes]
            # Before anything is allocated: two long thin matrices in a row would need one that is long and wide.
            if any(shape[1] != before for shape, before in zip(shapes[1:], widths, strict=False)):
                raise ValueError(f"layers of shapes {shapes} do not follow each other")
        except (KeyError, IndexError, ValueError) as error:
            raise CheckpointError(f"not a StyleGAN mapping network: {error!r}") from error
        network = cls(
            z_dim,
            widths,
            label_dim=label_dim,
            label_width=label_width,
            labels=kind,
            bias_gain=bias_gain,
            lr_multiplier=lr_multiplier,
        )
        return network, z_dim

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is None:
            x = normalise(z)
        elif self.labels == "embed":
            # Each by itself: z keeps the length that it has in an unconditional network, whatever the label.
            x = torch.cat([normalise(z), normalise(self.embed(labels))], dim=1)
        else:
            x = normalise(torch.cat([z, labels @ self.label_weight], dim=1))
        for i in range(self.count):
            layer: Dense = getattr(self, f"fc{i}")
            # The gain sqrt(2) after the activation keeps unit variance. Leaky ReLU is positively homogeneous, so that
            # it may act before: on weights always, and on biases unless the network was trained without (StyleGAN1).
            x = F.linear(
                x, layer.weight * (layer.weight_gain * math.sqrt(2)), layer.bias * (layer.bias_gain * self.bias_gain)
            )
            x = F.leaky_relu(x, SLOPE)
        return x
