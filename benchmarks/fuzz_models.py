"""Files that claim to be weights, tables or params.yaml, with odd shapes, types and values: what `fuzz_inputs` reads.

Each function yields cases without end, equal ones for equal seeds: a name, and a function that writes and reads the
file. That returns what it was, or raises; anything but a GanvertError is a finding.
"""

from __future__ import annotations

import copy
import datetime
import functools
import io
import itertools
import json
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save
from torch import Tensor

from ganvert import tables as schemas
from ganvert.base import params as yaml_params
from ganvert.base.errors import GanvertError
from ganvert.base.preset_files import ENCODERS, METHODS, Presets
from ganvert.base.texts import brief
from ganvert.cli.export import export
from ganvert.codes import read_codes
from ganvert.directions import Direction, load_directions, save_directions
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits.shift import Shift
from ganvert.editing.render import draw_edit
from ganvert.encoders import Encoder, EncoderSpec, load_encoder
from ganvert.generators import load_generator, tuned
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import to_pil, to_png
from ganvert.inversion.presets import read_preset
from ganvert.spaces import make_space
from ganvert.training import TrainOptions
from stages.settings import read_settings

__all__ = ["CASES", "Case", "params", "tables", "weights"]

#: What a case is, and a function of a folder for its files that reads it.
Case = tuple[str, Callable[[Path], str]]
ROOT = Path(__file__).parents[1]
_TYPES = (torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.uint8, torch.bool)
_ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 7, 10**9, 2**63, 10**30, -(10**5000), 0.5, 1e300, float("nan"), float("inf"), "", "x"),
    *("a\nb", "../x", "x" * 9999, b"x", [], {}, [[]], [None], [{}], ["x"], [float("nan")], {"a": 1}, {1: 2}),
    *({None: None}, {"x": {"x": {}}}, datetime.date(2001, 1, 1), {10**5000: 1}, [0] * 2000),
)


@functools.cache
def _generator() -> MobileStyleGAN:
    """Return a generator of 16 px."""
    generator = MobileStyleGAN([8, 8], z_dim=8, w_dim=8, mapping_layers=2)
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in generator.state_dict().values():
            value.copy_(torch.randn(value.shape, generator=source) / 4)
    return generator.eval().requires_grad_(False)


@functools.cache
def _weights() -> dict[str, tuple[dict[str, Tensor], dict[str, str]]]:
    """Return tensors and metadata of a file of each kind."""
    generator = _generator()
    spec = EncoderSpec(backbone="residual", heads={"dense": {"code": 8, "norm": False}}, input_px=8)
    encoder = Encoder(spec, generator)
    deltas = {name: torch.full_like(value, 0.01) for name, value in list(generator.named_parameters())[:4]}
    owner = generator.fingerprint()
    metadata = {"kind": "encoder", "encoder": json.dumps(_plain(spec)), "generator": owner}
    return {
        "generator": (dict(generator.state_dict()), {"format": "ganvert", "architecture": "mobile_stylegan"}),
        "encoder": ({name: value.half() for name, value in encoder.trained_state().items()}, metadata),
        "tuned": (tuned.compact(deltas), {"kind": "ganvert/tuned", "generator": owner}),
    }


def _plain(spec: EncoderSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in EncoderSpec.__dataclass_fields__}


def weights(seed: int) -> Iterator[Case]:
    """Yield files that claim to be a default generator, an encoder, or tuned weights."""
    draw = random.Random(seed)
    for kind in itertools.cycle(sorted(_weights())):
        tensors, metadata = (dict(part) for part in _weights()[kind])
        changes = [_change_weights(tensors, metadata, draw) for _ in range(draw.choice((1, 1, 2, 4)))]
        huge = draw.random() < 0.03
        yield (
            f"{kind}: {', '.join(changes)}{', huge' * huge}",
            functools.partial(_read_weights, kind, tensors, metadata, huge),
        )


