"""The face stylizer's file, written in miniature, becomes a generator and an encoder; damaged ones are refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from ganvert.assets import EXTRAS, PRODUCTS
from ganvert.assets.converters import face_stylizer
from ganvert.assets.converters.face_stylizer import (
    ARCHITECTURE,
    MEMBER,
    make_stylizer_encoder,
    make_stylizer_generator,
    stylizer_states,
)
from ganvert.assets.converters.tflite import Operator, leading_to
from ganvert.assets.folder import path
from ganvert.base.errors import AssetError, CheckpointError
from ganvert.checkpoints.ganvert_file import pack
from ganvert.compute.random import normal
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.generators import build_generator
from ganvert.generators.blaze_stylegan import BlazeStyleGAN
from ganvert.networks.blank import Blank

WIDTHS = {"first": 4, "to_rgb": 2} | {f"blocks.{i}.conv{j}": 4 if j else 2 for i in range(5) for j in (0, 1)}


@pytest.fixture(scope="module")
def generator() -> BlazeStyleGAN:
    made = BlazeStyleGAN([4] * 6, [2] * 6, 4)
    with torch.no_grad():
        for i, value in enumerate(made.state_dict().values()):
            value.copy_(normal([i], value.shape)[0] if value.ndim else torch.tensor(face_stylizer.SPREAD))
    return made.eval().requires_grad_(False)


def constants(kind: str, name: str, state: dict[str, Tensor]) -> Sequence[np.ndarray]:
    """What the TFLite model has for a step; the encoder's are tiny, as nothing reads their sizes."""
    seed = len(name) * 7 + sum(map(ord, name))
    if not name:
        return []
    if name.endswith(".scale"):
        part = name.removesuffix(".scale")
        return [np.array(1 / np.sqrt(WIDTHS[part] * (1 if part == "to_rgb" else 9)), "f4")]
    if name == "w_avg":
        return [np.tile(state[name].numpy(), (1, 12, 1))]
    if name.endswith(".affine"):
        return [state[f"{name}.weight"].numpy(), state[f"{name}.bias"].numpy()]
    if name.startswith(("backbone", "heads")):
        drawn = normal([seed], (3, 3, 3, 2))[0].numpy()
        sized = {"conv": drawn, "depthwise": drawn[:1], "dense": drawn[0, 0], "custom": drawn[0, 0, 0]}
        kernel = sized[kind.split("/")[0]]
        outputs = 2 if kind.startswith(("depthwise", "custom")) else 3
        bias = kind == "dense" or kind == "custom" or name.endswith("pointwise")
        return [kernel, drawn.flatten()[:outputs] if bias else np.zeros(outputs)]
    if name == "to_rgb.factor":
        return [np.full((2, 1, 1, 1), 0.5), np.zeros(2)]
    if name == "const":
        return [state[name].numpy().transpose(0, 2, 3, 1)]
    if name.endswith(".bias"):
        return [state[name].numpy()[None, None, None]]
    bare = name in state
    kernel = state[name if bare else f"{name}.weight"].numpy()
    bias = np.zeros(len(kernel)) if bare else state[f"{name}.bias"].numpy()
    if kernel.ndim == 2:
        kernel = kernel[..., None, None] * (2 if name == "to_rgb" else 1)
    return [kernel.transpose(1, 2, 3, 0) if kind == "depthwise" else kernel.transpose(0, 2, 3, 1), bias]


@pytest.fixture
def task(write: Callable[..., bytes]) -> Callable[..., bytes]:
    """Makes a .task file of a generator's state; a constant may be changed, or the first steps left out."""
    return partial(_task, write)


def _task(
    write: Callable[..., bytes], state: dict[str, Tensor], change: tuple[str, np.ndarray] | None = None, drop: int = 0
) -> bytes:
    steps = [*face_stylizer._encoder_steps(), *face_stylizer._generator_steps()]
    operators = [(kind, list(constants(kind, name, state))) for kind, name in steps]
    for i, (_, name) in enumerate(steps):
        if change and name == change[0]:
            operators[i][1][0] = change[1]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(MEMBER, write(operators[drop:], (1, 1)))
    return stream.getvalue()


