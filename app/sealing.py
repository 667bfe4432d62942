"""Seal values so that only the holder of a key can read them, or pass one off for another.

AES-256-GCM, a random nonce for each value. What the value belongs to (its project and name) is
associated data: a sealed value that is moved to another row does not open. Keys have ids, stored
beside what they sealed, so that a new key can take over while the old one still opens.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.errors import DependencyUnavailable, Invalid

_KEY_BYTES = 32
_NONCE_BYTES = 12
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FORM = "a key is `id:base64 of 32 random bytes`; `tickwheel secrets generate-key` makes one"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value that only the key with that id opens: the nonce, and what it encrypts."""

    key_id: str
    content: bytes


class Keyring:
    """The keys of an instance: the first one seals, all of them open."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}

    @classmethod
    def read(cls, text: str, file: Path | None) -> "Keyring":
        """Read keys from a setting and from a file, the setting's first.

        Raises Invalid, without showing any of the text.
        """
        return cls({**_read_keys(text), **(_read_file(file) if file is not None else {})})

    @property
    def current_id(self) -> str:
        """Return the id of the key that seals, or raise `DependencyUnavailable`."""
        if not self._keys:
            raise DependencyUnavailable(
                "Secrets need a key: the instance's operator sets TICKWHEEL_SECRET_KEYS_FILE or "
                "TICKWHEEL_SECRET_KEYS."
            )
        return next(iter(self._keys))

    def seal(self, value: str, *, belongs_to: str) -> Sealed:
        """Seal a value with the first key."""
        key_id, nonce = self.current_id, secrets.token_bytes(_NONCE_BYTES)
        encrypted = self._keys[key_id].encrypt(nonce, value.encode(), belongs_to.encode())
        return Sealed(key_id, nonce + encrypted)

    def open(self, sealed: Sealed, *, belongs_to: str) -> str:
        """Return the value. Raises `DependencyUnavailable` when no key here opens it."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise DependencyUnavailable(
                f"It was sealed with the key {sealed.key_id!r}, which this process does not have."
            )
        nonce, encrypted = sealed.content[:_NONCE_BYTES], sealed.content[_NONCE_BYTES:]
        try:
            return key.decrypt(nonce, encrypted, belongs_to.encode()).decode()
        except InvalidTag:
            raise DependencyUnavailable(
                f"The key {sealed.key_id!r} of this process does not open it: it is another key "
                "of the same id, or the stored value was changed."
            ) from None


def new_key(key_id: str) -> str:
    """Return a new key as it stands in a file or a setting."""
    if not _KEY_ID.fullmatch(key_id):
        raise Invalid("A key's id has 1 to 64 letters, digits or any of . _ -")
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"


def key_texts(text: str) -> Iterable[str]:
    """Return the keys themselves, as they would appear if somebody logged them."""
    return [entry.partition(":")[2].strip() for entry in _entries(text)]


def _read_file(file: Path) -> dict[str, bytes]:
    try:
        return _read_keys(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DependencyUnavailable(f"The file of secret keys cannot be read: {error}.") from None


def _read_keys(text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(_entries(text), 1):
        key_id, _, encoded = (part.strip() for part in entry.partition(":"))
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not _KEY_ID.fullmatch(key_id) or len(key) != _KEY_BYTES:
            raise Invalid(f"Secret key number {number} cannot be used: {_FORM}.")
        if key_id in keys:
            raise Invalid(f"Two secret keys have the id {key_id!r}.")
        keys[key_id] = key
    return keys


def _entries(text: str) -> Iterable[str]:
    """Return the entries of a text: separated by commas or line ends, comments left out."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    return [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