def _change_weights(tensors: dict[str, Tensor], metadata: dict[str, str], draw: random.Random) -> str:
    """Change tensors or metadata in one way, and say how."""
    name = draw.choice(sorted(tensors) or ["x"])
    value = tensors.get(name, torch.zeros(1))
    how = draw.choice(("drop", "rename", "shape", "shape", "shape", "type", "value", "add", "metadata", "spec", "spec"))
    if how == "drop":
        tensors.pop(name, None)
    elif how == "rename":
        parts = name.split(".")
        parts[draw.randrange(len(parts))] = draw.choice(("0", "7", "-1", "999999999", "", "x", "\u0661", "layers"))
        tensors[".".join(parts)] = tensors.pop(name, value)
    elif how == "shape":
        shape = list(value.shape)
        place = draw.randrange(len(shape) + 1)
        shape[place : place + draw.randrange(2)] = draw.choice(([], [0], [1], [2], [3], [97], [0, 0], [1, 1, 1]))
        tensors[name] = torch.zeros(draw.choice((shape, [], [0], shape[::-1], [1] * 9)), dtype=value.dtype)
    elif how == "type":
        tensors[name] = value.to(draw.choice(_TYPES))
    elif how == "value" and value.is_floating_point():
        odd = draw.choice((float("nan"), float("inf"), -1e38, 1e-45))
        tensors[name] = torch.full_like(value.float(), odd).to(value.dtype)
    elif how == "add":
        tensors[draw.choice(("layers.2.conv2.bias", "mapping.layers.9.weight", "x", "a" * 2000))] = value.clone()
    elif how == "metadata":
        key = draw.choice(sorted(metadata))
        metadata[key] = draw.choice(
            ("", "x", "stylegan2", "stylegan3", "generator", "encoder", "0" * 64, "{}", "[" * 9999)
        )
    else:
        return _change_spec(metadata, draw)
    return f"{how} {name[:40]}"


def _change_spec(metadata: dict[str, str], draw: random.Random) -> str:
    """Change a value of an encoder's spec, or add a configuration."""
    with suppress(ValueError, RecursionError):
        spec = json.loads(metadata.get("encoder", "{}"))
        if isinstance(spec, dict) and spec:
            path = draw.choice([*_places(spec), ("heads", "dense", "x"), ("heads", "x"), ("x",)])
            odd = draw.choice(
                (*_ODD[:17], [], {}, ["x"], {"x": 1}, "compact", "fpn", "pad/wplus", "f16/wplus", "vgg", 60_000)
            )
            _put(spec, path, odd)
            metadata["encoder"] = json.dumps(spec, default=str)
            return f"spec {'.'.join(map(str, path))}"
    metadata["config"] = draw.choice(("{", "[]", "NaN", "[" * 9999, '{"channels": [1e9]}', '{"x": ' + "9" * 6000 + "}"))
    return "config"


def _read_weights(kind: str, tensors: dict[str, Tensor], metadata: dict[str, str], huge: bool, folder: Path) -> str:
    path = folder / "x.safetensors"
    if kind == "tuned":  # the name is a digest of the content: one that fits, so that the content is looked at
        with suppress(Exception):
            path = folder / f"{tuned._digest(tensors)}.safetensors"
    data = save({name: value.contiguous() for name, value in tensors.items()}, metadata)
    path.write_bytes(_swollen(data) if huge else data)
    if huge:
        with path.open("r+b") as file:
            file.truncate(len(data) + (3 << 30))  # sparse
    generator = _generator()
    if kind == "generator":
        model = load_generator(path)
        to_pil(model.synthesize(ws=model.map(torch.zeros(1, model.z_dim))))
    elif kind == "encoder":
        encoder = load_encoder(path, generator)
        make_space("wplus", generator).adopt(encoder.encode(torch.zeros(1, 3, 16, 16)), [0])
    else:
        model = tuned.apply(generator, tuned.load(path, generator.fingerprint()))
        to_pil(model.synthesize(ws=model.w_avg.expand(1, model.num_ws, -1)))
    return "read"


