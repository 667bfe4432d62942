"""Chains: what the end of a run starts, and which chains may be drawn at all.

A chain leads from a job to its target. It follows only runs that have worked: what was cancelled,
skipped or missed starts nothing, so that a cancel is not answered by more runs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from app.core.run_states import FAILURES
from app.core.vocabulary import ChainOn, RunReason, RunState

MOST_CHAINED = 20
"""How many runs may follow one another by chains."""

MOST_FANNED_OUT, USUAL_FAN_OUT = 1_000, 100
"""How many runs one end of a run may start by one chain: at most, and unless said otherwise."""

Thing = TypeVar("Thing")


class Following(Enum):
    """What a chain makes of an end."""

    START = "start the target"
    SKIP = "record that it does not start"
    NOTHING = "nothing"


class CannotFollow(ValueError):
    """A run has ended without what its chain needs; the message says what."""


@dataclass(frozen=True, slots=True)
class ChainedRun:
    """A run that a chain makes: to be queued, or recorded as skipped for a reason.

    `item` is its place in the list that is fanned out, from 0.
    """

    item: int
    parameters: Mapping[str, Any]
    reason: RunReason | None = None
    message: str | None = None

    @property
    def state(self) -> RunState:
        """Return the state in which it comes into being."""
        return RunState.QUEUED if self.reason is None else RunState.SKIPPED


def what_follows(after: ChainOn, state: RunState) -> Following:
    """Return what a chain makes of a run that has ended in this state."""
    failed = state in FAILURES
    if not failed and state is not RunState.SUCCEEDED:
        return Following.NOTHING
    match after:
        case ChainOn.ANY:
            return Following.START
        case ChainOn.FAILED:
            return Following.START if failed else Following.NOTHING
    return Following.SKIP if failed else Following.START


def plan_chain(
    after: ChainOn,
    state: RunState,
    *,
    depth: int,
    items: Callable[[], Sequence[Any]],
    limit: int,
    parameters: Callable[[Any], Mapping[str, Any]],
) -> list[ChainedRun]:
    """Return the runs that a chain makes of the end of one.

    `depth` is how many chained runs lead up to the ended one, itself included. `items` gives what
    is fanned out and `parameters` those for one item; both raise CannotFollow.
    """
    following = what_follows(after, state)
    if following is Following.NOTHING:
        return []
    if following is Following.SKIP:
        message = f"The run before it has ended as {state}, and its chain asks for a success."
        return [_skipped(0, RunReason.DEPENDENCY, message)]
    if depth >= MOST_CHAINED:
        message = f"{MOST_CHAINED} runs have followed one another: no more may."
        return [_skipped(0, RunReason.LIMIT, message)]
    try:
        listed = items()
    except CannotFollow as error:
        return [_skipped(0, RunReason.REJECTED, str(error))]
    planned = [_planned(index, item, parameters) for index, item in enumerate(listed[:limit])]
    refused = len(listed) - len(planned)
    if refused:
        message = (
            f"The list has {len(listed):,} items, and the chain's limit is {limit:,}: "
            f"the last {refused:,} do not run."
        )
        planned.append(_skipped(limit, RunReason.LIMIT, message))
    return planned


def _planned(index: int, item: Any, parameters: Callable[[Any], Mapping[str, Any]]) -> ChainedRun:
    try:
        return ChainedRun(index, parameters(item))
    except CannotFollow as error:
        return _skipped(index, RunReason.REJECTED, str(error))


def _skipped(item: int, reason: RunReason, message: str) -> ChainedRun:
    return ChainedRun(item, {}, reason, message)


def path_back(
    links: Iterable[tuple[Thing, Thing]], first: Thing, target: Thing
) -> list[Thing] | None:
    """Return the way from `target` to `first` along the links, both included, or None."""
    onward = _onward(links)
    ways, seen = [[target]], {target}
    while ways:
        way = ways.pop()
        if way[-1] == first:
            return way
        for following in onward[way[-1]]:
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return None


def longest_way(links: Iterable[tuple[Thing, Thing]], first: Thing, target: Thing) -> int:
    """Return how many links the longest way has that takes the one from `first` to `target`.

    There must be no cycle.
    """
    links = [*links, (first, target)]
    return (
        _longest_from(_onward(links), target)
        + _longest_from(_onward((end, begin) for begin, end in links), first)
        + 1
    )


def _longest_from(onward: Mapping[Thing, set[Thing]], thing: Thing) -> int:
    """Return how far the links lead from here, each thing looked at once."""
    known: dict[Thing, int] = {}
    waiting = [thing]
    while waiting:
        following = onward.get(waiting[-1], set())
        unknown = [each for each in following if each not in known]
        if unknown:
            waiting.extend(unknown)
        else:
            known[waiting.pop()] = max((known[each] + 1 for each in following), default=0)
    return known[thing]


def _onward(links: Iterable[tuple[Thing, Thing]]) -> defaultdict[Thing, set[Thing]]:
    onward: defaultdict[Thing, set[Thing]] = defaultdict(set)
    for begin, end in links:
        onward[begin].add(end)
    return onward
