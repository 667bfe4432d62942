"""What `tickwheel dev` says when it is ready."""

import json
import shlex
from pathlib import Path
from typing import Any

_JOB = {
    "key": "hello",
    "kind": "PYTHON",
    "config": {"function": "app.handlers.builtin.echo"},
    "parameters": {"message": "Hello from Tickwheel"},
    # Pasted twice, it gives the same job again.
    "idempotencyKey": "hello",
}
_SCHEDULE = {
    "jobId": r"\1",  # What sed found in the first answer.
    "key": "hello-every-5-seconds",
    "fields": {"timings": [{"interval": {"every": "PT5S"}}]},
    "idempotencyKey": "hello-every-5-seconds",
}


def banner(*, url: str, link: str, directory: Path, token: str, token_is_set: bool) -> str:
    """Return the addresses, the token, a first request and the warning."""
    shown = "the one you set in TICKWHEEL_ADMIN_TOKEN" if token_is_set else token
    return f"""
  Tickwheel is ready. This is for development: do not run it in production.

    GraphQL    {url}/graphql
    GraphiQL   {link}
               (opens once, within ten minutes; `tickwheel login-link` makes another)
    Health     {url}/healthz
    Data       {directory}
    Token      {shown}

  Paste this to create a job and a schedule that runs it every five seconds:

{first_request(url=url, directory=directory, token_is_set=token_is_set)}

  Ctrl-C stops everything; the data stays.

"""


def first_request(*, url: str, directory: Path, token_is_set: bool) -> str:
    """Return a line of shell: it creates the job, and with the id it got, the schedule."""
    token = (
        "$TICKWHEEL_ADMIN_TOKEN"
        if token_is_set
        else f"$(cat {shlex.quote(str(directory / 'admin-token'))})"
    )
    post = (
        f'curl -sS {shlex.quote(url + "/graphql")} -H "Authorization: Bearer {token}" '
        "-H 'Content-Type: application/json' -d"
    )
    create_job = _mutation("jobCreate", "JobCreateInput", "job { id }", _JOB)
    create_schedule = _mutation(
        "scheduleCreate", "ScheduleCreateInput", "schedule { key state nextRunAt }", _SCHEDULE
    )
    use_id = f's|.*"id": *"([^"]+)".*|{create_schedule}|'
    return f"{post} {shlex.quote(create_job)} | sed -E {shlex.quote(use_id)} | {post} @-"


def _mutation(field: str, input_type: str, selection: str, value: dict[str, Any]) -> str:
    """Return a request's body. It holds no quotes of the shell, and nothing special to sed."""
    document = (
        f"mutation($input: {input_type}!) "
        f"{{ {field}(input: $input) {{ {selection} errors {{ message }} }} }}"
    )
    body = json.dumps({"query": document, "variables": {"input": value}})
    return body.replace(r"\\1", r"\1")
