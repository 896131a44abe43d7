"""Encoder files of other tools become encoders of ours, and the generator in such a file a second one."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError, GanvertError, InputError, ParamsError
from ganvert.base.files import sha256_of
from ganvert.checkpoints import rosinality
from ganvert.checkpoints.base import Content
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.read import read_checkpoint
from ganvert.checkpoints.tensors import Joined, check_floats, finite
from ganvert.encoders import Encoder
from ganvert.encoders.base import write_encoder
from ganvert.exchange.encoder_files import ENCODER_FILES, EncoderFile, ForeignEncoder, ReadOptions
from ganvert.generators import Generator, build_generator, load_generator
from ganvert.generators.convert import check_import, import_generator, save_import
from ganvert.networks.blank import Blank

__all__ = ["cut_rows", "encoder_state", "import_weights"]

ENABLED = "heads.progressive.enabled"
_BLOCK = re.compile(r"heads\.\w+\.blocks\.(\d+)\.")


def import_weights(
    path: Path,
    out: Path,
    *,
    generator: Path | None = None,
    kind: str | None = None,
    feature_px: int = 16,
    force: bool = False,
) -> dict[Path, dict[str, Any]]:
    """Convert a file of weights to our own format: a generator, or an encoder and the generator it comes with.

    Args:
        path: of any format in ``ganvert.checkpoints.FORMATS`` or ``ganvert.exchange.encoder_files.ENCODER_FILES``;
            nothing in it is executed.
        out: the safetensors file to write. The generator of an encoder's file is written beside it, its stem followed
            by ``_generator``, unless `generator` is given.
        generator: the encoder's generator, where the file has none, or another copy of it.
        kind: e4e, psp, restyle_psp or restyle_e4e, where an encoder's file does not say which it is.
        feature_px: side of the feature map that BDInvert's encoder predicts.
        force: replace existing files.

    Returns:
        The files written, each with its description.

    Raises:
        ParamsError: a name, or an option that does not fit the file; also what the file leaves open.
        InputError: a file exists, or `path` does not, or a generator is needed.
        CheckpointError: the file cannot be read, or its tensors do not fit.
    """
    check_import(path, out, force=force)
    # What is made of the file is written before its content is gone.
    content = dataclasses.replace(read_content(path), kept=True)
    family = next((family for family in ENCODER_FILES.values() if family.matches(content)), None)
    if family is None:
        if generator is not None or kind is not None:
            raise ParamsError(f"{path}: --generator and --as belong to encoders of other tools; this is none")
        return {out: import_generator(path, out, force=force, content=content)}
    foreign = _read(family, content, ReadOptions(kind=kind, feature_px=feature_px), path)
    if generator is not None:
        model = load_generator(generator)
        state = encoder_state(foreign, model, content, path)
        written, source, owner = {}, sha256_of(path), model.fingerprint()
    elif not rosinality.matches(content):
        raise InputError(f"{path}: an encoder of {foreign.tool} without a generator: give its own with --generator")
    else:
        generator = out.with_name(f"{out.stem}_generator.safetensors")
        check_import(path, generator, force=force)
        checkpoint = read_checkpoint(path, content)
        model = build_generator(checkpoint.architecture, checkpoint.state, checkpoint.config, str(path))
        # All is checked before anything is written.
        state = encoder_state(cut_rows(foreign, model.num_ws), model, content, path)
        written = {generator: save_import(path, checkpoint, model, generator)}
        source, owner = (written[generator][name] for name in ("source sha256", "fingerprint"))
    note = f"imported from {path.name} ({foreign.tool}), sha256 {source}"
    write_encoder(out, foreign.spec, state, owner, note)
    return {out: _describe(foreign, own_mean="w_avg" in state, generator=generator), **written}


def _read(family: EncoderFile, content: Content, options: ReadOptions, path: Path) -> ForeignEncoder:
    try:
        return family.read(content, options)
    except (CheckpointError, ParamsError) as error:
        raise type(error)(f"{path}: {error}") from error
    except Exception as error:  # a file whose names match but whose values do not can raise anything
        raise CheckpointError(f"{path}: not an encoder that is read ({type(error).__name__}: {error})") from error


def cut_rows(foreign: ForeignEncoder, rows: int) -> ForeignEncoder:
    """Drop the rows that the file's own generator does not have: some releases predict 18 whatever it is."""
    if foreign.rows is None or foreign.rows <= rows:
        return foreign
    tensors = {
        name: value
        for name, value in foreign.tensors.items()
        if not ((match := _BLOCK.match(name)) and int(match[1]) >= rows)
    }
    if ENABLED in tensors:
        tensors[ENABLED] = torch.tensor(rows - 1)
    return dataclasses.replace(foreign, tensors=tensors, rows=rows)


