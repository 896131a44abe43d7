"""Seeds are made of names."""

from __future__ import annotations

from ganvert.base.seeds import item_seed


def test_item_seed_is_pinned_and_keeps_parts_apart() -> None:
    # sha256 of b"photo\x001", first 8 bytes, one bit dropped: the same on every machine and in every release
    assert item_seed("photo", 1) == item_seed("photo", "1")
    assert item_seed("photo", 1) == 2754056874680865519
    assert item_seed("ab", "c") != item_seed("a", "bc")
    assert all(0 <= item_seed(i) < 2**63 for i in range(100))
    assert len({item_seed(i) for i in range(1000)}) == 1000
