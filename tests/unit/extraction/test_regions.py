"""Photographs whose faces lack a region that a mask of the method names: rows, not stops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from ganvert.base.errors import NoRegionError
from ganvert.extraction import session as module
from ganvert.extraction.session import Session
from ganvert.images import to_png


@pytest.fixture()
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    def check(_: Any, __: Any, crops: list[Any]) -> None:
        if crops[0].image_id.startswith("bald"):
            raise NoRegionError(f"{crops[0].image_id}: mask 'hair': the picture shows none of it")

    monkeypatch.setattr(module, "check_crops", check)
    session = object.__new__(Session)
    session.preset = SimpleNamespace(inputs=("mask.png", "hair"))  # type: ignore[assignment]
    session.context = None  # type: ignore[assignment]
    return session


def rows(*names: str) -> list[dict[str, Any]]:
    return [{"image_id": name, "crop": to_png(Image.new("RGB", (8, 8)))} for name in names]


def test_a_photograph_without_the_region_says_so(session: Session) -> None:
    photo = {"status": "ok", "reason": None}
    assert session._with_regions(photo, rows("bald")) == []
    assert photo["status"] == "no_region" and "bald: mask 'hair'" in str(photo["reason"])


def test_other_faces_of_the_photograph_are_kept(session: Session) -> None:
    photo = {"status": "ok", "reason": None}
    kept = session._with_regions(photo, rows("bald", "shaggy"))
    assert [row["image_id"] for row in kept] == ["shaggy"]
    assert photo["status"] == "ok" and "bald" in str(photo["reason"])


def test_methods_without_regions_look_at_nothing(session: Session) -> None:
    session.preset = SimpleNamespace(inputs=("mask.png",))  # type: ignore[assignment]
    assert len(session._with_regions({}, rows("bald"))) == 1
