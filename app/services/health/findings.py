"""Open, change and resolve findings: by whoever sees first, once, whatever the number of lookers.

A looker reads the open findings together with what it judges, and says which observations hold
now. What is new is opened, what stands differently is changed, and what no longer holds is
resolved, by its id: a finding that somebody opens in the meantime is not touched.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
import structlog

from app.core.changes import INSTANCE, Change
from app.core.health import Observation, observe_quarantine
from app.core.ids import Kind, public_id
from app.core.vocabulary import FindingChange, FindingCode, Severity
from app.models import HealthFinding
from app.runtime import Runtime
from app.services.writing import Subject
from app.store.database import Transaction
from app.store.events import record_changes
from app.store.findings import change_findings, open_findings, resolve_findings
from app.store.instants import read_now

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FindingEvent:
    """What this process has just made of a finding, committed and with its new row."""

    change: FindingChange
    finding: HealthFinding


@dataclass(slots=True)
class _Difference:
    """What has to be written so that the open findings are those observed."""

    new: list[Observation]
    changed: list[tuple[UUID, Observation]]
    over: list[UUID]

    @property
    def is_nothing(self) -> bool:
        return not (self.new or self.changed or self.over)


async def settle_findings(
    runtime: Runtime, *, observed: Sequence[Observation], standing: Sequence[HealthFinding]
) -> list[FindingEvent]:
    """Make the open findings those that were observed; return what this call has changed.

    `standing` are the open findings that the caller has judged anew, read before or with the
    facts. Costs nothing while nothing changes.
    """
    difference = _compare(observed, standing)
    if difference.is_nothing:
        return []
    async with runtime.database.transaction() as transaction:
        events = await _write(transaction, difference)
        changes = changes_of(events)
        await record_changes(transaction, changes)
    await runtime.announce(changes)
    for event in events:
        _log_event(event)
    return events


def _compare(observed: Sequence[Observation], standing: Sequence[HealthFinding]) -> _Difference:
    open_now = {(finding.code, finding.subject): finding for finding in standing}
    difference = _Difference([], [], [])
    for observation in observed:
        finding = open_now.pop((observation.code, observation.subject), None)
        if finding is None:
            difference.new.append(observation)
        elif (finding.severity, finding.message) != (observation.severity, observation.message):
            difference.changed.append((finding.id, observation))
    difference.over.extend(finding.id for finding in open_now.values())
    return difference


async def _write(transaction: Transaction, difference: _Difference) -> list[FindingEvent]:
    written = {
        FindingChange.RESOLVED: await resolve_findings(transaction, difference.over),
        FindingChange.CHANGED: await change_findings(transaction, difference.changed),
        FindingChange.OPENED: await open_findings(transaction, difference.new),
    }
    return [FindingEvent(change, finding) for change, rows in written.items() for finding in rows]


def changes_of(events: Iterable[FindingEvent]) -> list[Change]:
    """Return what to record and announce: one change for each project and kind."""
    grouped: defaultdict[tuple[UUID, FindingChange], list[HealthFinding]] = defaultdict(list)
    for event in events:
        grouped[event.finding.project_id or INSTANCE, event.change].append(event.finding)
    return [
        Change(
            project_id,
            Subject.FINDING.value,
            change.value,
            ids=tuple(finding.id for finding in findings),
            revisions=tuple(finding.revision for finding in findings),
            parent_ids=tuple(finding.schedule_id for finding in findings),
        )
        for (project_id, change), findings in grouped.items()
    ]


async def open_quarantines(
    transaction: Transaction, quarantined: Mapping[UUID, str | None]
) -> list[Change]:
    """Open the findings of schedules that are quarantined in this transaction, by `last_error`.

    Nobody waits for the next round of the monitor. Return what to record and announce.
    """
    if not quarantined:
        return []
    now = await read_now(transaction)
    observed = [
        observe_quarantine(id_, orjson.loads(error or "null"), since=now, as_of=now)
        for id_, error in quarantined.items()
    ]
    opened = await open_findings(transaction, observed)
    return changes_of(FindingEvent(FindingChange.OPENED, finding) for finding in opened)


def _log_event(event: FindingEvent) -> None:
    finding = event.finding
    is_over = event.change is FindingChange.RESOLVED
    log = _log.error if finding.severity is Severity.CRITICAL and not is_over else _log.warning
    log(
        f"finding.{event.change.value.lower()}",
        finding_id=public_id(Kind.FINDING, finding.id),
        code=finding.code.value,
        severity=finding.severity.value,
        schedule_id=None
        if finding.schedule_id is None
        else public_id(Kind.SCHEDULE, finding.schedule_id),
        message=finding.message,
        since=finding.since.isoformat(),
    )


INSTANCE_CODES = (
    FindingCode.TICKER_SILENT,
    FindingCode.NO_WORKER,
    FindingCode.OVERDUE,
    FindingCode.LEASES_NOT_SWEPT,
)
"""What any process can judge by looking at PostgreSQL."""
