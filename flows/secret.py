"""The secret that every request to a Prefect server of ours carries, and the private folder that Prefect works in.

`flows.ui` makes a secret at every start. It is Prefect's own API auth string: the server answers 401 without it, the
flows take it from their environment, and the browser gets it by opening the link in a file that its user alone can
read. Another program of the same user that joins the server (`PREFECT_API_URL`) finds it in that file too.

A secret of an earlier start is worth nothing: whoever waits on the port of a server that has ended learns no valid one.
"""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

SERVER, CLIENT = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
_DATABASE = "prefect.db"
_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>ganvert</title>
<meta http-equiv="refresh" content="0; url={link}">
<a href="{link}">Open the Prefect UI</a>
"""


def home() -> Path:
    """Return Prefect's folder."""
    return Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()


def make_private() -> None:
    """Make Prefect's folder and its database readable by their user alone: artifacts hold faces, logs hold paths.

    The database is made here if it is missing, because SQLite gives its side files (-wal, -shm) the mode it has.
    """
    folder = home()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.close(os.open(folder / _DATABASE, os.O_RDWR | os.O_CREAT, 0o600))
    for path in folder.glob(f"{_DATABASE}*"):
        path.chmod(0o600)


def settle() -> None:
    """Put the secret of this process's server into its environment, unless one is there.

    A server that this process starts gets a new one. For a server that is there already (`PREFECT_API_URL`, or the
    active Prefect profile) it is what `flows.ui` has published, if it is one of those.
    """
    url = os.environ.get("PREFECT_API_URL") or _profile_url()
    if url:
        if known := published(url):
            os.environ.setdefault(CLIENT, known)
        return
    known = os.environ.get(SERVER) or os.environ.get(CLIENT) or new()
    os.environ.setdefault(SERVER, known)
    os.environ.setdefault(CLIENT, known)


def new() -> str:
    """Return a new secret in the form that Prefect wants, USER:PASSWORD."""
    return f"ganvert:{secrets.token_urlsafe(32)}"


def publish(port: int, secret: str) -> Path:
    """Write the page that opens the UI on `port` with its secret, for the eyes of this user alone; return its path."""
    path = page(port)
    path.unlink(missing_ok=True)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_PAGE.format(link=link(port, secret)))
    return path


def published(url: str) -> str | None:
    """Return the secret of the UI that runs at an address (http://127.0.0.1:4200/api), None if none of ours does."""
    parts = urlsplit(url)
    try:
        text = page(parts.port or 80).read_text() if parts.scheme == "http" and parts.hostname == "127.0.0.1" else ""
    except FileNotFoundError:
        return None
    found = re.search(r"/open#([^\"]+)\"", text)
    return unquote(found[1]) if found else None


def page(port: int) -> Path:
    """Return the path of the page that opens the UI on `port`; it exists while that UI runs."""
    return home() / "ganvert" / f"ui-{port}.html"


def link(port: int, secret: str) -> str:
    """Return the address that opens the UI with its secret. A fragment stays in the browser: no server is sent it."""
    return f"http://127.0.0.1:{port}/open#{quote(secret, safe=':')}"


def _profile_url() -> str | None:
    """Return the address of a server that the active Prefect profile names."""
    path = Path(os.environ.get("PREFECT_PROFILES_PATH") or home() / "profiles.toml")
    try:
        profiles = tomllib.loads(path.read_text())
        active = os.environ.get("PREFECT_PROFILE") or profiles["active"]
        return str(profiles["profiles"][active]["PREFECT_API_URL"])
    except (FileNotFoundError, KeyError, tomllib.TOMLDecodeError):
        return None
