"""params.yaml with any value replaced by an odd one: read, or refused in one line with the path of the key."""

from __future__ import annotations

import copy
import datetime
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganvert import tables
from ganvert.base import params
from ganvert.base.errors import GanvertError, InputError, ParamsError, UnknownNameError
from ganvert.base.preset_files import ENCODERS, METHODS, Presets
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.presets import read_preset
from ganvert.training import TrainOptions
from stages import inputs
from stages.sections import SECTIONS
from stages.settings import check_files, check_for, check_references, read_settings

ROOT = Path(__file__).parents[3]
RAW = params.load(ROOT / "params.yaml")
FOLDERS = [ROOT / "presets"]
NAN = float("nan")
ODD: list[Any] = [
    *(None, True, -1, 0, 10**30, -(10**5000), 1.5, NAN, float("inf"), "", "x", "a\nb", "x" * 9999, b"x"),
    *([], {}, [[]], [None], [{}], ["x"], [NAN], {"a": 1}, {1: 2}, {None: None}, {"x": []}, {"x": {"x": {}}}),
    *({"a\nb": 1}, datetime.date(2001, 1, 1), {datetime.date(2001, 1, 1): NAN}, {10**5000: 1}),
]
# A method whose encoder the run trains itself; others of params.yaml start from weights of the FFHQ generator.
ONE_METHOD: dict[str, Any] = {
    "methods": {"encoder_wplus": "data/encoders/wplus.safetensors"},
    "first": {},
    "options": {},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every part of a value, the leaves included."""
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


def with_odd_values(raw: Any) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """Yield the path of a part, the odd value, and the whole with the part replaced by it."""
    for path in places(raw):
        for odd in ODD:
            whole = copy.deepcopy(raw)
            here = whole
            for key in path[:-1]:
                here = here[key]
            here[path[-1]] = odd
            yield path, odd, whole


def refused(read: Any, where: str) -> bool:
    """Return whether reading ends in a typed error; it has one short line and names the place."""
    try:
        read()
    except GanvertError as error:
        assert where in str(error)
        assert "\n" not in str(error)
        assert len(str(error)) < 3000
        return True
    return False


@pytest.mark.parametrize("name", SECTIONS)
def test_any_replaced_value_of_a_section_is_read_or_refused(name: str) -> None:
    count = 0
    for _, _, whole in with_odd_values({name: RAW[name]}):
        count += refused(lambda value=whole[name]: params.build(SECTIONS[name], value, name), name)
    assert count > len(ODD) // 2


@pytest.mark.parametrize("name", ["cpu_near_perfect", "barbershop", "cpu_dhr"])
def test_any_replaced_value_of_a_method_is_read_or_refused(name: str) -> None:
    raw = Presets(METHODS, folders=FOLDERS).resolve(name).options
    assert sum(
        refused(lambda value=whole: read_preset(name, value, "HERE"), "HERE") for *_, whole in with_odd_values(raw)
    )


def test_any_replaced_value_of_an_encoder_is_read_or_refused() -> None:
    raw = Presets(ENCODERS, folders=FOLDERS).resolve("restyle_e4e").options
    for *_, whole in with_odd_values(raw):
        refused(lambda value=whole: params.build(TrainOptions, value, "HERE"), "HERE")


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        (("edit", "paste", "feather"), NAN, "edit.paste.feather: wanted a number that is finite, got nan"),
        (("invert", "seed"), 2**64, r"invert.seed: wanted a number below 2\^63"),
        (("invert", "methods", "my enc"), "x", "invert: methods: wanted names of letters, digits.*'my enc'"),
        (("invert", "methods", "enc(2)"), "x", r"'enc\(2\)'"),
        (("invert", "methods", "encoder"), [], "methods.encoder: wanted at least one file"),
        (("invert", "methods", "w"), ["x", "y"], r"invert.methods.w: starts from no encoder.*got \['x', 'y'\]"),
        (("invert", "first", "balanced"), 0, "first.balanced: wanted 1 or more, got 0"),
        (("invert", "first", "other"), 1, r"method in invert.methods \(invert.first\) 'other'"),
        (("train_encoder", "encoders", "-x"), "x", "train_encoder: encoders: wanted names.*'-x'"),
        (("train_encoder", "encoders", "a.b"), "x", "'a.b'"),
        (("discover", "methods", "ganspace", "components"), [1], "discover.methods.ganspace.components: wanted int"),
        (("invert", "options", "mine"), {"extends": {}}, "invert.options.mine.extends: wanted the name"),
        (("invert", "options", "mine"), {"inverter": ["adam"]}, r"unknown inverter in invert.options.mine \['adam'\]"),
        ((7,), {}, "unknown sections"),
        (("device",), {10**5000: 1}, "device: wanted auto, cpu .*a number of 16610 bits"),
        (("invert", "options", "mine"), {"extends": "x" * 9999}, "mine: extends .*xxx"),
        (("invert", "options", "mine"), {"extends": [0] * 2000}, r"mine.extends: wanted the name .*\.\.\.\]$"),
    ],
)
def test_messages(where: tuple[Any, ...], value: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    raw = copy.deepcopy(RAW)
    here = raw
    for key in where[:-1]:
        here = here[key]
    here[where[-1]] = value
    with pytest.raises(GanvertError, match=says):
        read_settings(raw)


def test_a_mistyped_direction_stops_before_any_inversion(
    tiny_generator: MobileStyleGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    raw = copy.deepcopy(RAW)
    for section in ("evaluate", "extract"):
        raw[section]["metrics"] = []
    raw["discover"]["methods"] = {"interfacegan": {"attributes": {"smile": {}}, "spaces": ["w"]}}
    raw["invert"] |= ONE_METHOD
    raw["edit"] = {"method": "encoder_wplus", "edits": {"mine": {"direction": "smile"}}}
    check_for(tiny_generator, read_settings(raw))
    raw["edit"]["edits"] = {"mine": {"direction": "smiel"}}
    with pytest.raises(UnknownNameError, match=r"direction in w \(edit.edits.mine.direction\) 'smiel'.*'smile'"):
        check_for(tiny_generator, read_settings(raw))
    for rows, fits in {"0:4": True, "0:99": False, "all": False}.items():
        raw["edit"]["edits"] = {"mine": {"direction": f"smile@{rows}"}}
        with nullcontext() if fits else pytest.raises(ParamsError, match=r"edits\.mine\.direction smile@: rows"):
            check_for(tiny_generator, read_settings(raw))
    raw["discover"]["methods"]["ganspace"] = {"components": 2}
    raw["edit"]["edits"] = {"mine": {"direction": "ganspace_1"}}
    check_for(tiny_generator, read_settings(raw))
    raw["edit"]["edits"] = {"mine": {"direction": "ganspace_2"}}
    with pytest.raises(UnknownNameError, match="ganspace_2"):
        check_for(tiny_generator, read_settings(raw))


def test_no_encoder_to_train_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    raw = copy.deepcopy(RAW)
    raw["train_encoder"]["encoders"] = {}
    assert read_settings(raw).train_encoder.encoders == {}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
MERGES = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "wanted at most 20000 values"),
        (MERGES, "wanted at most 20000 values"),
        ("a: &a [*a]", "inside of what it names"),
        ("a: &a {b: *a}", "inside of what it names"),
        ("[" * 5000, "not valid YAML"),
        ("[" * 100 + "]" * 100, "more than 50 deep"),
        ("a: 2001-99-99", "not valid YAML"),
        ("a: !!timestamp x", "not valid YAML"),
        ("a: !!int x", "not valid YAML"),
        ("a: !!bool x", "not valid YAML"),
        ("a: " + "9" * 6000, "not valid YAML"),
        ("{[a]: b}", "not valid YAML"),
        ("{{a: b}: c}", "not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("", "wanted a mapping, got NoneType"),
        ("a: [" + "1, " * 200_000 + "]", "at most 256 KB"),
    ],
)
def test_hostile_yaml_is_refused_in_one_line_and_soon(text: str, says: str, tmp_path: Path) -> None:
    path, start = tmp_path / "params.yaml", time.monotonic()
    path.write_text(text)
    with pytest.raises(ParamsError, match=says) as caught:
        params.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 20


def test_numbers_are_those_of_dvc(tmp_path: Path) -> None:
    """YAML 1.2, which DVC reads, knows 1e-2 as a number; PyYAML alone reads text."""
    path = tmp_path / "params.yaml"
    path.write_text("a: [1e-2, 1.5E3, -2e+1, .5e1, 1e2x, e5]")
    assert params.load(path)["a"] == [0.01, 1500.0, -20.0, 5.0, "1e2x", "e5"]
    assert yaml.safe_load(path.read_text())["a"][0] == "1e-2"


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="cannot be read"):
        params.load(tmp_path)


def adapted(**sections: Any) -> dict[str, Any]:
    """Return params.yaml for the small generator, with some keys replaced."""
    raw = copy.deepcopy(RAW)
    for section in ("evaluate", "extract"):
        raw[section]["metrics"] = []
    raw["discover"]["methods"] = {"random": {"count": 1}}
    raw["invert"] |= ONE_METHOD
    raw["edit"] |= {"method": "encoder_wplus", "edits": {}}
    for name, values in sections.items():
        raw[name] = {**raw[name], **values}
    return raw


def test_what_does_not_go_with_the_generator_is_found_before_any_stage(
    tiny_generator: MobileStyleGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    check_for(tiny_generator, read_settings(adapted()))
    shipped = "ganvert/weights/wplus_ffhq.safetensors"  # the FFHQ generator's
    methods = ONE_METHOD["methods"]
    masked = {"extends": "wplus", "objective": [{"loss": "mse", "mask": "no-such.png"}]}
    mistakes: dict[str, dict[str, Any]] = {
        "invert.methods.encoder: .*an encoder of generator": {"invert": {"methods": {**methods, "encoder": shipped}}},
        "invert.methods.mine: .*no-such.png": {
            "invert": {"methods": {**methods, "mine": RAW["generator"]["path"]}, "options": {"mine": masked}}
        },
    }
    for says, sections in mistakes.items():
        with pytest.raises(GanvertError, match=says):
            check_for(tiny_generator, read_settings(adapted(**sections)))


@pytest.mark.parametrize(
    ("section", "values", "says"),
    [
        ("invert", {"methods": {"encoder_wplus": "no/such"}}, "invert.methods.encoder_wplus: no/such: there is no"),
        ("train_encoder", {"encoders": {"wplus": "no/such"}}, "train_encoder.encoders.wplus: no/such: there is no"),
        ("train_encoder", {"photos": "no/such"}, "train_encoder.photos: no/such: there is no"),
        ("sample", {"known": "no/such"}, "sample.known: no/such: there is no"),
        ("sample", {"tables": ["no/such"]}, r"sample.tables\[0\]: no/such: there is no"),
    ],
)
def test_files_that_are_not_there_are_found_before_any_stage(
    section: str, values: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    check_files(read_settings(RAW))
    with pytest.raises(InputError, match=says):
        check_files(read_settings(adapted(**{section: values})))


def test_photographs_that_are_none_of_the_runs_are_found_before_any_inversion(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    settings = read_settings(adapted(edit={"edits": {"mine": {"edit": "interpolate", "references": ["a.jpg"]}}}))
    monkeypatch.setattr(inputs, "ALIGNED", tmp_path / "aligned.parquet")
    row = dict.fromkeys(tables.ALIGNED.schema().names, "x") | {"face": 0, "resolution": 8, "crop": b""}
    row |= {"quad": [0.0] * 8, "landmarks": None}
    tables.write(inputs.ALIGNED, tables.ALIGNED, [{**row, "image_id": "b-0", "path": "photos/b.jpg"}])
    with pytest.raises(InputError, match=r"edit.edits.mine.references: .*there is no 'a.jpg'. Did you mean 'b.jpg'"):
        check_references(settings)
    tables.write(inputs.ALIGNED, tables.ALIGNED, [{**row, "image_id": "a-0", "path": "photos/a.jpg"}])
    check_references(settings)
