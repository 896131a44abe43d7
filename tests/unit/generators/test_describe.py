"""What a file is, for a person; and checkpoints made files of our own."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ganvert import tables
from ganvert.base.errors import CheckpointError, InputError, ParamsError, TableError
from ganvert.base.files import sha256_of
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.generators import load_generator
from ganvert.generators.convert import import_generator
from ganvert.generators.describe import describe
from ganvert.generators.mobile_stylegan import MobileStyleGAN


def test_a_generator(tiny_generator: MobileStyleGAN, tiny_generator_file: Path) -> None:
    facts = describe(tiny_generator_file)
    assert (facts["kind"], facts["format"], facts["architecture"]) == ("generator", "ganvert", "mobile_stylegan")
    assert (facts["resolution"], facts["image channels"], facts["z"]) == ("64 px", 3, 16)
    assert (facts["ws"], facts["classes"]) == ("8 rows of 16", "none")
    assert facts["fingerprint"] == tiny_generator.fingerprint()
    assert f"{sum(value.numel() for value in tiny_generator.parameters()):,} parameters" in facts["numbers"]
    for slot in tiny_generator.style_layout:
        assert f"{slot.name} {slot.width} (row {slot.row}" in facts["styles"]
    assert all(point.name in facts["feature points"] for point in tiny_generator.feature_points)
    assert all(conv.name in facts["paddable"] for conv in tiny_generator.paddable)
    assert facts["noise maps"].startswith("4x4, 8x8")


def test_other_weights_and_files_that_are_nothing(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(3)}, tmp_path / "other.safetensors", {"kind": "something", "generator": "abc"})
    facts = describe(tmp_path / "other.safetensors")
    assert (facts["kind"], facts["generator"], facts["tensors"]) == ("something", "abc", 1)
    save_file({"x": torch.zeros(3)}, tmp_path / "bare.safetensors")
    (tmp_path / "text.pkl").write_text("no pickle at all")
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("bare.safetensors", "text.pkl", "empty.pt"):
        with pytest.raises(CheckpointError, match=name):
            describe(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        describe(tmp_path / "none.pkl")


def test_an_encoder(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    spec = EncoderSpec(backbone="residual", heads={"dense": {"code": 4}}, input_px=8)
    encoder = Encoder(spec, tiny_generator)
    encoder.save(tmp_path / "encoder.safetensors", "how it was made")
    facts = describe(tmp_path / "encoder.safetensors")
    assert (facts["kind"], facts["note"]) == ("encoder", "how it was made")
    assert facts["generator"] == tiny_generator.fingerprint()
    spec = json.loads(facts["encoder"])
    assert (spec["space"], spec["backbone"], spec["heads"]) == ("wplus", "residual", {"dense": {"code": 4}})
    state = encoder.trained_state()
    assert facts["tensors"] == len(state)
    assert facts["numbers"] == f"{sum(value.numel() for value in state.values()):,}"


def test_import_keeps_the_generator_and_says_where_it_is_from(tiny_generator_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    facts = import_generator(tiny_generator_file, out)
    assert facts["source sha256"] == sha256_of(tiny_generator_file)
    assert (
        load_generator(out).fingerprint() == facts["fingerprint"] == load_generator(tiny_generator_file).fingerprint()
    )
    with safe_open(str(out), "pt") as file:
        metadata = file.metadata()
    assert metadata["source_sha256"] == facts["source sha256"]
    assert (metadata["source_format"], metadata["classes"], metadata["ignored"]) == ("ganvert", "0", "[]")
    assert describe(out)["source_format"] == "ganvert"

    out.write_bytes(b"mine")
    with pytest.raises(InputError, match="--force"):
        import_generator(tiny_generator_file, out)
    import_generator(tiny_generator_file, out, force=True)
    assert load_generator(out).fingerprint() == facts["fingerprint"]
    with pytest.raises(ParamsError, match=r"\.safetensors"):
        import_generator(tiny_generator_file, tmp_path / "out.pkl")
    with pytest.raises(InputError, match="no such file"):
        import_generator(tmp_path / "none.pkl", tmp_path / "other.safetensors")
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x04N.")
    with pytest.raises(CheckpointError):
        import_generator(tmp_path / "bad.pkl", tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    tables.write(path, tables.RECONSTRUCTIONS, [{"image_id": "a", "method": "w", "png": b"x"}], {"note": "plain"})
    assert describe(path)["note"] == "plain"
    assert describe(path)["columns"] == "image_id (string), method (string), png (binary)"
    whole, random = path.read_bytes(), np.random.default_rng(0)
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"note": b"\xff\xfe"}), path)
    assert describe(path)["note"] == "\ufffd\ufffd"
    for _ in range(300):  # described, or refused
        changed = bytearray(whole)
        for place in random.integers(4, len(whole), size=3):
            changed[place] = int(random.integers(256))
        path.write_bytes(bytes(changed))
        with contextlib.suppress(TableError):
            describe(path)
