"""Is the instance well, and is each schedule?

`watchdog` runs in every process, API or worker, and looks at the instance as PostgreSQL shows it.
`monitor` looks at single schedules, every few minutes, in whichever worker is first. Both say what
they observe to `findings`, which opens, changes and resolves. `acknowledging` is for people.

A `FindingEvent` is where notifications begin: `findings.settle_findings` returns those that this
process has made, after their commit; whoever must not depend on the engine (`core.health` says
which codes) is told right there. For everybody else the same stands in the event table, as
`FINDING` with `OPENED`, `CHANGED` and `RESOLVED`.
"""
