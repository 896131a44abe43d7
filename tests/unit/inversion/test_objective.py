"""Terms of an objective: masks and second pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganvert.base.errors import InputError, ParamsError, ShapeError
from ganvert.compute.random import normal
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import as_drawn, from_pil, to_pil
from ganvert.inversion.objective import Objective, Term
from ganvert.inversion.presets import Batch, Context, Inversion, Inverter, Preset, read_preset
from ganvert.inversion.run import Crop, invert_crops, make_context
from ganvert.losses import LOSSES
from ganvert.losses.pixel import Mse

SIZE = 64


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def half(columns: int = SIZE // 2) -> np.ndarray:
    """White left of a column."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:, :columns] = 255
    return mask


def random_mask(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)


@pytest.fixture
def context(tiny_generator: MobileStyleGAN, tmp_path: Path) -> Context:
    """With three masks for all images, and a folder of masks for the images a and b."""
    inputs = tmp_path / "inputs"
    save(inputs / "white.png", np.full((SIZE, SIZE), 255, np.uint8))
    save(inputs / "black.png", np.zeros((SIZE, SIZE), np.uint8))
    save(inputs / "half.png", half())
    save(inputs / "each/a.png", random_mask(1))
    save(inputs / "each/b.png", random_mask(2))
    return Context(generator=tiny_generator, inputs=inputs)


def batch_of(targets: Tensor, ids: str = "") -> Batch:
    return Batch(targets=targets, seeds=range(len(targets)), image_ids=tuple(ids))


def value(context: Context, images: Tensor, targets: Tensor, ids: str = "", **term: Any) -> Tensor:
    line = Term(**{"loss": "mse", "resolution": None, **term})
    return Objective((line,), batch_of(targets, ids), context)(images)


def constant(number: float) -> Tensor:
    return torch.full((1, 3, SIZE, SIZE), number)


def pair() -> tuple[Tensor, Tensor]:
    images, targets = normal([1, 2], (3, SIZE, SIZE)), normal([3, 4], (3, SIZE, SIZE))
    return images.clamp(-1, 1), targets.clamp(-1, 1)


@pytest.mark.parametrize("loss", ["mse", "laplacian", "lpips_alex"])
def test_a_white_mask_changes_nothing_and_a_black_one_takes_all(loss: str, context: Context, assets: Path) -> None:
    context = dataclasses.replace(context, folder=assets)
    images, targets = pair()
    plain = value(context, images, targets, loss=loss)
    assert (plain > 0).all()
    assert torch.equal(value(context, images, targets, loss=loss, mask="white.png"), plain)
    assert torch.equal(value(context, images, targets, loss=loss, mask="black.png", outside=True), plain)
    # LPIPS takes equal features apart by a sum of products, which rounds.
    for nothing in ({"mask": "black.png"}, {"mask": "white.png", "outside": True}):
        assert value(context, images, targets, loss=loss, **nothing).tolist() == pytest.approx([0, 0], abs=1e-12)


