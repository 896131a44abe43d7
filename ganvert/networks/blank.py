"""Networks that are made to be filled: their weights are not drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.overrides import TorchFunctionMode

__all__ = ["Blank"]

_RANDOM = ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_")


class Blank(TorchFunctionMode):
    """Makes modules that are built inside of it leave their random weights as memory happens to be.

    A network of 267 million weights is drawn for seconds, and its memory is taken before anything is read into it.
    Blank weights take neither time nor, until they are filled, memory. Every network that is filled from a file is made
    blank: drawn weights would move PyTorch's global generator, and what is drawn next would depend on whether the file
    had been loaded before.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _RANDOM:
            # torch.nn.init hands the tensor over by name, the tensor's own methods by place.
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
