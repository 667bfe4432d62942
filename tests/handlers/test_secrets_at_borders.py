"""A secret is struck out whole, wherever what a run says is cut.

Lines are cut where they are too long, streams where a read ends, answers where they are large
enough; and where the log has no room, beginnings and ends of lines are left out. No part of a
secret may be left on either side.

Breaks that were tried: pieces that do not say that they go on; a cut in the middle of a character;
what is held back passed on after a drop; the rest of a line kept whose beginning was dropped; a
traceback that is cut before it is redacted.
"""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from aiohttp import web

from app.core.redaction import STRUCK_OUT, Redaction
from app.core.vocabulary import JobKind
from app.handlers.output_text import MAX_LINE, LineWriter
from app.handlers.python_thread import ThreadRelay
from app.handlers.redacted import RedactedOutput
from app.handlers.run_capture import RunVoice
from app.services.finishing import error_record
from tests.handlers.conftest import RecordedOutput, execution_of, opened
from tests.handlers.test_http_job import OPEN, serving
from tests.spellings import as_said

SECRET = "s3cr3t/+?& \"qüoted\" 'so' ~on"
REDACTION = Redaction([SECRET])
SPELLINGS = as_said(SECRET)
# Of a secret, so many characters in a row give something away.
TELLING = 6


def left_of(form: str, said: str) -> str | None:
    """Return a part of a spelling that is in what was said."""
    parts = (form[at : at + TELLING] for at in range(len(form) - TELLING + 1))
    return next((part for part in parts if part in said), None)


def said_by(output: RecordedOutput) -> str:
    return "\n".join(text for _, _, text in output.lines)


def say_in_a_stream(text: str) -> RecordedOutput:
    output = RecordedOutput()
    lines = LineWriter(RedactedOutput(output, REDACTION), "stdout")
    lines.feed(text.encode())
    lines.finish()
    return output


def say_by_print(text: str) -> RecordedOutput:
    output = RecordedOutput()
    voice = RunVoice(RedactedOutput(output, REDACTION))
    voice.say("stdout", text)
    voice.finish()
    return output


def around(border: int, form: str) -> Iterator[int]:
    """Return where a spelling may begin so that it touches the border."""
    yield from range(border - len(form) - 1, border + 2)


@pytest.mark.parametrize("say", [say_in_a_stream, say_by_print])
@pytest.mark.parametrize("form", SPELLINGS.values(), ids=SPELLINGS)
def test_border_of_a_long_line_divides_no_secret(
    say: Callable[[str], RecordedOutput], form: str
) -> None:
    for border in (MAX_LINE, 2 * MAX_LINE):
        for at in around(border, form):
            output = say("." * at + form + "." * 100)
            said = said_by(output)
            assert left_of(form, said) is None, at
            assert said.count(STRUCK_OUT) == 1
            # Of base64 a few characters are left that hold bits of its neighbours.
            assert 0 <= len(said.replace("\n", "")) - (at + len(STRUCK_OUT) + 100) <= TELLING
            assert max(len(text) for _, _, text in output.lines) <= MAX_LINE


@pytest.mark.parametrize("form", SPELLINGS.values(), ids=SPELLINGS)
def test_end_of_a_read_divides_no_secret(form: str) -> None:
    """Wherever a read ends, also between the bytes of one character."""
    said = f"before {form} after\n".encode()
    for at in range(len(said)):
        output = RecordedOutput()
        lines = LineWriter(RedactedOutput(output, REDACTION), "stderr")
        lines.feed(said[:at])
        lines.feed(said[at:])
        lines.finish()
        [text] = output.texts("stderr")
        assert text.startswith("before ")
        assert text.endswith(" after")
        assert STRUCK_OUT in text
        assert left_of(form, text) is None


def test_long_line_in_many_small_reads_divides_no_secret() -> None:
    form = SPELLINGS["plain"]
    for step in (1_000, 4_096, 10_007):
        for at in range(MAX_LINE - len(form), MAX_LINE, 3):
            output = RecordedOutput()
            lines = LineWriter(RedactedOutput(output, REDACTION), "stdout")
            said = ("." * at + form + "." * MAX_LINE + form).encode()
            for start in range(0, len(said), step):
                lines.feed(said[start : start + step])
            lines.finish()
            assert left_of(form, said_by(output)) is None
            assert said_by(output).count(STRUCK_OUT) == 2