def test_masked_squares_in_closed_form(context: Context) -> None:
    assert context.inputs is not None
    near, far = constant(0.5), constant(-0.3)  # 0.64 apart, squared
    assert value(context, near, far, mask="half.png").item() == pytest.approx(0.32)
    save(context.inputs / "quarter.png", half(SIZE // 4))
    assert value(context, near, far, mask="quarter.png").item() == pytest.approx(0.16)
    assert value(context, near, far, mask="quarter.png", outside=True).item() == pytest.approx(0.48)
    save(context.inputs / "grey.png", np.full((SIZE, SIZE), 51, np.uint8))  # a fifth
    assert value(context, near, far, mask="grey.png").item() == pytest.approx(0.64 / 25)
    assert value(context, near, far, mask="grey.png", outside=True).item() == pytest.approx(0.64 * 16 / 25)
    # At 16 px the ninth of sixteen columns is half white.
    save(context.inputs / "between.png", half(34))
    assert value(context, near, far, mask="between.png", resolution=16).item() == pytest.approx(0.64 * 8.25 / 16)


def test_losses_see_masked_pictures(context: Context) -> None:
    images, targets = pair()
    mask = from_pil([Image.fromarray(half())])[:, :1].add(1).div(2)
    loss = LOSSES["laplacian"](None, images.device)
    want = loss(images * mask, loss.prepare(targets * mask))
    assert torch.equal(value(context, images, targets, loss="laplacian", mask="half.png"), want)
    limited = Objective((Term(loss="laplacian", mask="half.png"),), batch_of(targets), context, limit=16)
    small = [torch.nn.functional.avg_pool2d(x, 4) for x in (images, targets, mask)]
    torch.testing.assert_close(limited(images), loss(small[0] * small[2], small[1] * small[2]))


@pytest.mark.parametrize("outside", [False, True])
def test_gradients_end_at_the_mask(outside: bool, context: Context) -> None:
    images, targets = pair()
    images.requires_grad_()
    value(context, images, targets, mask="half.png", outside=outside).sum().backward()
    assert images.grad is not None
    mask = torch.from_numpy(half()).float() / 255
    mask = 1 - mask if outside else mask
    want = 2 * mask**2 * (images - targets).detach() / (3 * SIZE * SIZE)
    torch.testing.assert_close(images.grad, want)
    parts = images.grad[..., : SIZE // 2], images.grad[..., SIZE // 2 :]
    counted, rest = parts[::-1] if outside else parts
    assert counted.any()
    assert not rest.any()


def test_masks_and_pictures_of_single_images_are_found_by_id(context: Context) -> None:
    assert context.inputs is not None
    images, targets = pair()
    masks = [torch.from_numpy(random_mask(seed)).float() / 255 for seed in (1, 2)]
    want = [
        (mask * (image - target)).square().mean().item()
        for mask, image, target in zip(masks, images, targets, strict=True)
    ]
    assert value(context, images, targets, "ab", mask="each").tolist() == pytest.approx(want, rel=1e-4)
    turned = value(context, images.flip(0), targets.flip(0), "ba", mask="each")
    assert turned.tolist() == pytest.approx(want[::-1], rel=1e-4)
    alone = [value(context, images[i : i + 1], targets[i : i + 1], "ab"[i], mask="each").item() for i in range(2)]
    assert alone == pytest.approx(want, rel=1e-4)
    assert value(context, images[:1], targets[:1], "b", mask="each").item() != pytest.approx(want[0], rel=1e-3)

    others = to_pil(targets.flip(3))
    for name, picture in zip("ab", others, strict=True):
        save(context.inputs / f"pictures/{name}.png", np.asarray(picture))
    seen = value(context, images.flip(0), targets.flip(0), "ba", picture="pictures")
    assert torch.equal(seen, value(context, images.flip(0), from_pil(others[::-1])))


def test_a_picture_takes_the_photographs_place_under_the_mask(context: Context) -> None:
    assert context.inputs is not None
    images, targets = pair()
    (other,) = to_pil(targets[:1].flip(3))
    save(context.inputs / "other.png", np.asarray(other))
    picture = from_pil([other]).expand(2, -1, -1, -1)
    assert torch.equal(value(context, images, targets, picture="other.png"), value(context, images, picture))
    # Crossover: the photograph on the left, the other picture on the right.
    terms = (
        Term(loss="mse", resolution=None, mask="half.png"),
        Term(loss="mse", resolution=None, mask="half.png", outside=True, picture="other.png", weight=2.0),
    )
    crossed = Objective(terms, batch_of(targets), context)(images)
    middle = SIZE // 2
    left = (images - targets)[..., :middle].square().mean(dim=(1, 2, 3))
    right = (images - picture)[..., middle:].square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(crossed, left / 2 + right)
    # A generator of grey pictures is compared with the picture's luminance.
    grey = Context(generator=SimpleNamespace(image_channels=1), inputs=context.inputs)  # type: ignore[arg-type]
    luminance = as_drawn(from_pil([other]), 1, SIZE)
    assert value(grey, luminance[:, :1], targets[:1], picture="other.png").item() == 0
    assert value(context, luminance, targets[:1], picture="other.png").item() > 0.01


#: One for each shape of what losses prepare, and of how they sum.
@pytest.mark.parametrize("loss", ["mse", "laplacian", "lpips_alex", "gram"])
def test_objectives_of_single_images_are_joined(loss: str, context: Context, assets: Path) -> None:
    context = dataclasses.replace(context, folder=assets)
    images, targets = pair()
    for terms in (
        (Term(loss=loss, resolution=None),),
        (Term(loss=loss, resolution=32, mask="each"), Term(loss="mse", mask="half.png", outside=True, weight=0.5)),
    ):
        single = [Objective(terms, batch_of(targets[i : i + 1], "ab"[i]), context) for i in range(2)]
        want = [float(one(images[i : i + 1])) for i, one in enumerate(single)]
        assert want[0] != pytest.approx(want[1], rel=1e-4)
        joined = Objective.join(single)(images)
        assert joined.tolist() == pytest.approx(want, rel=1e-5)
        turned = Objective.join(single[::-1])(images.flip(0))
        assert turned.tolist() == pytest.approx(want[::-1], rel=1e-5)
        alone = Objective.join(single[1:])
        assert float(alone(images[1:])) == want[1]
        # Joined ones can be joined again, when one more image enters.
        three = Objective.join([Objective.join(single), single[0]])(torch.cat([images, images[:1]]))
        assert three.tolist() == pytest.approx([*want, want[0]], rel=1e-5)


def test_what_losses_may_prepare(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mappings and tuples of tensors too; float32 in any case; anything else is refused."""

    class Strange(Mse):
        def prepare(self, target: Tensor) -> Any:
            return kinds[0](target.bfloat16())

        def __call__(self, image: Tensor, prepared: Any) -> Tensor:
            (target,) = prepared.values() if isinstance(prepared, dict) else prepared
            assert target.dtype == torch.float32
            return super().__call__(image, target)

    monkeypatch.setitem(LOSSES, "strange", Strange)
    images, targets = pair()
    want = value(context, images, targets.bfloat16().float())
    kinds: list[Callable[[Tensor], Any]] = [lambda x: {"a": x}, lambda x: (x,), lambda x: [x], str]
    while len(kinds) > 1:
        single = [Objective((Term(loss="strange", resolution=None),), batch_of(t[None]), context) for t in targets]
        torch.testing.assert_close(Objective.join(single)(images), want)
        kinds.pop(0)
    with pytest.raises(TypeError, match="prepared str"):
        value(context, images, targets, loss="strange")


def test_a_mask_may_be_of_any_mode(context: Context) -> None:
    assert context.inputs is not None
    images, targets = pair()
    want = value(context, images, targets, mask="half.png")
    for name, picture in {
        "bits.png": Image.fromarray(half()).convert("1"),
        "colour.png": Image.fromarray(half()).convert("RGB"),
        "palette.png": Image.fromarray(half()).convert("P"),
        "deep.png": Image.fromarray(half().astype(np.uint16) * 257),
    }.items():
        picture.save(context.inputs / name)
        assert torch.equal(value(context, images, targets, mask=name), want), name


def test_names_that_cannot_be() -> None:
    for name in ("../mask.png", "a/../../mask.png", "/mask.png", "", "."):
        for field in ("mask", "picture"):
            with pytest.raises(ParamsError, match=f"{field}: wanted the name of a file or folder inside"):
                Term(loss="mse", **{field: name})
    with pytest.raises(ParamsError, match="there is no mask to be outside of"):
        Term(loss="mse", outside=True)
    with pytest.raises(ParamsError, match=r"invert\.options\.mine\.objective\[0\]: mask: wanted"):
        preset({"loss": "mse", "mask": "../x.png"})


@pytest.mark.parametrize("field", ["mask", "picture"])
def test_files_that_do_not_fit_are_refused_by_name(field: str, context: Context) -> None:
    inputs = context.inputs
    assert inputs is not None
    images, targets = pair()

    def refused(match: str, name: str, ids: str = "", one: Context = context) -> None:
        with pytest.raises(InputError, match=match):
            value(one, images, targets, ids, **{field: name})

    refused("names 'x.png', but no folder of inputs", "x.png", one=dataclasses.replace(context, inputs=None))
    refused("there is no folder .*nowhere", "x.png", one=dataclasses.replace(context, inputs=inputs / "nowhere"))
    refused("x.png: there is neither such a picture nor a folder", "x.png")
    refused(r"each.c\.png: there is no such picture", "each", "ac")
    refused("each: is a folder .* but the images have no ids", "each")
    save(inputs / "small.png", half()[:32])
    refused("small.png: wanted 64 x 64 px, the size of the generator, got 64 x 32", "small.png")
    (inputs / "text.png").write_text("white")
    refused("text.png: not an image", "text.png")
    cut = (inputs / "each/a.png").read_bytes()
    (inputs / "cut.png").write_bytes(cut[: len(cut) // 2])
    refused("cut.png: cannot be read", "cut.png")
    Image.fromarray(half()).convert("LA").save(inputs / "clear.png")
    refused("clear.png: wanted a picture without transparency", "clear.png")


def test_as_many_ids_as_images() -> None:
    with pytest.raises(ShapeError, match="2 images need as many ids, got 1"):
        batch_of(pair()[1], "a")


def preset(*terms: dict[str, Any], **more: Any) -> Preset:
    raw = {"inverter": "optimise", "space": "wplus", "steps": 3, "lr": 0.05, "objective": terms, **more}
    return read_preset("mine", raw)


MASKED = {"loss": "mse", "resolution": 64, "mask": "each"}


def test_what_is_black_in_the_mask_does_not_reach_the_code(context: Context) -> None:
    _, targets = pair()
    other = targets.clone()
    other[..., SIZE // 2 :] = 0.9
    for more in ({}, {"preview_steps": 2, "preview_px": 16, "preview_every": 1}):
        method = preset({"loss": "mse", "resolution": 64, "mask": "half.png"}, **more)
        one, two = (method.inverter.run(batch_of(x), context, method.options) for x in (targets, other))
        assert torch.equal(one.variables["ws"], two.variables["ws"])
    method = preset({"loss": "mse", "resolution": 64})
    one, two = (method.inverter.run(batch_of(x), context, method.options) for x in (targets, other))
    assert not torch.equal(one.variables["ws"], two.variables["ws"])


def test_a_missing_file_stops_the_run_before_any_work(context: Context) -> None:
    assert context.inputs is not None
    (context.inputs / "each/b.png").unlink()
    worked: list[str] = []

    def counted(batch: Batch, *more: Any) -> Inversion:
        worked.extend(batch.image_ids)
        return method.inverter.run(batch, *more)

    method = preset(MASKED)
    one = dataclasses.replace(method, inverter=Inverter(counted, method.inverter.options))
    crops = [Crop(name, picture) for name, picture in zip("ab", to_pil(pair()[1]), strict=True)]
    with pytest.raises(InputError, match=r"each.b\.png"):
        invert_crops(crops, one, context, seed=0)
    assert worked == []


def test_names_of_stages_are_names_of_the_chain() -> None:
    stage = {"inverter": "optimise", "space": "wplus", "steps": 2, "lr": 0.05}
    first, second = ({**stage, "objective": [MASKED | more]} for more in ({}, {"picture": "white.png"}))
    chain = read_preset("mine", {"inverter": "chain", "stages": [first, second | {"init": "previous"}]})
    assert chain.inputs == ("each", "white.png")


def test_methods_without_names_need_no_folder(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    plain = preset({"loss": "mse", "resolution": 64})
    assert plain.inputs == read_preset("mine", {"inverter": "feed_forward"}).inputs == ()
    assert make_context(plain, tiny_generator, None, None).inputs is None
    assert make_context(plain, tiny_generator, None, None, tmp_path).inputs == tmp_path
    crops = [Crop("a", to_pil(pair()[1])[0])]
    done = invert_crops(crops, plain, Context(generator=tiny_generator), seed=0)
    assert done.status == ["ok"]
