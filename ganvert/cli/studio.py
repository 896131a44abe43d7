"""`ganvert studio`: the pipeline in a browser."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated

import typer

from ganvert.base.errors import UnsupportedError
from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, directions_path, load
from ganvert.cli.options import DirectionsFile, GeneratorOptions
from ganvert.cli.paths import Reads

__all__ = ["studio"]

_LOOPBACK = ("127.0.0.1", "localhost")


@command("ganvert studio", "ganvert studio --port 7900 --directions data/directions.parquet")
def studio(
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that others can reach takes a password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 7860,
    directions: DirectionsFile = None,
    encoder: Annotated[
        list[Path] | None, typer.Option(help="Encoder (safetensors) in place of the shipped ones."), Reads()
    ] = None,
    first: Annotated[str, typer.Option(help="Preset of the first picture.")] = "encoder_feature",
    recipe: Annotated[str, typer.Option(help="How photographs are cropped: ffhq, celebahq or center.")] = "ffhq",
    options: GeneratorOptions,
) -> None:
    """Edit your own photographs in a browser, on this machine: upload, refine, sliders, undo, paste back, download.

    Nothing is sent anywhere, and photographs stay in memory. Ctrl-C ends it. $GANVERT_STUDIO_PASSWORD is the password
    for --host; a new one is made if it is not set.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UnsupportedError("the studio needs Gradio, which is not installed: pip install 'ganvert[studio]'")
    from ganvert.base.files import user_cache
    from ganvert.compute.device import resolve_device
    from ganvert.studio.models import Models
    from ganvert.studio.page import make_page
    from ganvert.studio.server import bind, new_password, serve
    from ganvert.studio.session import Sessions

    device = resolve_device(options.device)
    password = None if host in _LOOPBACK else os.environ.get("GANVERT_STUDIO_PASSWORD") or new_password()
    listening = bind("127.0.0.1" if host == "localhost" else host, port)  # before networks are loaded: it may be taken
    folder = assets_folder()
    models = Models(
        load(options, device),
        directions_path(directions),
        folder,
        recipe,
        encoders=encoder or (),
        first=first,
        times=user_cache() / "studio_times.json",
    )
    samples = {path.stem: path for path in sorted((folder.parent / "sample_photos").glob("*.*")) if path.is_file()}
    sessions = Sessions(models)
    page = make_page(sessions, samples)
    print(f"ganvert studio: http://{host}:{listening.getsockname()[1]}/   (Ctrl-C ends it)", flush=True)  # noqa: T201
    if password is not None:
        print(f"user ganvert, password {password}", flush=True)  # noqa: T201
    raise typer.Exit(serve(page, sessions, listening, password))
