"""The `ganvert` program: its commands, and how they end."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from ganvert.base.errors import GanvertError, InputError, ParamsError

__all__ = ["app", "command", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="GAN inversion and latent editing: photographs in, latent codes and edited photographs out.",
)


def command(*examples: str, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command.

    A parameter whose type is a dataclass of options (:mod:`ganvert.cli.options`) becomes one option for each field.

    Args:
        examples: command lines that stand below the help text.
        name: the command's name; the function's own if not given.
    """
    heading = "Examples" if len(examples) > 1 else "Example"
    epilog = f"{heading}: " + "   ".join(f"[bold]{example}[/bold]" for example in examples)

    def register(function: Callable[..., None]) -> Callable[..., None]:
        app.command(name, epilog=epilog)(_guarded(_flattened(function)))
        return function

    return register


def _flattened(function: Callable[..., None]) -> Callable[..., None]:
    """Return the function with each dataclass parameter replaced by the fields of that dataclass."""
    hints = typing.get_type_hints(function, include_extras=True)
    parameters, groups = [], dict[str, Any]()
    for name, parameter in inspect.signature(function).parameters.items():
        if not dataclasses.is_dataclass(hints[name]):
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        group = groups[name] = typing.cast(type, hints[name])
        fields = typing.get_type_hints(group, include_extras=True)
        for field in dataclasses.fields(group):
            default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
            parameters.append(
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=fields[field.name]
                )
            )

    @wraps(function)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
        function(**values)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _guarded(function: Callable[..., None]) -> Callable[..., None]:
    """Typed errors, a full disk and Ctrl-C end with one line on stderr and an exit code, not a traceback."""

    @wraps(function)
    def run(**values: Any) -> None:
        from ganvert.compute.device import strict_math
        from ganvert.compute.memory import keep_freed_memory
        from ganvert.compute.progress import log_to_stderr

        log_to_stderr()
        strict_math()
        keep_freed_memory()
        try:
            function(**values)
        except GanvertError as error:
            print(f"ganvert: {error}", file=sys.stderr)  # noqa: T201
            raise typer.Exit(2 if isinstance(error, ParamsError | InputError) else 1) from error
        except OSError as error:
            where = error.filename or "file"
            print(f"ganvert: {where}: {error.strerror}; nothing partial was kept", file=sys.stderr)  # noqa: T201
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            print("ganvert: interrupted; finished files are whole", file=sys.stderr)  # noqa: T201
            raise typer.Exit(130) from error

    return run


def main() -> None:
    """Run the program."""
    app()
