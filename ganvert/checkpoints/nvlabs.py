"""NVlabs pickles (stylegan2-ada-pytorch, stylegan3): their tree of persistent modules, and their StyleGAN2.

Such a pickle holds, for every module, a call of ``_reconstruct_persistent_obj`` with one dict: the source text of the
class, which their code executes and we never look at, and the module's ``__dict__``, which has all tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content, Instance
from ganvert.checkpoints.stylegan2 import check_blurs, mean_w
from ganvert.checkpoints.tensors import take, visit

__all__ = [
    "NvlabsModule",
    "clamp_of",
    "discriminator_of",
    "ignored_of",
    "lr_multiplier_of",
    "matches",
    "network_of",
    "read",
]

FORMAT = "nvlabs_stylegan2"
PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"

# A StyleGAN has about a hundred modules, five deep.
_MOST_MODULES = 2000
_DEEPEST = 16


@dataclass(frozen=True, kw_only=True)
class NvlabsModule:
    """One module of a persistent network as data.

    Attributes:
        class_name: as the file spells it.
        parameters: own parameters by name.
        buffers: own buffers by name.
        modules: submodules by name.
        attributes: all other attributes of the object.
    """

    class_name: str
    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    modules: Mapping[str, NvlabsModule]
    attributes: Mapping[str, Any] = field(repr=False)

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Return parameters and buffers of the whole tree by dotted name, as in a ``state_dict``."""
        own = {prefix + name: value for name, value in {**self.parameters, **self.buffers}.items()}
        for name, module in self.modules.items():
            own |= module.tensors(f"{prefix}{name}.")
        return own

    def walk(self, prefix: str = "") -> Iterator[tuple[str, NvlabsModule]]:
        """Yield every module of the tree with its dotted name; this one's is `prefix`."""
        yield prefix, self
        for name, module in self.modules.items():
            yield from module.walk(f"{prefix}.{name}" if prefix else name)


def network_of(content: Content) -> NvlabsModule:
    """Return the generator of an NVlabs pickle: ``G_ema``, else ``G``, else the file's only object.

    Raises:
        CheckpointError: there is none, or it is not a tree of modules.
    """
    _, instance = _generator(content.root)
    if instance is None:
        raise CheckpointError("NVlabs pickle: neither G_ema nor G is a persistent network")
    return _tree(instance, "G")


def discriminator_of(content: Content) -> NvlabsModule | None:
    """Return the discriminator ``D`` of an NVlabs pickle, or None.

    Raises:
        CheckpointError: it is not a tree of modules.
    """
    instance = content.root.get("D") if isinstance(content.root, dict) else None
    return None if instance is None else _tree(instance, "D")


def ignored_of(content: Content) -> tuple[str, ...]:
    """Describe in words what :func:`network_of` left out."""
    if not isinstance(content.root, dict):
        return ()
    used, _ = _generator(content.root)
    rest = tuple(f"{name}: not the generator used" for name in content.root if name != used)
    return rest if used == "G_ema" else (f"no G_ema: {used} was used, whose weights are not averaged", *rest)


def _generator(root: Any) -> tuple[str, Instance | None]:
    if isinstance(root, dict):
        for name in ("G_ema", "G"):
            if _is_persistent(root.get(name)):
                return name, root[name]
        return "", None
    return "", root if _is_persistent(root) else None


def _is_persistent(value: Any) -> bool:
    return isinstance(value, Instance) and value.kind == PERSISTENT


def _tree(root: Instance, where: str) -> NvlabsModule:
    """Convert a persistent module and everything below it."""
    # Walks the whole tree within bounds before anything is built of it.
    for _ in visit(root, _children, f"NVlabs pickle: modules of {where}", limit=_MOST_MODULES, depth=_DEEPEST):
        pass
    return _module(root, where)


def _description(value: Any) -> dict[str, Any]:
    """Return the dict that describes a persistent module, with its ``state``; an empty one for anything else."""
    description = value.args[0] if _is_persistent(value) and len(value.args) == 1 else None
    return description if isinstance(description, dict) and isinstance(description.get("state"), dict) else {}


def _children(value: Any) -> list[tuple[str, Any]]:
    """Return names and instances of a module's submodules; nothing for anything else."""
    modules = _description(value).get("state", {}).get("_modules")
    if not isinstance(modules, dict):
        return []
    return [(str(name), child) for name, child in modules.items() if child is not None]


def _module(value: Any, where: str) -> NvlabsModule:
    description = _description(value)
    if not description:
        raise CheckpointError(f"NVlabs pickle: {where} is not a persistent module")
    tables, state = {}, description["state"]
    for name in ("_parameters", "_buffers", "_modules"):
        table = state.get(name)
        if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
            raise CheckpointError(f"NVlabs pickle: {where}.{name} is not a table of names")
        tables[name] = {key: entry for key, entry in table.items() if entry is not None}  # None: absent
    return NvlabsModule(
        class_name=str(description.get("class_name")),
        parameters=_tensors(tables["_parameters"], where),
        buffers=_tensors(tables["_buffers"], where),
        modules={name: _module(child, f"{where}.{name}") for name, child in tables["_modules"].items()},
        attributes={name: entry for name, entry in state.items() if name not in tables},
    )


def _tensors(table: dict[str, Any], where: str) -> dict[str, Tensor]:
    for name, value in table.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"NVlabs pickle: {where}.{name} is not a tensor")
    return cast("dict[str, Tensor]", table)


