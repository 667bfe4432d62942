"""What a schedule is to be: read the fields a caller gave, over what it is now or by default.

Everything wrong is found in one pass; nothing is written here. What create, update and preview
have in common is this module, so that what is previewed is what is saved.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from app.core.contradictions import Options, contradictions
from app.core.defaults import LONGEST_WINDOW, Defaults
from app.core.errors import Invalid, NotFound
from app.core.firing import MOST_PER_MINUTE
from app.core.starting import MOST_WAITING
from app.core.time import (
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    OnceTiming,
    Timing,
    frequency_timing,
    meaning_of,
    parse_timezone,
    timing_from_json,
    timing_to_json,
    validate_timings,
)
from app.core.vocabulary import (
    CalendarMode,
    CatchUpPolicy,
    DstFoldPolicy,
    DstGapPolicy,
    Frequency,
    OverlapPolicy,
)
from app.models import Job
from app.services.absent import ABSENT, Given, is_given
from app.services.complaints import Complaints
from app.services.http_names import check_parameters_given
from app.services.rules import (
    check_description,
    check_name,
    check_object,
    check_parameters,
    check_priority,
    check_tags,
    parameters_schema_of,
)
from app.services.schedules.timetables import Calendars
from app.services.writing import content_hash

MOST_CALENDARS = 20
_LONGEST_JITTER = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class IntervalRequest:
    """An interval; without an anchor it is counted from the schedule's start or creation."""

    every: timedelta
    anchor: datetime | None = None


@dataclass(frozen=True, slots=True)
class OnceRequest:
    """One instant, aware or local in the schedule's zone."""

    at: datetime | None = None
    local: datetime | None = None
    run_if_past: bool = False


TimingRequest: TypeAlias = (
    CronTiming | IntervalRequest | CalendarIntervalTiming | OnceRequest | Frequency
)


@dataclass(frozen=True, slots=True)
class ScheduleFields:
    """What a schedule may be given; absent fields keep their value or take their default."""

    name: Given[str] = ABSENT
    description: Given[str] = ABSENT
    timings: Given[tuple[TimingRequest, ...]] = ABSENT
    timezone: Given[str] = ABSENT
    dst_gap: Given[DstGapPolicy] = ABSENT
    dst_fold: Given[DstFoldPolicy] = ABSENT
    calendar_ids: Given[tuple[UUID, ...]] = ABSENT
    calendar_mode: Given[CalendarMode] = ABSENT
    start_at: Given[datetime] = ABSENT
    end_at: Given[datetime] = ABSENT
    max_runs: Given[int] = ABSENT
    jitter: Given[timedelta] = ABSENT
    spacing: Given[timedelta] = ABSENT
    overlap: Given[OverlapPolicy] = ABSENT
    overlap_limit: Given[int] = ABSENT
    catch_up: Given[CatchUpPolicy] = ABSENT
    catch_up_window: Given[timedelta] = ABSENT
    catch_up_limit: Given[int] = ABSENT
    catch_up_rate_per_minute: Given[int] = ABSENT
    pause_after_failures: Given[int] = ABSENT
    probe_after: Given[timedelta] = ABSENT
    parameters: Given[Any] = ABSENT
    priority: Given[int] = ABSENT
    tags: Given[dict[str, str]] = ABSENT
    # Who: the id of an actor. It is no part of the definition: `owning` reads it.
    owner_id: Given[str] = ABSENT


def default_columns(defaults: Defaults, key: str) -> dict[str, Any]:
    """Return what a schedule has where nothing is said; timings have no default."""
    return {
        "name": key,
        "description": None,
        "timezone": defaults.timezone,
        "dst_gap": DstGapPolicy.RUN_AT_GAP_END,
        "dst_fold": DstFoldPolicy.FIRST,
        "calendar_ids": [],
        "calendar_mode": CalendarMode.EXCLUDE,
        "start_at": None,
        "end_at": None,
        "max_runs": None,
        "jitter_seconds": 0.0,
        "spacing_seconds": None,
        "overlap": OverlapPolicy.SKIP,
        "overlap_limit": None,
        "catch_up": CatchUpPolicy.LATEST,
        "catch_up_window_seconds": defaults.catch_up_window.total_seconds(),
        "catch_up_limit": 100,
        "catch_up_rate_per_minute": None,
        "pause_after_failures": None,
        "probe_after_seconds": None,
        "parameters": {},
        "priority": None,
        "tags": {},
    }