def _swollen(data: bytes) -> bytes:
    """Return a safetensors file whose last tensor claims 3 GB more."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    name = max((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])
    one = {"F32": 4, "F16": 2}.get(header[name]["dtype"], 1)
    start, end = header[name]["data_offsets"]
    header[name] = {
        "dtype": header[name]["dtype"],
        "shape": [(end - start + (3 << 30)) // one],
        "data_offsets": [start, end + (3 << 30)],
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


@functools.cache
def _tables() -> dict[str, pa.Table]:
    """Return a small table of each kind."""
    generator, stream = _generator(), io.BytesIO()
    moves = [
        Direction("smile", "w", "test", np.eye(8)[0], 0.5, 0, generator.num_ws, {"r": 1.0}),
        Direction("age", "zplus", "test", np.eye(8)[:2] / 2**0.5, 0.5, 0, 2),
    ]
    path = Path(f"/dev/shm/ganvert-fuzz-{id(stream)}.parquet")
    try:
        save_directions(path, moves, {"generator": generator.fingerprint()})
        directions = pq.read_table(path)
    finally:
        path.unlink(missing_ok=True)
    codes = schemas.codes_table({"ws": [generator.num_ws, 8]})
    facts = {
        "method": "mine",
        "space": "wplus",
        "generator": generator.fingerprint(),
        "shapes": json.dumps({"ws": [generator.num_ws, 8]}),
        "options": "{}",
        "label": "",
        "encoder": "",
        "config": "",
    }
    row = {name: facts.get(name, "") for name in codes.schema().names}
    row |= {"steps": 1, "best_step": 0, "seed": 0, "tuned": None, "trace": [1.0], "status": "ok"}
    rows = [{**row, "image_id": f"{i}-0", "ws": [0.1 * i] * generator.num_ws * 8} for i in range(3)]
    png = to_png(to_pil(torch.zeros(1, 3, 16, 16))[0])
    plain = {pa.string(): "x", pa.float64(): 1.0, pa.int32(): 1, pa.binary(): png}
    edit = {field.name: None if field.nullable else plain[field.type] for field in schemas.EDITS.columns}
    return {
        "directions": directions,
        "codes": pa.Table.from_pylist(rows, codes.schema(facts)),
        "edits": pa.Table.from_pylist([{**edit, "image_id": f"{i}-0"} for i in range(3)], schemas.EDITS.schema()),
    }


def tables(seed: int) -> Iterator[Case]:
    """Yield tables of directions, codes and edits from outside: other types, values, lengths, rows, metadata, bytes."""
    draw = random.Random(seed)
    for kind in itertools.cycle(sorted(_tables())):
        table, changes = _tables()[kind], []
        for _ in range(draw.choice((1, 1, 2, 3))):
            with suppress(pa.ArrowException, ValueError, TypeError, OverflowError, KeyError):
                table, change = _change_table(table, draw)
                changes.append(change)
        flips = [(draw.random(), draw.randrange(256)) for _ in range(draw.choice((0, 0, 0, 1, 4)))]
        yield f"{kind}: {', '.join(changes)}, {len(flips)} bytes", functools.partial(_read_table, kind, table, flips)


def _change_table(table: pa.Table, draw: random.Random) -> tuple[pa.Table, str]:
    """Return the table with one thing changed, and what."""
    place = draw.randrange(table.num_columns)
    field, column = table.schema.field(place), table.column(place)
    how = draw.choice(("drop", "rename", "type", "value", "value", "value", "length", "rows", "metadata", "metadata"))
    if how == "drop":
        return table.remove_column(place), f"drop {field.name}"
    if how == "rename":
        return table.rename_columns([("x" if i == place else n) for i, n in enumerate(table.column_names)]), "rename"
    if how == "rows":
        return draw.choice((table.slice(0, 0), table.slice(1), pa.concat_tables([table, table]))), "rows"
    if how == "metadata":
        facts = dict(table.schema.metadata)
        key = draw.choice(sorted(facts))
        odd = draw.choice(
            (b"", b"x", b"{}", b"[]", b"null", b"-1", b"[" * 9999, b"9" * 6000, b"\xff", b"f16/wplus", None)
        )
        facts |= {key: odd} if odd is not None else {}
        if odd is None:
            del facts[key]
        elif key == b"shapes" and draw.random() < 0.7:
            shape = draw.choice(([], [10**12], [-1, -32], [0], [32], [2, 2, 8], "x", [1.5], [None], {}))
            facts[key] = json.dumps({draw.choice(("ws", "w", "noise_00", "x")): shape}).encode()
        return table.replace_schema_metadata(facts), f"metadata {key.decode()}"
    values = column.to_pylist()
    row = draw.randrange(len(values)) if values else 0
    kind = field.type
    if how == "type":
        kind = draw.choice((pa.string(), pa.int64(), pa.float64(), pa.binary(), pa.list_(pa.float32()), pa.null()))
        values = [None] * len(values) if draw.random() < 0.5 else [_as(kind, value) for value in values]
    elif how == "length" and values and isinstance(values[row], list):
        kind = pa.list_(pa.float32())
        values[row] = draw.choice(([], values[row][:-1], [*values[row], 1.0], values[row] * 2))
    elif values:
        values[row] = _odd_value(values[row], draw)
    new = pa.field(field.name, kind, nullable=True)
    return table.set_column(place, new, pa.array(values, kind)), f"{how} {field.name}"


def _as(kind: pa.DataType, value: Any) -> Any:
    if kind == pa.string():
        return str(value)
    if kind == pa.binary():
        return str(value).encode()
    return [1.0] if pa.types.is_list(kind) else 1


def _odd_value(value: Any, draw: random.Random) -> Any:
    """Return another value of the same type, or none."""
    if isinstance(value, list):
        numbers = list(value) or [0.0]
        numbers[draw.randrange(len(numbers))] = draw.choice((float("nan"), float("inf"), 1e38, 0.0, -1.0))
        return draw.choice((numbers, [0.0] * len(numbers), None))
    if isinstance(value, bytes):
        return draw.choice((b"", b"x", value[:60], b"GIF89a", None))
    if isinstance(value, str):
        return draw.choice(("", "x", "../../x", "a\nb\0", "z", "wplus", "x" * 99_999, '{"r": NaN}', "[" * 9999, None))
    if isinstance(value, float):
        return draw.choice((float("nan"), float("inf"), -1.0, 0.0, 1e300, None))
    return draw.choice((-1, 0, 1, 99, 2**31 - 1, -(2**31), None))


def _read_table(kind: str, table: pa.Table, flips: list[tuple[float, int]], folder: Path) -> str:
    path, stream, generator = folder / f"{kind}.parquet", io.BytesIO(), _generator()
    pq.write_table(table, stream)
    data = bytearray(stream.getvalue())
    for place, byte in flips:
        data[int(place * len(data))] = byte
    path.write_bytes(data)
    if kind == "directions":
        w = make_space("w", generator)
        code = _first_code(generator)
        for direction in load_directions(path, generator).values():
            if direction.moves_in == w.direction_space:
                draw_edit(Shift(), EditInputs(code=code, directions=[(direction, 1.0)]), 1.0)
    elif kind == "codes":
        for code in read_codes(path, generator):
            to_pil(code.draw())
    else:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            export(file=path, out=folder / "out", image=None)
    return "read"


@functools.cache
def _first_code(generator: MobileStyleGAN) -> Any:
    path = Path(f"/dev/shm/ganvert-fuzz-codes-{id(generator)}.parquet")
    try:
        pq.write_table(_tables()["codes"], path)
        return read_codes(path, generator)[0]
    finally:
        path.unlink(missing_ok=True)


_CRAFTED = (
    "a: &a [*a]",
    "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20)),
    "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 20)),
    "[" * 100_000,
    "{a: " * 5000,
    "a: " + "9" * 200_000,
    "a: 0x" + "f" * 200_000,
    "a: 1e" + "9" * 100_000,
    "a: " + ":".join(["59"] * 40_000),
    "? " * 5000 + "x",
    "a: !!python/object/apply:os.system [ls]",
    "a: !!binary x",
    "a: !!set {x, y}",
    "a: !!omap [x: 1]",
    "%YAML 9.9\n---\na: 1",
    "--- a\n--- b",
    "\ufeffdevice: cpu",
    "a: \udcff",
    "'" * 100_001,
    "&a " * 5000 + "x",
    "device: cpu\n" * 10_000,
    "a:\n" + "".join(" " * i + "a:\n" for i in range(400)),
    "- " * 20_000,
    "a: |\n" + " x\n" * 80_000,
    "x" * (256 << 10),
)


def params(seed: int) -> Iterator[Case]:
    """Yield params.yaml with one value replaced, and every fortieth time a crafted text."""
    draw = random.Random(seed)
    raw = yaml_params.load(ROOT / "params.yaml")
    folders = [ROOT / "presets"]
    methods, encoders = Presets(METHODS, folders=folders), Presets(ENCODERS, folders=folders)
    for number in itertools.count(1):
        if number % 40 == 0:
            text = draw.choice(_CRAFTED)
            yield f"crafted {text[:30]!r}", functools.partial(_read_text, text)
            continue
        odd = draw.choice(_ODD)
        where = draw.choice(("file", "file", "file", "file", "method", "encoder"))
        if where == "file":
            whole = copy.deepcopy(raw)
            path = draw.choice(list(_places(whole)))
            read: Callable[[Any], object] = read_settings
        else:
            presets = methods if where == "method" else encoders
            name = draw.choice(sorted(presets))
            whole = copy.deepcopy(dict(presets.resolve(name).options))
            path = draw.choice(list(_places(whole)))
            read = _method if where == "method" else _encoder
        _put(whole, path, odd)
        yield (
            f"{where} {'.'.join(map(str, path))} = {brief(odd)[:40]}",
            (functools.partial(_read_value, read, whole, path[0])),
        )


def _method(raw: Any) -> object:
    return read_preset("mine", raw, "HERE")


def _encoder(raw: Any) -> object:
    return yaml_params.build(TrainOptions, raw, "HERE")


def _read_value(read: Callable[[Any], object], whole: Any, key: Any, folder: Path) -> str:
    del folder
    try:
        read(whole)
    except GanvertError as error:
        text = str(error)
        named = "HERE" in text if read is not read_settings else str(key) in text
        if "\n" in text or len(text) > 4000 or not named:
            raise AssertionError(f"a message that names no place, or has several lines: {text[:300]!r}") from error
        raise
    return "read"


def _read_text(text: str, folder: Path) -> str:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    read_settings(yaml_params.load(path))
    return "read"


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every part of a value, leaves included."""
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, part in parts:
        yield from _places(part, (*path, key))


def _put(whole: Any, path: tuple[Any, ...], value: Any) -> None:
    """Replace the part of a value that a path leads to."""
    for key in path[:-1]:
        if isinstance(whole, Mapping) and not isinstance(whole.get(key), dict | list):
            return
        whole = whole[key]
    whole[path[-1]] = value


#: Kind to a function of a seed that yields its cases.
CASES: dict[str, Callable[[int], Iterator[Case]]] = {"weights": weights, "tables": tables, "params": params}
