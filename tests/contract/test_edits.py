"""What every edit of EDITS promises, and how the ways to move differ."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvert.base.errors import ParamsError, ShapeError, UnknownNameError, UnsupportedError
from ganvert.codes import Code
from ganvert.compute.random import normal
from ganvert.directions import Direction
from ganvert.editing.contract import Edit, EditInputs
from ganvert.editing.edits import EDITS, make_edit
from ganvert.editing.edits.realign import Realign
from ganvert.editing.render import draw_edit
from ganvert.encoders import Encoder, EncoderSpec, JointEncoder
from ganvert.encoders.heads.consultation import ConsultationHead
from ganvert.generators import Generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import from_pil, to_pil
from ganvert.inversion.presets import Context, read_preset
from ganvert.spaces import make_space

NAMES = ["z", "zplus", "zplusplus", "zplus_psi", "wplus", "s", "f16/zplus", "f16/wplus"]
NAMES += ["pad/zplus", "m16-32/wplus", "c32/wplus"]
SHIFTS = ["shift", "geodesic", "stepped"]
STEP = {"inverter": "optimise", "steps": 1, "lr": 0.3, "objective": [{"loss": "mse", "resolution": 64}]}


def direction_in(space: str, rows: tuple[int, int] = (0, 8)) -> Direction:
    vector = normal([5], (16,))[0].double().numpy()
    return Direction("smile", space, "test", vector / np.linalg.norm(vector), 1.5, *rows)  # type: ignore[arg-type]


def code_in(name: str, generator: Generator, seed: int = 1, noise: bool = False) -> Code:
    space = make_space(name, generator)
    maps = [normal([seed], (1, *shape)) for shape in generator.noise_shapes] if noise else []
    variables = {key: value.clone() for key, value in space.from_random([seed]).items()}
    for key in set(variables) & {
        "const",
        "f",
        "d16",
        "d32",
        "m32",
        "scale",
        "shift",
    }:  # what is the generator's own is the same for all
        variables[key] += 0.3 * normal([seed + 50], tuple(variables[key].shape[1:]))
    return Code(image_id=f"{seed}", method="mine", bind=lambda: space, variables=variables, noise=maps)


def hfgi(generator: Generator) -> Encoder:
    """What the edits that ask an encoder need: a head that reads distortions, as after training."""
    options = {"size": 32, "width": 4, "widths": [[4, 4, 4], [4, 4, 4, 4]]}
    spec = EncoderSpec(space="c32/wplus", backbone="ir18", heads={"consultation": options}, input_px=32)
    encoder = Encoder(spec, generator)
    with torch.no_grad():
        for i, parameter in enumerate(encoder.parameters()):
            parameter.add_(0.1 * normal([i], parameter.shape)[0])
    return encoder.eval()


def inputs_of(edit: Edit, code: Code) -> EditInputs:
    """What the edit declares: a direction, references in the code's space, pictures, and what inverts more of them."""
    space, needs = code.space, edit.needs
    references = [code_in(space.name, space.generator, 2 + i) for i in range(len(needs.references))]
    pictures = [to_pil(drawn.draw())[0] for drawn in (code, *references)] if needs.pictures else [None]
    preset = read_preset("mine", {**STEP, "space": space.name, "init": "random"})
    return EditInputs(
        mask=torch.ones(1, 1, 64, 64).tril() if needs.mask else None,
        picture=pictures[0],
        reference_pictures=pictures[1:],
        preset=preset if needs.context else None,
        context=Context(generator=space.generator, encoder=hfgi(space.generator)) if needs.context else None,
        code=code,
        directions=[(direction_in(space.direction_space), 1.0)] if edit.needs.direction else [],
        references=references,
    )


def synthesise(edit: str, code: Code, directions: list[tuple[Direction, float]], amount: float) -> Tensor:
    inputs = EditInputs(code=code, directions=directions)
    return code.space.generator.synthesize(EDITS[edit].apply(inputs, amount))


@pytest.fixture(params=NAMES)
def code(request: pytest.FixtureRequest, tiny_generator: MobileStyleGAN) -> Code:
    return code_in(request.param, tiny_generator, noise=True)


def applicable(edit: Edit, code: Code) -> bool:
    if isinstance(edit, Realign):
        return code.space.name.startswith("c")
    return edit.needs.part == "all" or "/" in code.space.name


