"""Export the runs of a project to a file or to a URL.

A file lies below the directory that the operator has set, and nowhere else, whatever the name
says; it appears whole or not at all.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import IO
from uuid import UUID

from app.core.errors import Invalid
from app.core.ids import Kind, public_id
from app.core.run_tables import Cell, Format, Table
from app.runtime import Runtime
from app.store.filters import RunFilter
from app.store.runs import ExportedRun, read_runs_to_export

MOST_RUNS = 100_000
_AT_ONCE = 1_000
HEADER = (
    "id",
    "job",
    "schedule",
    "state",
    "reason",
    "cause",
    "scheduledFor",
    "dueAt",
    "startedAt",
    "finishedAt",
    "latenessSeconds",
    "durationSeconds",
    "attempt",
    "error",
)


@dataclass(frozen=True, slots=True)
class Export:
    """Which runs, the newest first, and how they are written."""

    project_id: UUID
    narrowed: RunFilter
    limit: int
    format: Format


async def export_to_file(runtime: Runtime, export: Export, name: str) -> tuple[int, int]:
    """Write the file and return how many runs and bytes it has. Raises Invalid."""
    path = await asyncio.to_thread(place_of, runtime.export_directory, name)
    unfinished = path.with_name(f".{token_hex(8)}.part")
    try:
        with await asyncio.to_thread(_open_new, unfinished) as file:
            runs = await _write(runtime, export, lambda text: asyncio.to_thread(file.write, text))
            size = await asyncio.to_thread(_settle, file)
        await asyncio.to_thread(os.replace, unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return runs, size


async def export_to_text(runtime: Runtime, export: Export, *, most_bytes: int) -> tuple[int, str]:
    """Return how many runs the text has, and the text. Raises Invalid when it is too long."""
    parts: list[str] = []
    left = most_bytes

    async def keep(text: str) -> int:
        nonlocal left
        left -= len(text.encode())
        if left < 0:
            raise Invalid(
                f"The export has more than {most_bytes:,} bytes, too much to be sent: lower limit.",
                path=("limit",),
            )
        parts.append(text)
        return len(text)

    return await _write(runtime, export, keep), "".join(parts)


def place_of(directory: Path | None, name: str) -> Path:
    """Return where a file of that name may be written. Raises Invalid."""
    path = ("to",)
    if directory is None:
        raise Invalid("Its operator has set no directory for exports (TICKWHEEL_EXPORT_DIR).")
    parts = PurePosixPath(name).parts
    if not parts or any(part in ("/", "..") or part.startswith(".") for part in parts):
        raise Invalid(
            "The name of a file is relative, and none of its parts begins with a dot.", path=path
        )
    if "\0" in name or len(name) > 500:
        raise Invalid("The name of a file has at most 500 characters.", path=path)
    base = directory.resolve(strict=True)
    folder = base.joinpath(*parts[:-1])
    folder.mkdir(parents=True, exist_ok=True)
    # A link inside the directory may lead out of it.
    if not folder.resolve(strict=True).is_relative_to(base):
        raise Invalid("The file would lie outside the directory for exports.", path=path)
    return folder.resolve(strict=True) / parts[-1]


async def _write(runtime: Runtime, export: Export, write: Callable[[str], Awaitable[int]]) -> int:
    """Hand over the table, page by page, and return the number of runs."""
    table, count, before = Table(export.format, HEADER), 0, None
    await write(table.begin())
    while count < export.limit:
        async with runtime.database.reading(export.project_id) as connection:
            page = await read_runs_to_export(
                connection,
                export.project_id,
                export.narrowed,
                before=before,
                limit=min(_AT_ONCE, export.limit - count),
            )
        if not page:
            break
        count, before = count + len(page), page[-1].run.id
        await write("".join(table.row(_row(run)) for run in page))
    await write(table.end())
    return count


def _row(exported: ExportedRun) -> Sequence[Cell]:
    run = exported.run
    return (
        public_id(Kind.RUN, run.id),
        exported.job_key,
        exported.schedule_key,
        run.state.value,
        None if run.reason is None else run.reason.value,
        run.cause.value,
        _instant(run.scheduled_for),
        _instant(run.due_at),
        _instant(run.started_at),
        _instant(run.finished_at),
        _seconds(run.due_at, run.first_started_at),
        _seconds(run.started_at, run.finished_at),
        run.attempt,
        None if run.error is None else str(run.error.get("message", "")),
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max((end - start).total_seconds(), 0.0)


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _open_new(path: Path) -> IO[str]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o640), "w", encoding="utf-8", newline="")


def _settle(file: IO[str]) -> int:
    """See that the file is on the disk, and return its size."""
    file.flush()
    os.fsync(file.fileno())
    return os.fstat(file.fileno()).st_size
