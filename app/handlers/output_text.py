"""Turn what programs say into what can be kept.

PostgreSQL keeps neither NUL in text or JSON nor half of a surrogate pair, and JSON has no NaN.
A run that prints or returns such a thing must not be lost over it.
"""

from typing import Any

import orjson

from app.handlers.execution import RunOutput, Stream

MAX_LINE = 16 * 1024
_TAIL_BYTES = 8 * 1024


class ResultRefused(ValueError):
    """What the job returned cannot be kept as its result."""


def clean(text: str) -> str:
    """Return `text` with what cannot be stored replaced by U+FFFD."""
    if text.isascii():
        return text.replace("\0", "�") if "\0" in text else text
    return text.encode("utf-8", "replace").decode("utf-8", "replace").replace("\0", "�")


def storable_result(value: Any, *, limit_bytes: int) -> Any:
    """Return `value` as plain JSON that a table can keep. Raises ResultRefused."""
    if value is None:
        return None
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultRefused(f"The result is not JSON: {error}.") from None
    if len(encoded) > limit_bytes:
        raise ResultRefused(
            f"The result has {len(encoded)} bytes of JSON; at most {limit_bytes} are kept."
        )
    plain = orjson.loads(encoded)
    return _without_nul(plain) if b"\\u0000" in encoded else plain


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "�")
        case list():
            return [_without_nul(item) for item in value]
        case dict():
            return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value


class LineWriter:
    """Cuts a stream of bytes into lines of the run's log.

    Beyond `limit_bytes` lines are only counted, at the cost of one pass over the bytes; the last
    few are kept for the end, because that is where programs say what went wrong.
    """

    def __init__(self, output: RunOutput, stream: Stream, *, limit_bytes: int) -> None:
        self._output = output
        self._stream: Stream = stream
        self._left_bytes = limit_bytes
        self._rest = b""
        self._tail = b""
        self._dropped = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._left_bytes <= 0:
            self._drop(chunk)
            return
        self._left_bytes -= len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._write(line)
        while len(self._rest) > MAX_LINE:
            self._write(self._rest[:MAX_LINE])
            self._rest = self._rest[MAX_LINE:]

    def finish(self) -> None:
        """The stream has ended: write what is left."""
        if self._rest:
            self._write(self._rest)
        if not self._tail:
            return
        kept = self._tail[-_TAIL_BYTES:].removesuffix(b"\n").split(b"\n")
        if len(self._tail) > _TAIL_BYTES:
            kept = kept[1:]
        note = f"… {max(self._dropped - len(kept), 0)} lines dropped …"
        self._output.write(note, stream=self._stream)
        for line in kept:
            self._write(line)

    def _drop(self, chunk: bytes) -> None:
        chunk, self._rest = self._rest + chunk, b""
        self._dropped += chunk.count(b"\n")
        self._tail = (self._tail + chunk)[-_TAIL_BYTES - 1 :]

    def _write(self, line: bytes) -> None:
        for start in range(0, max(len(line), 1), MAX_LINE):
            piece = line[start : start + MAX_LINE].removesuffix(b"\r")
            self._output.write(clean(piece.decode("utf-8", "replace")), stream=self._stream)
