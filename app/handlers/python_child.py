"""The child process of a Python job with `isolation: process`.

Started as a script by the guard. The worker sends one JSON object on standard input (what to run,
where modules are found) and hears JSON lines on the channel: `log`, `progress`, and at last one
`result` or `failure`. What the function prints is simply this process's standard output.

Promises: the function cannot end the worker, whatever it does; TERM lets it clean up. A function
that asked for a `RunContext` sees `cancelled`; any other gets SystemExit at once. The guard's KILL
comes after the grace either way.
"""

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from app.handlers.run_context import Cancellation
    from tickwheel.tasks import Task


class Channel:
    """The way back to the worker. One write per message, so threads do not mix theirs."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, kind: str, **values: Any) -> None:
        """Send one message."""
        data = json.dumps({"kind": kind, **values}, default=str).encode() + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]


def main() -> None:
    """Run one function and tell the worker what came of it."""
    channel_fd = int(os.environ.pop("TICKWHEEL_CHANNEL"))
    # Programs that the function starts must not hold the channel open, or write to it.
    os.set_inheritable(channel_fd, False)
    channel = Channel(channel_fd)
    order = json.load(sys.stdin)
    sys.path[:] = order["path"]
    try:
        message = run(order, channel)
    except BaseException as error:
        from app.handlers.python_calls import failure_message

        message = failure_message(error)
    sys.stdout.flush()
    sys.stderr.flush()
    channel.send(**message)
    # Without waiting for threads the function may have left behind.
    os._exit(0)


def run(order: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Find the function, call it, and return the closing message."""
    from app.handlers.python_calls import call_to_end
    from app.handlers.run_context import Cancellation, LiveContext
    from app.handlers.task_modules import find_task, load_modules

    load_modules(order["modules"])
    task = find_task(order["function"])
    cancellation = Cancellation()
    context = LiveContext(
        occurrence_from(order),
        progress=lambda fraction, text: channel.send("progress", fraction=fraction, message=text),
        log_handler=lambda: log_handler(channel),
        cancellation=cancellation,
    )
    listen_to_term(task, cancellation)
    route_logging(channel)
    value = call_to_end(task, task.arguments(order["parameters"], context))
    return {"kind": "result", "value": json.loads(json.dumps(value, default=str))}


def occurrence_from(order: dict[str, Any]) -> Any:
    """Return the facts about the run, typed."""
    from datetime import datetime
    from types import SimpleNamespace

    previous = order["previous_success_at"]
    return SimpleNamespace(
        public_run_id=order["run_id"],
        attempt=order["attempt"],
        scheduled_for=datetime.fromisoformat(order["scheduled_for"]),
        previous_success_at=datetime.fromisoformat(previous) if previous else None,
        parameters=order["parameters"],
    )


def listen_to_term(task: "Task", cancellation: "Cancellation") -> None:
    """Turn TERM into what the function can use."""
    import signal

    def on_term(number: int, frame: "FrameType | None") -> None:
        cancellation.requested = True
        if not task.wants_context:
            sys.exit(143)

    signal.signal(signal.SIGTERM, on_term)


def log_handler(channel: Channel) -> Any:
    """Return a handler of `logging` that sends records to the worker."""
    import logging

    class ChannelHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            channel.send("log", level=record.levelno, text=self.format(record))

    return ChannelHandler()


def route_logging(channel: Channel) -> None:
    """Send what the function's modules log, from INFO on, to the run's log."""
    import logging

    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger().addHandler(log_handler(channel))


if __name__ == "__main__":
    main()
