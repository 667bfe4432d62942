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

    Where the log has no room, lines are only counted, at the cost of one pass over the bytes; the
    last few are held back for the end, because that is where programs say what went wrong.
    """

    def __init__(self, output: RunOutput, stream: Stream) -> None:
        self._output = output
        self._stream: Stream = stream
        self._rest = b""
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        whole, end, rest = chunk.rpartition(b"\n")
        if end:
            self._take(self._rest + whole + end)
            self._rest = rest
        else:
            self._rest += chunk
        while len(self._rest) > MAX_LINE:
            self._take(self._rest[:MAX_LINE] + b"\n")
            self._rest = self._rest[MAX_LINE:]

    def finish(self) -> None:
        """The stream has ended: write what is left."""
        *lines, last = (self._tail + self._rest).split(b"\n")
        for line in [*lines, last] if last else lines:
            self._write(line)
        self._tail = self._rest = b""

    def _take(self, lines: bytes) -> None:
        """Write as many of these whole lines as there is room for."""
        room = self._output.room()
        if room <= 0:
            self._hold_back(lines)
            return
        if self._tail:
            self._output.drop(self._tail.count(b"\n"))
            self._tail = b""
        *kept, rest = lines.split(b"\n", room)
        for line in kept:
            self._write(line)
        if rest:
            self._hold_back(rest)

    def _hold_back(self, lines: bytes) -> None:
        """Keep the last of these lines for the end, and count the others."""
        held = self._tail + lines
        if len(held) > _TAIL_BYTES:
            start = held.find(b"\n", len(held) - _TAIL_BYTES - 1) + 1
            self._output.drop(held.count(b"\n", 0, start))
            held = held[start:]
        self._tail = held

    def _write(self, line: bytes) -> None:
        for start in range(0, max(len(line), 1), MAX_LINE):
            piece = line[start : start + MAX_LINE].removesuffix(b"\r")
            self._output.write(clean(piece.decode("utf-8", "replace")), stream=self._stream)