def read_fields(
    fields: ScheduleFields,
    complaints: Complaints,
    *,
    base: Mapping[str, Any],
    defaults: Mapping[str, Any],
    as_of: datetime,
) -> dict[str, Any]:
    """Return the whole definition: given fields over `base`, cleared ones by default.

    Failures are noted below the fields' own names.
    """
    # An earlier definition may be older than some of the columns.
    columns = {**defaults, **{name: base[name] for name in (*defaults, "timings") if name in base}}
    for name, (column, read) in _READERS.items():
        value = getattr(fields, name)
        if value is None:
            columns[column] = defaults[column]
        elif is_given(value):
            with complaints.under():
                columns[column] = read(value)
    if is_given(fields.timings):
        with complaints.under():
            columns["timings"] = _read_timings(fields.timings, columns, as_of)
    _check_timings(fields, columns, complaints, as_of)
    for contradiction in contradictions(_options(columns, base, as_of)):
        complaints.add(contradiction)
    return columns


def check_calendars(
    columns: Mapping[str, Any], calendars: Calendars, complaints: Complaints
) -> None:
    """Note the calendars that the project does not have."""
    for index, calendar_id in enumerate(columns["calendar_ids"]):
        if calendar_id not in calendars:
            complaints.add(
                NotFound(
                    "There is no such calendar in this project.",
                    id=str(calendar_id),
                    path=("calendarIds", str(index)),
                )
            )


def given_calendar_ids(*requests: ScheduleFields) -> set[UUID]:
    """Return every calendar that requests name."""
    return {
        calendar_id
        for fields in requests
        if is_given(fields.calendar_ids)
        for calendar_id in fields.calendar_ids or ()
    }


def check_for_job(columns: Mapping[str, Any], job: Job, complaints: Complaints) -> None:
    """Note where the parameters, over those of the job, break the job's schema."""
    with complaints.under():
        merged = {**job.parameters, **columns["parameters"]}
        check_parameters(merged, parameters_schema_of(job))
        check_parameters_given(job, merged)


def definition_hash(job_id: UUID, columns: Mapping[str, Any]) -> str:
    """Return what two schedules share that have the same job, timings, zone and parameters.

    Timings are compared by what they mean and not by how they are written. Window, calendars and
    policies are left out: docs/decisions/0010-what-counts-as-a-duplicate.md.
    """
    timings = sorted({content_hash(_as_meant(timing)) for timing in columns["timings"]})
    return content_hash([str(job_id), timings, columns["timezone"], columns["parameters"]])


def _as_meant(timing: Mapping[str, Any]) -> object:
    return meaning_of(timing_from_json(timing))


def past_instants(fields: ScheduleFields) -> list[int]:
    """Return which of the timings are to run although their instant may have passed."""
    if not is_given(fields.timings):
        return []
    return [
        index
        for index, request in enumerate(fields.timings or ())
        if isinstance(request, OnceRequest) and request.run_if_past
    ]


def _read_timings(
    requests: tuple[TimingRequest, ...] | None, columns: Mapping[str, Any], as_of: datetime
) -> list[dict[str, Any]]:
    if not requests:
        raise Invalid("A schedule needs at least one timing.", path=("timings",))
    anchor = columns["start_at"] or as_of
    return [timing_to_json(_timing_of(request, anchor)) for request in requests]


def _timing_of(request: TimingRequest, anchor: datetime) -> Timing:
    match request:
        case Frequency():
            return frequency_timing(request)
        case IntervalRequest():
            return IntervalTiming(request.every, request.anchor or anchor)
        case OnceRequest():
            return OnceTiming(at=request.at, local=request.local)
    return request


def _check_timings(
    fields: ScheduleFields, columns: Mapping[str, Any], complaints: Complaints, as_of: datetime
) -> None:
    """Note what is wrong with timings and zone, which make sense only together."""
    if "timings" not in columns:
        with complaints.under():
            parse_timezone(columns["timezone"])
        if not is_given(fields.timings):
            complaints.add(Invalid("A schedule needs at least one timing.", path=("timings",)))
        return
    with complaints.under():
        validate_timings(
            [timing_from_json(timing) for timing in columns["timings"]],
            timezone=columns["timezone"],
            dst_gap=columns["dst_gap"],
            as_of=as_of if is_given(fields.timings) else None,
            may_be_past=past_instants(fields),
        )


