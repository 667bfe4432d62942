"""Nothing is skipped silently: the list at the end, and CI's refusal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run_tests(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one test that passes and one that is skipped, with our conftest."""
    (directory / "test_example.py").write_text(
        "import pytest\n"
        "def test_that_passes(): pass\n"
        "@pytest.mark.skip(reason='no moon tonight')\n"
        "def test_that_is_skipped(): pass\n"
    )
    outer = {name: value for name, value in os.environ.items() if name != "CI"}
    plugins = ("-p", "tests.conftest", "-p", "no:cacheprovider")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, f"--rootdir={directory}", directory],
        env=outer | {"PYTHONPATH": str(ROOT)} | environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_what_is_left_out_is_listed_with_its_reason_before_the_summary(tmp_path: Path) -> None:
    ended = run_tests(tmp_path)
    assert ended.returncode == pytest.ExitCode.OK
    assert "test_that_is_skipped: no moon tonight" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("1 passed, 1 skipped in")


def test_in_ci_nothing_may_be_left_out(tmp_path: Path) -> None:
    assert run_tests(tmp_path, CI="true").returncode == pytest.ExitCode.TESTS_FAILED
