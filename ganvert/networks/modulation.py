"""Operations of StyleGAN2: modulated convolutions and upsampling.

Karras et al. 2020 (arXiv 1912.04958, section 2.2) scale the weights of input channel i by the style s_i (equation 1)
and divide those of output channel j by their norm (equation 3). Scaling input and output channels of the feature map
instead is the same function, with one set of weights for the whole batch. With frozen weights the backward pass then
needs no gradient of a convolution's weights, half of what it costs otherwise.

All of them compute in the type and memory format of the feature map: float32 with channels first, or bfloat16 with
channels last (:mod:`ganvert.compute.precision`). Styles and demodulation are float32 in any case.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.networks.padding import insert_into

__all__ = [
    "blur_kernel",
    "demodulation",
    "modulated_conv",
    "modulated_pointwise",
    "modulated_up_conv",
    "pointwise",
    "rows_to_map",
    "scaled",
    "upsample",
]


def blur_kernel(gain: float = 4.0) -> Tensor:
    """Return the filter of all upsampling, [4, 4]: the outer product of (1, 3, 3, 1) with itself, its sum `gain`.

    The sum is 4 where three of four pixels are zeros after upsampling by two: the mean of an image stays the same.
    """
    # In Python's numbers: on the meta device, where sizes are checked, a product imports torch's compiler, for seconds.
    taps = (1, 3, 3, 1)
    return torch.tensor([[gain / 64 * a * b for b in taps] for a in taps])


def demodulation(weight: Tensor, style: Tensor, epsilon: float) -> Tensor:
    """Return the factors that bring outputs back to unit size (equation 3: one over the norm of the weights).

    Args:
        weight: [out, in, k, k].
        style: [N, in].
        epsilon: added to the squared norm of each output's weights.

    Returns:
        [N, out].
    """
    # The norm is the standard deviation of an output whose inputs are independent and of unit variance. It depends on
    # weights and style only: unlike an instance norm it needs no pass over the feature map.
    return (style.square() @ weight.to(style.dtype).square().sum(dim=(2, 3)).t() + epsilon).rsqrt()


def scaled(x: Tensor, factors: Tensor) -> Tensor:
    """Return x [N, c, h, w] times a factor for every image and channel [N, c], in the type of x."""
    # Without the cast float32 factors would turn a bfloat16 map into a float32 one.
    return x * factors.to(x.dtype)[:, :, None, None]


class _Rows(torch.autograd.Function):
    """Rows [N, positions, in] times weights [N, out, in], plus a bias [out] or none: [N, positions, out].

    PyTorch's gradient of the weights is a product of [in, positions] and [positions, out], which for the few outputs of
    an image takes 160 ms at 512 px in bfloat16. Its transpose takes 6 ms (one core with AVX512-BF16).
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        transposed = weight.transpose(1, 2)
        return torch.bmm(rows, transposed) if bias is None else torch.baddbmm(bias, rows, transposed)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        needs_rows, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            torch.bmm(grad, weight) if needs_rows else None,
            torch.bmm(grad.transpose(1, 2), rows) if needs_weight else None,
            grad.sum(dim=(0, 1)) if needs_bias else None,
        )


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve x [N, in, h, w] with 1x1 weights [N, out, in] of each image, in the type and memory format of x.

    The weights and the bias [out] are cast to the type of x.
    """
    weight = weight.to(x.dtype)
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        rows = x.permute(0, 2, 3, 1).flatten(1, 2)  # a view with channels last
        return rows_to_map(cast(Tensor, _Rows.apply(rows, weight, bias)), x.shape[2], x.shape[3])
    flat = x.flatten(2)
    flat = torch.bmm(weight, flat) if bias is None else torch.baddbmm(bias[:, None], weight, flat)
    return flat.unflatten(2, x.shape[2:])


def rows_to_map(rows: Tensor, h: int, w: int) -> Tensor:
    """Return rows [N, h w, c], one for each position, as a map [N, c, h, w] with channels last; no copy."""
    return rows.unflatten(1, (h, w)).permute(0, 3, 1, 2)


def modulated_conv(x: Tensor, weight: Tensor, style: Tensor, padding: Tensor | None = None) -> Tensor:
    """Convolve the modulated input with 3x3 weights; the result is not demodulated.

    Args:
        x: [N, in, h, w].
        weight: [out, in, 3, 3].
        style: [N, in].
        padding: [N or 1, in, h + 2, w + 2]: its border replaces the zeros around the modulated input, and so is not
            modulated itself, as in PadInv's reference code.

    Returns:
        [N, out, h, w].
    """
    # Before the padding is inserted, which the style then does not reach.
    x = scaled(x, style)
    return F.conv2d(x, weight, padding=1) if padding is None else F.conv2d(insert_into(padding, x), weight)


def modulated_up_conv(x: Tensor, weight: Tensor, style: Tensor, blur: Tensor) -> Tensor:
    """Convolve the modulated input with transposed 3x3 weights and stride 2, then blur; not demodulated.

    Measured on CPUs this beats one convolution that makes the four phases of the output, although the blur goes over
    the large feature map once more: the phases take four times the multiplications.

    Args:
        x: [N, in, h, w].
        weight: [out, in, 3, 3], already flipped as a transposed convolution needs it.
        style: [N, in].
        blur: [4, 4].

    Returns:
        [N, out, 2h, 2w].
    """
    # PyTorch expects [in, out, k, k] here. The result is [2h + 1, 2w + 1]; the blur with padding 1 takes one off again.
    x = F.conv_transpose2d(scaled(x, style), weight.transpose(0, 1), stride=2)
    channels = len(weight)
    return F.conv2d(x, blur.expand(channels, 1, 4, 4), padding=1, groups=channels)


def modulated_pointwise(x: Tensor, weight: Tensor, bias: Tensor, style: Tensor) -> Tensor:
    """Convolve with 1x1 weights, a style and a bias, without demodulation (StyleGAN2's tRGB).

    With few outputs the modulated weights are small, so that scaling them is cheaper than a pass over the feature map.

    Args:
        x: [N, in, h, w].
        weight: [out, in].
        bias: [out].
        style: [N, in].

    Returns:
        [N, out, h, w].
    """
    # Not demodulated: colours have a meaning in absolute terms, and a style may brighten or fade them.
    return pointwise(x, weight * style.unsqueeze(1), bias)


def upsample(x: Tensor, blur: Tensor) -> Tensor:
    """Enlarge [N, c, h, w] to [N, c, 2h, 2w]: zeros between the pixels, then the blur (zeros outside the border)."""
    channels = x.shape[1]
    # (h - 1) * 2 - 2 * 1 + 4 = 2 h pixels.
    return F.conv_transpose2d(x, blur.expand(channels, 1, 4, 4), stride=2, padding=1, groups=channels)
