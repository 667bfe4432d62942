"""Sealed values open with their key, for what they belong to, and not otherwise."""

from pathlib import Path

import pytest

from app.core.errors import DependencyUnavailable, Invalid
from app.sealing import Keyring, Sealed, new_key


def test_a_value_opens_for_what_it_belongs_to_and_for_nothing_else() -> None:
    """Fails when what it belongs to is left out of the associated data."""
    keyring = Keyring.read(new_key("a"), None)
    sealed = keyring.seal("wörd", belongs_to="secret/1/crm")
    assert b"w" not in sealed.content or "wörd".encode() not in sealed.content
    assert keyring.open(sealed, belongs_to="secret/1/crm") == "wörd"
    for other in ("secret/2/crm", "secret/1/erp"):
        with pytest.raises(DependencyUnavailable, match="does not open it"):
            keyring.open(sealed, belongs_to=other)


def test_the_same_value_is_sealed_otherwise_each_time() -> None:
    keyring = Keyring.read(new_key("a"), None)
    first, second = (keyring.seal("value", belongs_to="x") for _ in range(2))
    assert first.content != second.content


def test_a_changed_value_does_not_open() -> None:
    keyring = Keyring.read(new_key("a"), None)
    sealed = keyring.seal("value", belongs_to="x")
    changed = Sealed("a", sealed.content[:-1] + bytes([sealed.content[-1] ^ 1]))
    with pytest.raises(DependencyUnavailable):
        keyring.open(changed, belongs_to="x")


def test_the_first_key_seals_and_all_of_them_open(tmp_path: Path) -> None:
    old, new = new_key("old"), new_key("new")
    file = tmp_path / "keys"
    file.write_text(f"# the present one\n{new}\n\n{old}  # until everything is rotated\n")
    before = Keyring.read(old, None).seal("value", belongs_to="x")
    keyring = Keyring.read("", file)
    assert keyring.current_id == "new"
    assert keyring.seal("value", belongs_to="x").key_id == "new"
    assert keyring.open(before, belongs_to="x") == "value"


def test_a_key_that_is_not_here_is_named() -> None:
    sealed = Keyring.read(new_key("old"), None).seal("value", belongs_to="x")
    with pytest.raises(DependencyUnavailable, match="'old', which this process does not have"):
        Keyring.read(new_key("new"), None).open(sealed, belongs_to="x")


def test_without_a_key_nothing_is_sealed() -> None:
    with pytest.raises(DependencyUnavailable, match="TICKWHEEL_SECRET_KEYS_FILE"):
        Keyring.read("", None).seal("value", belongs_to="x")


@pytest.mark.parametrize(
    "text",
    ["abc", "a:b", "a:" + "A" * 43, ":" + new_key("a")[2:], "a b:" + new_key("a")[2:]],
    # Every process that runs tests must call them the same.
    ids=["no key", "short", "padding", "no id", "blank in the id"],
)
def test_a_key_that_cannot_be_used_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(Invalid, match="Secret key number 1 cannot be used") as caught:
        Keyring.read(text, None)
    assert text not in caught.value.message


def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(Invalid, match="Two secret keys"):
        Keyring.read(f"{new_key('a')},{new_key('a')}", None)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DependencyUnavailable, match="cannot be read"):
        Keyring.read("", tmp_path / "none")
