"""What a team's own code imports to become a job.

    from tickwheel import RunContext, task

    @task
    def export_orders(since: date, context: RunContext) -> dict[str, int]: ...

The decorator registers the function under its dotted name; the instance runs it when the module
is listed in `TICKWHEEL_TASKS`. This package imports nothing of the server and costs nothing at
import, so decorated modules stay usable, and testable, without Tickwheel running.
"""

from tickwheel.context import RunContext, RunLog
from tickwheel.tasks import Isolation, ParametersRefused, Task, registered_tasks, task

__all__ = [
    "Isolation",
    "ParametersRefused",
    "RunContext",
    "RunLog",
    "Task",
    "registered_tasks",
    "task",
]
