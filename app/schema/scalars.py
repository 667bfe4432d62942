"""The scalars, and how values that are wrong in themselves are refused."""

from datetime import UTC, datetime, timedelta
from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from app.core.durations import format_duration, parse_duration
from app.core.errors import Invalid

LocalDateTime = NewType("LocalDateTime", datetime)
TimeZone = NewType("TimeZone", str)
Cursor = NewType("Cursor", str)


# Wide enough for every schedule, and narrow enough for any sum of an instant and a horizon.
_FIRST_YEAR, _LAST_YEAR = 1901, 9899


def _parse_instant(value: Any) -> datetime:
    instant = _read_iso(value, "an RFC 3339 instant such as 2027-03-28T02:30:00Z")
    if instant.tzinfo is None:
        raise GraphQLError(f"{value!r} has no offset: write 2027-03-28T02:30:00Z or +02:00.")
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise GraphQLError(
            f"{value!r} is too far away: the year lies between {_FIRST_YEAR} and {_LAST_YEAR}."
        )
    return instant.astimezone(UTC)


def _format_instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse_local(value: Any) -> datetime:
    local = _read_iso(value, "a local time such as 2027-03-28T02:30:00")
    if local.tzinfo is not None:
        raise GraphQLError(f"{value!r} has an offset; a local time has none.")
    return local


def _read_iso(value: Any, wanted: str) -> datetime:
    # The date alone is ISO 8601, but no instant: midnight would be a guess.
    if not isinstance(value, str) or len(value) > 40 or "T" not in value.upper():
        raise GraphQLError(f"{str(value)[:60]!r} is not {wanted}.")
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError as error:
        raise GraphQLError(f"{value!r} is not {wanted}.") from error


def _parse_duration(value: Any) -> timedelta:
    if not isinstance(value, str):
        raise GraphQLError("A duration is a text such as PT5M.")
    try:
        return parse_duration(value)
    except Invalid as error:
        raise GraphQLError(error.message) from error


def _format_duration(value: timedelta) -> str:
    # Lateness measured on two clocks may come out a hair below nothing.
    return format_duration(max(value, timedelta(0)))


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise GraphQLError("A text is expected.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="RFC 3339 instant; accepted with any offset, returned in UTC.",
        serialize=_format_instant,
        parse_value=_parse_instant,
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
    ),
    LocalDateTime: strawberry.scalar(
        name="LocalDateTime",
        description="Local wall-clock time without offset, 2027-03-28T02:30:00.",
        serialize=datetime.isoformat,
        parse_value=_parse_local,
    ),
    timedelta: strawberry.scalar(
        name="Duration",
        description="ISO 8601 duration of fixed length, PT5M, P1D.",
        serialize=_format_duration,
        parse_value=_parse_duration,
    ),
    TimeZone: strawberry.scalar(
        name="TimeZone",
        description="IANA time zone name, Europe/Berlin.",
        serialize=str,
        parse_value=_parse_text,
    ),
    Cursor: strawberry.scalar(
        name="Cursor",
        description="Opaque position in a list or a stream.",
        serialize=str,
        parse_value=_parse_text,
    ),
}

__all__ = ["JSON", "SCALARS", "Cursor", "LocalDateTime", "TimeZone"]