# --- StyleGAN2 -------------------------------------------------------------------------------------------------------


def matches(content: Content) -> bool:
    """Return whether the file holds an NVlabs StyleGAN2, of either repository."""
    try:
        synthesis = network_of(content).modules.get("synthesis")
    except CheckpointError:
        return False
    return synthesis is not None and "b4" in synthesis.modules


def read(content: Content) -> Checkpoint:
    """Read the averaged generator."""
    network = network_of(content)
    modules = dict(network.walk())
    config = {**clamp_of(modules), **lr_multiplier_of(modules)}
    _check_activations(modules)
    tensors = take(content, network.tensors(), FORMAT)
    blurs = {name: value for name, value in tensors.items() if name.endswith("resample_filter")}
    check_blurs(blurs, FORMAT, gain=1)
    unused = _unused_noise(modules)
    state = {name: value for name, value in tensors.items() if name not in blurs and name not in unused}
    _check_architecture(modules, state)
    ignored = ignored_of(content)
    mean = state.pop("mapping.w_avg", None)
    if mean is None:
        mean, ignored = mean_w(state, config.get("lr_multiplier", 0.01)), (*ignored, "assumed: w_avg from samples")
    return Checkpoint(
        format=FORMAT, architecture="stylegan2", state={**state, "w_avg": mean}, config=config, ignored=ignored
    )


def clamp_of(modules: Mapping[str, NvlabsModule]) -> dict[str, float]:
    """Return the ``conv_clamp`` that all layers share, as configuration; empty without a clamp."""
    clamps = {name: m.attributes["conv_clamp"] for name, m in modules.items() if "conv_clamp" in m.attributes}
    # The shortcut of a residual block is never clamped.
    skips = [clamps.pop(name) for name in list(clamps) if name.endswith(".skip")]
    if any(value is not None for value in skips):
        raise CheckpointError(f"{FORMAT}: a skip has a conv_clamp")
    values = list(clamps.values())
    if any(value != values[0] for value in values):
        raise CheckpointError(f"{FORMAT}: layers have different conv_clamp")
    if not values or values[0] is None:
        return {}
    return {"conv_clamp": _number(values[0], "conv_clamp")}


def lr_multiplier_of(modules: Mapping[str, NvlabsModule]) -> dict[str, float]:
    """Return the learning-rate multiplier of the mapping network, as configuration; empty for the usual 0.01.

    A layer multiplies its bias by it (``bias_gain``), and its weight by it and 1 / sqrt(inputs) (``weight_gain``).
    """
    multipliers = []
    for name, module in modules.items():
        if not name.startswith("mapping.fc") or "bias_gain" not in module.attributes:
            continue
        multipliers.append(_number(module.attributes["bias_gain"], f"{name}.bias_gain"))
        weight, gain = module.parameters.get("weight"), module.attributes.get("weight_gain")
        if weight is None or weight.ndim != 2 or gain is None:
            raise CheckpointError(f"{FORMAT}: {name} has no weight or no gain")
        if not math.isclose(_number(gain, f"{name}.weight_gain") * math.sqrt(weight.shape[1]), multipliers[-1]):
            raise CheckpointError(f"{FORMAT}: {name} has different gains of weights and biases")
    if any(not math.isclose(value, multipliers[0]) for value in multipliers):
        raise CheckpointError(f"{FORMAT}: the mapping network's layers have different learning rates")
    usual = not multipliers or math.isclose(multipliers[0], 0.01)
    return {} if usual else {"lr_multiplier": multipliers[0]}


def _check_activations(modules: Mapping[str, NvlabsModule]) -> None:
    for name, module in modules.items():
        if name.startswith("mapping.fc") or name.endswith((".conv0", ".conv1")):
            activation = module.attributes.get("activation", "lrelu")
            if activation != "lrelu":
                raise CheckpointError(f"{FORMAT}: {name} has activation {str(activation)[:40]!r}; wanted 'lrelu'")


def _unused_noise(modules: Mapping[str, NvlabsModule]) -> set[str]:
    """Return the names of noise tensors in layers with ``use_noise=False``, which still store them."""
    off = [name for name, module in modules.items() if module.attributes.get("use_noise") is False]
    return {f"{name}.{part}" for name in off for part in ("noise_const", "noise_strength")}


def _check_architecture(modules: Mapping[str, NvlabsModule], state: Mapping[str, Tensor]) -> None:
    """Refuse an architecture attribute that contradicts the tensors, from which our network is built."""
    blocks = [name for name in modules if name.startswith("synthesis.b") and name.count(".") == 1]
    if any(f"{name}.skip.weight" in state for name in blocks):
        possible = {"resnet"}
    elif len(blocks) == 1:
        possible = {"skip", "orig", "resnet"}  # they differ from the second block on
    else:
        possible = {"skip"} if all(f"{name}.torgb.weight" in state for name in blocks) else {"orig"}
    for name in blocks:
        stated = modules[name].attributes.get("architecture")
        if stated is not None and str(stated) not in possible:
            raise CheckpointError(
                f"{FORMAT}: {name} is called {str(stated)[:40]!r}, its tensors are those of {min(possible)!r}"
            )


def _number(value: Any, what: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise CheckpointError(f"{FORMAT}: {what} is not a number")
    return float(value)