@pytest.mark.parametrize("name", EDITS)
def test_amount_0_is_the_reconstruction(name: str, code: Code) -> None:
    edit = EDITS[name]
    if not applicable(edit, code):
        with pytest.raises(UnsupportedError, match=r"such as (pad/wplus or f16/wplus|hfgi)"):
            edit.check_space(code.space, [])
        return
    inputs = inputs_of(edit, code)
    still, moved = (np.asarray(draw_edit(edit, inputs, amount), int) for amount in (0.0, 2.0))
    assert np.abs(still - np.asarray(to_pil(code.draw())[0], int)).max() <= 1
    assert np.abs(still - moved).max() > 2


@pytest.mark.parametrize("name", EDITS)
def test_inputs_that_do_not_go_with_the_edit_are_refused(name: str, tiny_generator: MobileStyleGAN) -> None:
    edit = EDITS[name]
    space = "c32/wplus" if isinstance(edit, Realign) else "pad/wplus"
    code = code_in(space, tiny_generator)
    good = inputs_of(edit, code)
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"references": [*good.references, code]}, ParamsError, "reference images"),
    ]
    if edit.needs.mask:
        wrong.append(({"mask": None}, ParamsError, r"wanted a mask; name a picture \(mask: NAME\)"))
    else:
        wrong.append(({"mask": torch.ones(1, 1, 64, 64)}, ParamsError, "wanted no mask; leave it out"))
    if edit.needs.pictures:
        wrong.append(({"picture": None}, ParamsError, "wanted the crops"))
    if edit.needs.context:
        wrong += [
            ({name: None}, ParamsError, "wanted the method that found the codes") for name in ("preset", "context")
        ]
    if edit.needs.direction:
        wrong.append(({"directions": []}, ParamsError, r"name one \(direction: smile\)"))
        wrong.append(({"directions": [(direction_in("z"), 1.0)]}, UnsupportedError, f"lives in z, {space} codes move"))
    else:
        wrong.append(({"directions": [(direction_in("w"), 1.0)]}, ParamsError, "wanted no direction"))
    if edit.needs.references:
        wrong.append(({"references": good.references[1:]}, ParamsError, "reference images .*name photographs"))
        other = [code_in("wplus", tiny_generator, 2)] * len(good.references)
        wrong.append(({"references": other}, UnsupportedError, "has variables"))
        several = dataclasses.replace(other[0], variables={**code.variables, "ws": torch.zeros(1, 3, 16)})
        wrong.append(({"references": [several] * len(other)}, ShapeError, "ws"))
    for change, error, message in wrong:
        with pytest.raises(error, match=message):
            draw_edit(edit, dataclasses.replace(good, **change), 1.0)
    for amount in (math.nan, math.inf):
        with pytest.raises(ParamsError, match="amount: wanted a number"):
            draw_edit(edit, good, amount)


@pytest.mark.parametrize("name", EDITS)
def test_options_are_the_fields_of_the_edit(name: str) -> None:
    assert make_edit(name) == EDITS[name]
    with pytest.raises(ParamsError, match=r"options: unknown keys \['speed'\]"):
        make_edit(name, {"speed": 1})


def test_options_and_names_are_checked() -> None:
    assert make_edit("shift", {"motion": "geodesic"}) == EDITS["geodesic"]
    assert make_edit("interpolate", {"part": "detail"}) == EDITS["blend"]
    with pytest.raises(UnknownNameError, match="Did you mean 'geodesic'"):
        make_edit("geodesics")
    with pytest.raises(UnknownNameError, match="Did you mean 'detail'"):
        make_edit("transfer", {"part": "details"})
    with pytest.raises(ParamsError, match=r"options\.motion: wanted one of"):
        make_edit("shift", {"motion": "stepwise"})


@pytest.mark.parametrize("name", ["wplus", "s", "f16/wplus"])
def test_in_flat_spaces_all_motions_are_one(name: str, tiny_generator: MobileStyleGAN) -> None:
    code, directions = code_in(name, tiny_generator), [(direction_in("w"), 1.0)]
    first, *others = (synthesise(edit, code, directions, 2.0) for edit in SHIFTS)
    assert all(torch.equal(other, first) for other in others)