def test_generator_and_encoder(generator: BlazeStyleGAN, task: Callable[..., bytes]) -> None:
    state = generator.state_dict()
    products = EXTRAS["stylizer"]
    data = task(state)
    made, encoded = stylizer_states(data, "x.task")
    for name, value in state.items():
        torch.testing.assert_close(made[name], value, rtol=1e-6, atol=0)
    loaded = build_generator("blaze_stylegan", load(make_stylizer_generator(products[0], [data])), {})
    ws = loaded.map(normal([3], (4,)))
    torch.testing.assert_close(loaded.synthesize(ws=ws), generator.synthesize(ws=ws), rtol=1e-4, atol=1e-5)
    with Blank():
        wanted = Encoder(EncoderSpec(**ARCHITECTURE), loaded).state_dict()
    assert set(encoded) == set(wanted) - {"w_avg"}
    assert all(value.ndim == wanted[name].ndim for name, value in encoded.items())
    # Convolutions OHWI to OIHW; a kernel for each channel 1HWC to O1HW.
    (conv, _), (depthwise, _) = (
        constants(*step, state) for step in (("conv", "backbone.stem.5"), ("depthwise", "backbone.stem.2"))
    )
    np.testing.assert_array_equal(encoded["backbone.stem.5.weight"], conv.transpose(0, 3, 1, 2).astype("f4"))
    np.testing.assert_array_equal(encoded["backbone.stem.2.weight"], depthwise.transpose(3, 0, 1, 2).astype("f4"))
    file = make_stylizer_encoder(products[-1], [data] * 3)
    facts = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])["__metadata__"]
    assert facts["generator"] == loaded.fingerprint()
    assert json.loads(facts["encoder"]) == ARCHITECTURE
    assert file == pack(encoded, facts)


def test_other_files_are_refused(generator: BlazeStyleGAN, task: Callable[..., bytes]) -> None:
    state, product = generator.state_dict(), EXTRAS["stylizer"][-1]

    def refuse(data: bytes, says: str) -> None:
        with pytest.raises(CheckpointError, match=says):
            stylizer_states(data, "x.task")

    refuse(b"nothing", "not a .task file")
    refuse(task(state)[:-30], "not a .task file")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("other.tflite", b"")
    refuse(stream.getvalue(), f"not a .task file with {MEMBER}")
    refuse(task(state, drop=1), "operators, not those of the face stylizer")
    refuse(task(state, ("to_rgb.scale", np.array(0.3))), "to_rgb scales its style by another number")
    rows = np.tile(state["w_avg"].numpy(), (1, 12, 1))
    rows[0, 3] += 1
    refuse(task(state, ("w_avg", rows)), "rows of the mean w differ")
    other = task(state, ("backbone.stem.0", np.ones(2)))
    with pytest.raises(CheckpointError, match="another encoder than that of"):
        make_stylizer_encoder(product, [task(state), task(state), other])


def test_what_leads_to_a_result_is_in_the_order_of_inputs() -> None:
    a, b = Operator("a", (0,), (1,), ()), Operator("b", (0,), (2,), ())
    unused, both = Operator("c", (1,), (3,), ()), Operator("d", (2, 1), (4,), ())
    assert leading_to(both, [a, b, unused, both]) == leading_to(both, [b, a, both, unused]) == [b, a, both]
    # A file may describe a circle.
    first, second = Operator("e", (6,), (5,), ()), Operator("f", (5,), (6,), ())
    assert leading_to(second, [first, second]) == [first, second]


def test_extras_are_apart_from_what_everybody_gets(tmp_path: Path) -> None:
    names = [product.name for products in (PRODUCTS, *EXTRAS.values()) for product in products]
    assert len(set(names)) == len(names)
    with pytest.raises(AssetError, match="run `ganvert fetch --also stylizer`"):
        path("stylizer_oil.safetensors", tmp_path, "ganvert fetch --also stylizer")
