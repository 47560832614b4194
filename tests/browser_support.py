"""Shared by the browser tests: Chromium's arguments and an app of our own on a free port of this machine.

from tests.browser_support import *   # the fixtures that pytest-playwright and the tests ask for
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

__all__ = ["app_url", "browser_type_launch_args", "needs_chromium"]

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def chromium_path() -> str | None:
    """Where a Chromium of the machine is, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


needs_chromium = pytest.mark.skipif(chromium_path() is None, reason="needs Chromium (not on this machine)")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, object]) -> dict[str, object]:
    """The machine's own Chromium, without a GPU and without a connection of its own."""
    path = chromium_path()
    if path is None:
        pytest.skip("needs Chromium (not on this machine)")
    return {**browser_type_launch_args, "executable_path": path, "args": CHROMIUM_ARGUMENTS}


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_app(
    script: Path, *, log: Path, environment: Mapping[str, str], timeout_s: float = 120
) -> Iterator[str]:
    """Start `streamlit run script` and yield its address once it answers; ends it afterwards.

    `environment` is added to ours, from which every KI67_ setting is taken out. The output goes to `log`.
    """
    port = free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith("KI67_")}
    arguments = ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
    quiet = ["--browser.gatherUsageStats", "false", "--server.fileWatcherType", "none"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(script), *arguments, *quiet],
            cwd=ROOT,
            env={**own, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}", process, log, timeout_s)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"The app ended with {process.returncode}:\n{log.read_text(errors='replace')}")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"The app did not answer within {timeout_s} s:\n{log.read_text(errors='replace')}")


def at_rest(page: Page, *, timeout_ms: float) -> None:
    """Wait until a page is drawn to its footer and no script runs: what was drawn before may be replaced."""
    expect(page.get_by_text("Research use only ·")).to_be_visible(timeout=timeout_ms)
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=timeout_ms)
    page.wait_for_timeout(500)


def press_tab_until(page: Page, wanted: Locator, *, at_most: int = 40) -> None:
    """Move the focus by the keyboard alone."""
    for _ in range(at_most):
        if wanted.evaluate("(node) => node === (node.getRootNode()).activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("The focus did not get there by Tab.")


@pytest.fixture(scope="session")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The whole app on an empty store of its own, once for the session."""
    if chromium_path() is None:
        pytest.skip("needs Chromium (not on this machine)")
    home = tmp_path_factory.mktemp("home")
    with running_app(
        ROOT / "app.py", log=home / "app.log", environment={"KI67_HOME": str(home / "data")}
    ) as url:
        yield url