def encoder_state(
    foreign: ForeignEncoder, generator: Generator, content: Content, path: Path
) -> dict[str, Tensor | Joined]:
    """Return the tensors of an encoder's weights file; views of the file that they were read from.

    Args:
        foreign: the encoder.
        generator: that it belongs to.
        content: the file.
        path: of the file.

    Raises:
        CheckpointError: tensors are missing or do not fit the generator, or numbers are not finite.
    """
    rows, num_ws = foreign.rows, generator.num_ws
    if rows is not None and rows != num_ws:
        raise CheckpointError(
            f"{path}: an encoder of {rows} rows of ws ({2 ** (rows // 2 + 1)} px of a StyleGAN2), but the "
            f"generator has {num_ws} ({generator.resolution} px): give the one it was trained for with --generator"
        )
    try:
        with Blank():
            wanted = Encoder(foreign.spec, generator).state_dict()
    except GanvertError as error:
        raise CheckpointError(f"{path}: an encoder of {foreign.tool} does not fit the generator: {error}") from error
    del wanted["w_avg"]
    state = dict(foreign.tensors)
    for name in wanted:
        if name.endswith("num_batches_tracked"):  # it decides nothing, and older files lack it
            state.setdefault(name, torch.tensor(0))
    if missing := sorted(wanted.keys() - state.keys()):
        raise CheckpointError(f"{path}: {foreign.tool}: {len(missing)} tensors are missing: {', '.join(missing[:3])}")
    if unexpected := sorted(state.keys() - wanted.keys()):
        raise CheckpointError(f"{path}: {foreign.tool}: not part of its encoder: {', '.join(unexpected[:3])}")
    for name, value in wanted.items():
        if state[name].shape != value.shape:
            raise CheckpointError(
                f"{path}: {foreign.tool}: {name} has shape {list(state[name].shape)}, wanted {list(value.shape)}"
            )
    if (mean := foreign.mean) is not None:
        if mean.numel() not in (1, generator.w_dim):
            raise CheckpointError(f"{path}: latent_avg has {mean.numel()} numbers, the generator's w {generator.w_dim}")
        mean = mean.expand(generator.w_dim)
        if not torch.equal(mean, generator.w_avg):
            state["w_avg"], wanted["w_avg"] = mean, generator.w_avg
    floats = [name for name, value in wanted.items() if value.is_floating_point()]
    parts = {f"{name}{i or ''}": part for name in floats for i, part in enumerate(_parts(state[name]))}
    check_floats(content, parts, str(path))
    if bad := next((name for name, part in parts.items() if not finite(part)), None):
        raise CheckpointError(f"{path}: {bad}: wanted finite numbers, got others; the file is of a failed training")
    return {name: value.to(wanted[name].dtype) for name, value in state.items()}


def _parts(value: Tensor | Joined) -> tuple[Tensor, ...]:
    return value.parts if isinstance(value, Joined) else (value,)


def _describe(foreign: ForeignEncoder, *, own_mean: bool, generator: Path) -> dict[str, Any]:
    spec = foreign.spec
    return {
        "kind": "encoder",
        "tool": foreign.tool,
        "space": spec.space,
        "backbone": spec.backbone,
        "neck": spec.neck,
        "heads": ", ".join(spec.heads),
        "input": f"{spec.input_px} px",
        "passes": spec.passes,
        "mean w": "its own" if own_mean else "the generator's",
        "generator": str(generator),
        "notes": "; ".join(foreign.notes) or "none",
    }
