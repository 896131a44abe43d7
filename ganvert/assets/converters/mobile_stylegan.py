"""The MobileStyleGAN of the random-face package, from its OpenVINO IR."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganvert.assets.base import Product, pack_product
from ganvert.assets.converters.openvino_ir import mobile_stylegan_state, read_constants
from ganvert.base.errors import CheckpointError
from ganvert.base.seeds import item_seed
from ganvert.compute.random import normal
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.networks.blank import Blank

__all__ = ["make_mobile_stylegan"]


def make_mobile_stylegan(product: Product, parts: Sequence[bytes]) -> bytes:
    """Return the generator's file.

    Args:
        product: the asset.
        parts: XML and weights of the mapping network, then of the synthesis network.

    Raises:
        CheckpointError: they are not the exported MobileStyleGAN.
    """
    mapping_xml, mapping_bin, synthesis_xml, synthesis_bin = parts
    state = mobile_stylegan_state(
        read_constants(mapping_xml, mapping_bin, "MappingNetwork"),
        read_constants(synthesis_xml, synthesis_bin, "SynthesisNetwork"),
    )
    layers = sum(name.endswith(".conv2.bias") for name in state)
    widths = ["conv1.bias", *(f"layers.{i}.conv2.bias" for i in range(layers))]
    with Blank():
        generator = MobileStyleGAN([state[name].numel() for name in widths])
    state["w_avg"] = generator.w_avg  # the export has none: a placeholder, so that loading can be strict
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{product.name}: the network does not fit: {error}") from error
    return pack_product(product, "mobile_stylegan", state | {"w_avg": _mean_w(generator)})


def _mean_w(generator: MobileStyleGAN, batches: int = 20, batch: int = 5_000) -> Tensor:
    """Return the mean of w over 100,000 z, [w_dim]: what training code calls ``w_avg``.

    Mapped in float64: the rounding to float32 then hides the order in which a machine adds, and with it the number
    of threads.
    """
    mapping = generator.mapping.double()
    total = torch.zeros(generator.w_dim, dtype=torch.float64)
    with torch.inference_mode():
        for i in range(batches):
            z = normal([item_seed("w_avg", i)], (batch, generator.z_dim))[0]
            total += mapping(z.double()).sum(dim=0)
    return (total / (batches * batch)).float()
