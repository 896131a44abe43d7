"""The `ganvert` program: how a function becomes a command, and how commands end."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import sys
import typing
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ganvert.base.errors import GanvertError, InputError, ParamsError, UnknownNameError
from ganvert.cli.paths import check_paths

__all__ = ["app", "command", "guarded", "main"]

#: Errors in what the user wrote; all others are of files, the machine or the method.
_MISTAKES = (ParamsError, UnknownNameError, InputError)

#: Commands that a newcomer needs, which the help lists before all others.
_FIRST = ("invert", "edit", "directions", "methods")


class _Program(TyperGroup):
    """The program, whose help starts with what a newcomer needs: modules are imported by the order of their names."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands in the order of the help."""
        return [*_FIRST, *(name for name in super().list_commands(ctx) if name not in _FIRST)]


app = typer.Typer(
    cls=_Program,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="GAN inversion and latent editing: photographs in, latent codes and edited photographs out.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"ganvert {importlib.metadata.version('ganvert')}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    # Receives what stands before the command. A docstring would replace the program's help.
    del version


def command(
    *examples: str, name: str | None = None, group: typer.Typer = app
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command.

    A parameter whose type is a dataclass of options (:mod:`ganvert.cli.options`) becomes one option per field, so that
    options which several commands share are written once.

    Args:
        examples: command lines to show below the help text.
        name: the command's name; the function's own if not given.
        group: the program, or a group of commands in it.

    Returns:
        A decorator, which returns the function unchanged.
    """
    heading = "Examples:" if len(examples) > 1 else "Example:"
    # Paragraphs of an epilog are lines on the screen.
    epilog = "\n\n".join([heading, *(f"[bold]{example}[/bold]" for example in examples)])

    def register(function: Callable[..., None]) -> Callable[..., None]:
        group.command(name, help=_unwrapped(function), epilog=epilog)(guarded(_flattened(function)))
        return function

    return register


def _unwrapped(function: Callable[..., None]) -> str:
    """Return a docstring with each paragraph on one line: rich keeps line breaks, and breaks lines again."""
    return "\n\n".join(" ".join(part.split()) for part in (inspect.getdoc(function) or "").split("\n\n"))


def _flattened(function: Callable[..., None]) -> Callable[..., None]:
    """Return the function with each dataclass parameter replaced by one parameter per field of the dataclass."""
    hints = typing.get_type_hints(function, include_extras=True)
    parameters, groups = list[inspect.Parameter](), dict[str, type]()
    for name, parameter in inspect.signature(function).parameters.items():
        if dataclasses.is_dataclass(hints[name]):
            groups[name] = typing.cast(type, hints[name])
            parameters += _parameters_of(groups[name])
        else:
            # Keyword-only, so that options of a group may stand before arguments without a default.
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(function)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
        function(**values)

    # Typer builds the command line from these two.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameters_of(group: type) -> list[inspect.Parameter]:
    """Return one parameter per field of a dataclass, inherited fields included."""
    hints = typing.get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(group)
    ]


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """Return the function with errors as one line on stderr and an exit code, not a traceback.

    Exit codes: 2 for mistakes in the command (wrong or unknown values, missing files), 1 for other errors, 130 for
    Ctrl-C. Commands that work through many photographs end with 3 if some could not be used.
    """

    @wraps(function)
    def run(**values: Any) -> None:
        from ganvert.base.params import check_numbers
        from ganvert.compute.device import strict_math
        from ganvert.compute.memory import keep_freed_memory
        from ganvert.compute.progress import log_to_stderr

        log_to_stderr()
        strict_math()
        keep_freed_memory()
        try:
            for name, value in values.items():
                for part in value if isinstance(value, list) else [value]:
                    check_numbers(part, "--" + name.replace("_", "-"))
            check_paths(function, values)
            function(**values)
        except GanvertError as error:
            print(f"ganvert: {error}", file=sys.stderr)  # noqa: T201
            raise typer.Exit(2 if isinstance(error, _MISTAKES) else 1) from error
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
