"""Turn what programs say into what can be kept.

PostgreSQL keeps neither NUL in text or JSON nor half of a surrogate pair, and JSON has no NaN.
A run that prints or returns such a thing must not be lost over it.
"""

from typing import Any

import orjson

from app.handlers.execution import RunOutput, Stream

MAX_LINE = 16 * 1024
_TAIL_BYTES = 8 * 1024
# Ends a piece of a line that goes on; no program writes this by accident.
_CUT = b"\0\x1acut\0"


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
        self._is_beheaded = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        whole, end, rest = chunk.rpartition(b"\n")
        if end:
            self._take(self._rest + whole + end)
            self._rest = rest
        else:
            self._rest += chunk
        if len(self._rest) > MAX_LINE:
            pieces = _pieces(self._rest)
            self._rest = pieces.pop()
            self._take(b"".join(piece + _CUT + b"\n" for piece in pieces))

    def finish(self, *, is_cut: bool = False) -> None:
        """The stream has ended: write what is left. `is_cut`: more would have followed."""
        *lines, last = self._without_rest(self._tail + self._rest).split(b"\n")
        if last and is_cut:
            last += _CUT
        for line in [*lines, last] if last else lines:
            self._write(line)
        if is_cut:
            self._output.drop(0)
        self._tail = self._rest = b""

    def _take(self, lines: bytes) -> None:
        """Write as many of these whole lines as there is room for."""
        lines = self._without_rest(lines)
        room = self._output.room()
        if room <= 0:
            self._hold_back(lines)
            return
        if self._tail:
            self._lose(self._tail)
            self._tail = b""
            lines = self._without_rest(lines)
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
            if start:
                self._lose(held[:start])
                held = self._without_rest(held[start:])
        self._tail = held

    def _lose(self, lines: bytes) -> None:
        """Count lines that are not kept; of one that goes on, the rest is not, either."""
        self._output.drop(lines.count(b"\n"))
        self._is_beheaded = lines.endswith(_CUT + b"\n")

    def _without_rest(self, lines: bytes) -> bytes:
        """Leave out the rest of a line that has lost its beginning: a secret may have, too."""
        while self._is_beheaded and lines:
            piece, _, lines = lines.partition(b"\n")
            self._output.drop(1)
            self._is_beheaded = piece.endswith(_CUT)
        return lines

    def _write(self, line: bytes) -> None:
        goes_on = line.endswith(_CUT)
        line = line.removesuffix(_CUT if goes_on else b"\r")
        *pieces, last = _pieces(line)
        for piece in pieces:
            self._output.write(_text(piece), stream=self._stream, goes_on=True)
        self._output.write(_text(last), stream=self._stream, goes_on=goes_on)


def _pieces(line: bytes) -> list[bytes]:
    """Cut a line into pieces that are not too long, and no character into two."""
    pieces = []
    while len(line) > MAX_LINE:
        end = MAX_LINE
        while end > MAX_LINE - 4 and line[end] & 0b1100_0000 == 0b1000_0000:
            end -= 1
        pieces.append(line[:end])
        line = line[end:]
    return [*pieces, line]


def _text(line: bytes) -> str:
    return clean(line.decode("utf-8", "replace"))
