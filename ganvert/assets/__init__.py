"""Files ganvert needs but does not carry itself (generator, metrics, face models, photographs), and those it carries.

Imports what reads and builds networks (checkpoints, generators), because an asset is written in ganvert's own format.
"""

from __future__ import annotations

from ganvert.assets.base import Installed, Package, Product
from ganvert.assets.fetching import fetch
from ganvert.assets.folder import home, path
from ganvert.assets.products import PRODUCTS

__all__ = ["PRODUCTS", "Installed", "Package", "Product", "fetch", "home", "path"]