def _options(columns: Mapping[str, Any], base: Mapping[str, Any], as_of: datetime) -> Options:
    """Return what of a definition may contradict itself."""
    return Options(
        timings=tuple(timing_from_json(timing) for timing in columns.get("timings", ())),
        start_at=columns["start_at"],
        end_at=columns["end_at"],
        as_of=None if columns["end_at"] == base["end_at"] else as_of,
        jitter=timedelta(seconds=columns["jitter_seconds"]),
        spacing=_duration(columns["spacing_seconds"]),
        overlap=columns["overlap"],
        overlap_limit=columns["overlap_limit"],
        catch_up=columns["catch_up"],
        catch_up_window=timedelta(seconds=columns["catch_up_window_seconds"]),
        catch_up_rate_per_minute=columns["catch_up_rate_per_minute"],
        pause_after_failures=columns["pause_after_failures"],
        probe_after=_duration(columns["probe_after_seconds"]),
    )


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _read_calendar_ids(calendar_ids: tuple[UUID, ...]) -> list[UUID]:
    if len(calendar_ids) > MOST_CALENDARS:
        raise Invalid(
            f"A schedule follows at most {MOST_CALENDARS} calendars; got {len(calendar_ids)}.",
            path=("calendarIds",),
        )
    return list(dict.fromkeys(calendar_ids))


def _within(low: int, high: int, name: str) -> Callable[[int], int]:
    def read(value: int) -> int:
        if not low <= value <= high:
            raise Invalid(f"{name} lies between {low:,} and {high:,}.", path=(name,))
        return value

    return read


def _lasting(
    longest: timedelta, name: str, words: str, *, shortest: timedelta = timedelta(0)
) -> Callable[[timedelta], float]:
    def read(value: timedelta) -> float:
        if value > longest or value < timedelta(0):
            raise Invalid(f"{name} lasts at most {words}.", path=(name,))
        if value < shortest:
            seconds = shortest.total_seconds()
            raise Invalid(f"{name} lasts at least {seconds:g} second(s).", path=(name,))
        return value.total_seconds()

    return read


def _same(value: Any) -> Any:
    return value


_READERS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("name", check_name),
    "description": ("description", check_description),
    "timezone": ("timezone", _same),
    "dst_gap": ("dst_gap", DstGapPolicy),
    "dst_fold": ("dst_fold", DstFoldPolicy),
    "calendar_ids": ("calendar_ids", _read_calendar_ids),
    "calendar_mode": ("calendar_mode", CalendarMode),
    "start_at": ("start_at", _same),
    "end_at": ("end_at", _same),
    "max_runs": ("max_runs", _within(1, 1_000_000_000, "maxRuns")),
    "jitter": ("jitter_seconds", _lasting(_LONGEST_JITTER, "jitter", "a day")),
    "spacing": (
        "spacing_seconds",
        _lasting(LONGEST_WINDOW, "spacing", "a year", shortest=_SECOND),
    ),
    "overlap": ("overlap", OverlapPolicy),
    "overlap_limit": ("overlap_limit", _within(1, MOST_WAITING, "overlapLimit")),
    "catch_up": ("catch_up", CatchUpPolicy),
    "catch_up_window": (
        "catch_up_window_seconds",
        _lasting(LONGEST_WINDOW, "catchUpWindow", "a year"),
    ),
    "catch_up_limit": ("catch_up_limit", _within(1, 1_000, "catchUpLimit")),
    "catch_up_rate_per_minute": (
        "catch_up_rate_per_minute",
        _within(1, MOST_PER_MINUTE, "catchUpRatePerMinute"),
    ),
    "pause_after_failures": (
        "pause_after_failures",
        _within(1, 1_000, "pauseAfterFailures"),
    ),
    "probe_after": (
        "probe_after_seconds",
        _lasting(LONGEST_WINDOW, "probeAfter", "a year", shortest=_SECOND),
    ),
    "parameters": ("parameters", lambda value: check_object(value, "parameters")),
    "priority": ("priority", check_priority),
    "tags": ("tags", check_tags),
}