def test_streams_do_not_mix_though_each_has_an_unfinished_line() -> None:
    form = SPELLINGS["plain"]
    output = RecordedOutput()
    redacted = RedactedOutput(output, REDACTION)
    out, err = LineWriter(redacted, "stdout"), LineWriter(redacted, "stderr")
    long = ("." * (MAX_LINE - 9) + form).encode()
    for _ in range(2):
        out.feed(long)
        err.feed(long)
    for lines in (out, err):
        lines.finish()
    for stream in ("stdout", "stderr"):
        whole = "".join(output.texts(stream))
        assert whole == ("." * (MAX_LINE - 9) + STRUCK_OUT) * 2


@pytest.mark.parametrize("form", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("room", [0, 1, 2])
def test_where_lines_are_left_out_no_part_of_a_secret_is_left(form: str, room: int) -> None:
    """The log has room for so many lines of a very long one, and again at the end."""
    for at in around(MAX_LINE, form):
        output = RecordedOutput(room_left=room)
        lines = LineWriter(RedactedOutput(output, REDACTION), "stdout")
        lines.feed(("." * at + form + "." * MAX_LINE).encode())
        # It ends, others follow, and what was held back for the end is dropped for them.
        lines.feed(b"\n" * 9_000)
        output.room_left = 10
        lines.feed(b"a line\nan end")
        lines.finish()
        assert left_of(form, said_by(output)) is None, at
        assert output.texts("stdout")[-1] == "an end"


def test_room_in_the_middle_of_a_line_shows_no_end_of_a_secret() -> None:
    form = SPELLINGS["plain"]
    for at in around(MAX_LINE, form):
        output = RecordedOutput(room_left=0)
        lines = LineWriter(RedactedOutput(output, REDACTION), "stdout")
        lines.feed(("." * at + form + "." * (MAX_LINE - len(form) - at + 1)).encode())
        output.room_left = 10
        lines.feed(b"-" * MAX_LINE + b"\nnext\n")
        lines.finish()
        assert left_of(form, said_by(output)) is None, at
        assert output.texts("stdout")[-1] == "next"


async def test_thread_that_says_more_than_is_taken_shows_no_end_of_a_secret() -> None:
    form = SPELLINGS["plain"]
    dropped = set()
    for at in around(MAX_LINE, form):
        # So that all of the line is taken, or its first piece is lost, or more.
        for lines in range(1_997, 2_001):
            output = RecordedOutput()
            relay = ThreadRelay(RedactedOutput(output, REDACTION), asyncio.get_running_loop())
            voice = RunVoice(relay)
            voice.say("stdout", "." * at + form + "." * MAX_LINE)
            voice.say("stdout", "\n" + "line\n" * lines)
            relay.flush()
            assert left_of(form, said_by(output)) is None, at
            dropped.add(output.dropped)
    assert {0, 3} <= dropped


@pytest.mark.parametrize("form", SPELLINGS.values(), ids=SPELLINGS)
async def test_end_of_what_is_kept_of_an_answer_shows_no_part_of_a_secret(form: str) -> None:
    sizes = {f"/{at}": at for at in around(200, form)}

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="." * sizes[request.path] + form + "." * 100, status=500)

    async with (
        serving(answer) as server,
        opened(http_allow_networks=(OPEN,), http_log_bytes=200, http_result_bytes=250) as handlers,
    ):
        for path in sizes:
            output = RecordedOutput()
            config = {"url": f"{server.origin}{path}", "method": "GET"}
            await handlers.execute(execution_of(JobKind.HTTP, config, redaction=REDACTION), output)
            assert left_of(form, said_by(output)) is None, path
            assert "only 200 bytes" in said_by(output)


@pytest.mark.parametrize("isolation", ["thread", "process"])
async def test_traceback_is_cut_after_it_was_redacted(isolation: str) -> None:
    """A long one loses its beginning; where that is, half of a secret might have stood."""
    config = {"function": "tests.handlers.sample_tasks.explode", "isolation": isolation}
    # The points move the cut into the middle of one.
    given = {"redaction": REDACTION, "parameters": {"message": SECRET * 3_000 + "." * 12}}
    async with opened(task_modules=("tests.handlers.sample_tasks",)) as handlers:
        execution = execution_of(JobKind.PYTHON, config, **given)
        outcome = await handlers.execute(execution, RecordedOutput())
    assert outcome.error is not None
    kept = error_record(outcome.error)
    assert kept["detail"].startswith("…")
    assert left_of(SECRET, kept["detail"] + kept["message"]) is None
