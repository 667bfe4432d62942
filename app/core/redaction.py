"""Strike secrets out of what leaves a run: its log, result and errors, in every usual spelling.

A secret that was given to a job comes back in an echo, a traceback, a URL or a header, and rarely
as it went out. So the forms in which programs usually write a text are computed once for each
value, and all are struck out: plain, JSON-escaped, URL-encoded, hexadecimal, base64 of the value
and base64 of something that contains it (`user:secret` in a basic-auth header). Whoever writes a
job can still disguise a secret on purpose; this is against accidents.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

STRUCK_OUT = "[secret]"
"""What stands where a secret stood."""

SHORTEST = 6
"""Characters a secret has at least: striking out a shorter one would mangle every text."""

# Of MIME and of PEM.
_BASE64_WIDTHS = (76, 64)

# What is left of the base64 of a containing text after the characters that it shares with its
# neighbours are taken off; fewer would strike out what is no secret.
_SHORTEST_INNER = 7


class Redaction:
    """The secrets of one run, or of one process; it learns new ones while it works."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self._longest = 0
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Strike these out from now on, too."""
        known = self._secrets.union(secret for secret in secrets if len(secret) >= SHORTEST)
        if known != self._secrets:
            self._secrets = known
            self._pattern, self._longest = _pattern(known)

    def __bool__(self) -> bool:
        return self._pattern is not None

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        return text if self._pattern is None else self._pattern.sub(STRUCK_OUT, text)

    def decided(self, text: str) -> int:
        """Return up to where a text can be judged, whatever may follow it."""
        if self._pattern is None:
            return len(text)
        end = max(len(text) - self._longest + 1, 0)
        for found in self._pattern.finditer(text):
            if found.end() > end:
                return min(found.start(), end)
        return end

    def json(self, value: Any) -> Any:
        """Return a JSON value without the secrets, also in its keys."""
        if self._pattern is None:
            return value
        match value:
            case str():
                return self.text(value)
            case list() | tuple():
                return [self.json(item) for item in value]
            case dict():
                return {self.json(key): self.json(item) for key, item in value.items()}
        return value


@lru_cache(maxsize=256)
def _pattern(secrets: frozenset[str]) -> tuple[re.Pattern[str] | None, int]:
    """Return what finds the secrets, and the length of the longest form of one."""
    if not secrets:
        return None, 0
    forms = {form for secret in secrets for form in _forms(secret)}
    # By their first characters, so that at most places of a text hardly any is tried; the longest
    # first, as a form may be the beginning of another.
    rests: dict[str, list[str]] = {}
    for form in sorted(forms, key=lambda form: (-len(form), form)):
        rests.setdefault(form[0], []).append(re.escape(form[1:]))
    groups = (f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in rests.items())
    return re.compile("|".join(groups)), max(map(len, forms))


def _forms(secret: str) -> Iterator[str]:
    for part in _parts(secret):
        encoded = part.encode("utf-8", "surrogatepass")
        yield part
        yield repr(part)[1:-1]
        yield from _json_forms(part)
        for quoted in (quote(part, safe=""), quote(part), quote_plus(part)):
            yield quoted
            yield re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), quoted)
        digits = binascii.hexlify(encoded).decode()
        yield from (digits, digits.upper())
        for text in _base64_forms(encoded):
            yield from (text, text.replace("+", "-").replace("/", "_"), quote(text, safe=""))


def _parts(secret: str) -> Iterator[str]:
    """Yield the secret, and the lines of one that has several: logs are cut into lines."""
    yield secret
    lines = [line.strip() for line in secret.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= SHORTEST and not line.startswith("--"))
    elif lines != [secret] and len(lines[0]) >= SHORTEST:
        yield lines[0]


def _json_forms(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")
        # JSON inside JSON: a body that was logged.
        yield json.dumps(escaped, ensure_ascii=ascii_only)[1:-1]


def _base64_forms(secret: bytes) -> Iterator[str]:
    """Yield the base64 of the secret, and what is the same in the base64 of all that contains it.

    Three bytes become four characters, so there are three ways to lie in a longer text. At either
    end a character may hold bits of a neighbour; those are left off.
    """
    whole = base64.b64encode(secret).decode().rstrip("=")
    yield whole
    # Programs wrap it at these widths, but for where the last line's end depends on what follows.
    for width in _BASE64_WIDTHS:
        lines = [whole[start : start + width] for start in range(0, len(whole), width)][:-1]
        yield from lines
    for before in range(3):
        padded = base64.b64encode(bytes(before) + secret).decode().rstrip("=")
        shared_at_end = (before + len(secret)) % 3 != 0
        inner = padded[(0, 2, 3)[before] : len(padded) - shared_at_end]
        if len(inner) >= _SHORTEST_INNER:
            yield inner