@pytest.mark.slow
@pytest.mark.parametrize("edit", SHIFTS)
def test_the_order_of_directions_does_not_matter(edit: str, tiny_generator: MobileStyleGAN) -> None:
    code = code_in("zplus", tiny_generator)
    vector = np.eye(16)[3]
    moves = [(direction_in("z", (2, 6)), 2.0), (Direction("age", "z", "test", vector, 1.0, 0, 8), -1.0)]
    forth, back = (synthesise(edit, code, order, 1.0) for order in (moves, moves[::-1]))
    torch.testing.assert_close(forth, back, rtol=1e-5, atol=1e-5)
    halves = [(direction, share / 2) for direction, share in moves]
    torch.testing.assert_close(forth, synthesise(edit, code, halves, 2.0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("amount", [-3.0, 0.5, 3.0])
def test_edits_of_zplus_in_closed_form(amount: float, tiny_generator: MobileStyleGAN) -> None:
    code, direction = code_in("zplus", tiny_generator), direction_in("z", (2, 6))
    z, radius, length = code.variables["z"][0].double(), 4.0, 1.5 * amount  # sqrt(16); the unit is 1.5
    along = torch.from_numpy(direction.vector)
    theta = torch.acos((z @ along) / radius)
    turned = 2 * torch.atan(torch.tan(theta / 2) * math.exp(-length / radius))
    across = z - (z @ along)[:, None] * along
    across = across / across.norm(dim=1, keepdim=True)
    flow = radius * (turned.cos()[:, None] * along + turned.sin()[:, None] * across)
    once = z + length * along
    once = once * (radius / once.norm(dim=1, keepdim=True))
    for edit, moved in (("shift", once), ("geodesic", flow), ("stepped", flow)):
        expected = z.clone()
        expected[2:6] = moved[2:6]
        ws = tiny_generator.map_rows(expected.float()[None])
        drawn = EDITS[edit].apply(EditInputs(code=code, directions=[(direction, 1.0)]), amount).ws
        assert drawn is not None
        error = float((drawn - ws).norm() / ws.norm())
        assert error < (1e-3 if edit == "stepped" else 1e-5)


def test_the_picture_of_shift_needs_no_retraction(tiny_generator: MobileStyleGAN) -> None:
    """The mapping network normalises z."""
    code, direction = code_in("zplus", tiny_generator), direction_in("z")
    plain = code.variables["z"] + torch.from_numpy(direction.step(2.0))
    expected = tiny_generator.synthesize(ws=tiny_generator.map_rows(plain))
    torch.testing.assert_close(synthesise("shift", code, [(direction, 1.0)], 2.0), expected, rtol=1e-4, atol=1e-4)


def test_realign_reads_the_distortion_of_the_edited_picture(tiny_generator: MobileStyleGAN) -> None:
    code, edit = code_in("c32/wplus", tiny_generator), EDITS["realign"]
    inputs = inputs_of(edit, code)
    assert inputs.context is not None and inputs.picture is not None
    encoder = inputs.context.require_encoder()
    assert isinstance(encoder, Encoder)
    moved, drawn = EDITS["shift"].apply(inputs, 2.0), edit.apply(inputs, 2.0)
    assert moved.ws is not None and drawn.ws is not None and moved.scales is not None and moved.deltas is not None
    assert torch.equal(drawn.ws, moved.ws)
    assert torch.equal(moved.scales["x32"], code.variables["scale"])  # shift leaves the modulation in place
    head = cast(ConsultationHead, encoder.part("consultation"))
    still, edited = (tiny_generator.synthesize(ws=ws, px=head.px) for ws in (code.variables["ws"], moved.ws))
    with torch.no_grad():
        wanted = head.consult(from_pil([inputs.picture]), still, edited)
    for name, given in (("scale", drawn.scales), ("shift", drawn.deltas)):
        assert given is not None and torch.equal(given["x32"], wanted[name]) and wanted[name].any()

    # Of several encoders the last one's, and none without the head.
    last, rows = hfgi(tiny_generator), EncoderSpec(backbone="ir18", heads={"single": {}}, input_px=32)
    torch.nn.init.ones_(cast(ConsultationHead, last.part("consultation")).reader.shift[1].bias)  # type: ignore[union-attr, arg-type]
    plain = Encoder(rows, tiny_generator)
    for members, same in (([last, encoder, plain], True), ([encoder, last], False)):
        context = Context(generator=tiny_generator, encoder=JointEncoder(members))
        again = edit.apply(dataclasses.replace(inputs, context=context), 2.0)
        assert again.deltas is not None and torch.equal(again.deltas["x32"], wanted["shift"]) == same
    with pytest.raises(UnsupportedError, match="the encoder has no head consultation"):
        edit.check(
            dataclasses.replace(inputs, context=Context(generator=tiny_generator, encoder=JointEncoder([plain]))), 1.0
        )
