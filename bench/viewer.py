"""Measure the viewer in Chromium: first view, tiles, the server's memory, redraws of 100,000 nuclei.

    python -m bench.viewer [--slide FILE] [--side 20000] [--nuclei 100000] [--json FILE]

Starts `bench/viewer_app.py` on a free port with a synthetic picture; needs Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from bench.viewer_app import write_picture, write_run
from viewer.build import main as build_viewer

HERE = Path(__file__).resolve().parent
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
PAN_SECONDS = 5

# Counts, frame by frame, how often the pixels of the nuclei canvas changed (a hash of every 8th row).
COUNT_REDRAWS = """
async (seconds) => {
  const roots = [...document.querySelectorAll('*')].map((element) => element.shadowRoot);
  const shadow = roots.find((root) => root?.querySelector('.marks'));
  const canvas = shadow.querySelector('.marks');
  const context = canvas.getContext('2d');
  const hash = () => {
    let value = 17;
    for (let y = 4; y < canvas.height; y += 64) {
      const row = new Uint32Array(context.getImageData(0, y, canvas.width, 1).data.buffer);
      for (let i = 0; i < row.length; i++) value = (Math.imul(value, 31) + row[i]) | 0;
    }
    return value;
  };
  const changes = [];
  let last = hash();
  let frames = 0;
  const start = performance.now();
  let second = 0;
  let inSecond = 0;
  while (performance.now() - start < seconds * 1000) {
    await new Promise(requestAnimationFrame);
    frames++;
    const now = hash();
    if (now !== last) inSecond++;
    last = now;
    if (performance.now() - start >= (second + 1) * 1000) {
      changes.push(inSecond);
      inSecond = 0;
      second++;
    }
  }
  if (changes.length < seconds) changes.push(inSecond);
  return { changes, frames };
}
"""


def main() -> None:
    """Run every measurement and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slide", type=Path, help="a slide that OpenSlide opens, measured as well")
    parser.add_argument("--side", type=int, default=20_000, help="side of the synthetic picture, px")
    parser.add_argument("--nuclei", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    if build_viewer() != 0:
        raise SystemExit(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_picture(folder, "synthetic", arguments.side, seed=1)
        write_run(folder, "synthetic", arguments.side, arguments.nuclei, seed=2)
        codes = ["synthetic"]
        if arguments.slide is not None:
            shutil.copy(arguments.slide, folder / f"slide{arguments.slide.suffix}")
            codes.append("slide")
        figures = measure(folder, codes)
    print(json.dumps(figures, indent=2))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2), encoding="utf8")


def measure(folder: Path, codes: list[str]) -> dict[str, Any]:
    """Figures of each picture of the folder."""
    figures: dict[str, Any] = {}
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with app(folder) as (address, process), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        open_page(browser.new_page(), f"{address}/?picture={codes[0]}")  # Streamlit's own first start
        for code in codes:
            before = resident_mb(process.pid)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            figures[code] = first_view(page, address, code)
            figures[code] |= tile_times(address, code)
            if code == "synthetic":
                figures[code] |= pan(page)
            figures[code]["server_mb_before"] = before
            figures[code]["tiles_swept"] = sweep(address, code)
            figures[code]["server_mb_after_sweep"] = resident_mb(process.pid)
            page.close()
        browser.close()
    return figures


@contextmanager
def app(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The viewer's app over `folder` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(HERE / "viewer_app.py"), *options],
        env={**os.environ, "VIEWER_FOLDER": str(folder), "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false"},
        stdout=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield address, process
    finally:
        process.terminate()
        process.wait(20)


def open_page(page: Page, address: str) -> None:
    """Open a page and wait until the picture's first tiles stand on it."""
    page.goto(address)
    page.locator(".stage[data-drawn]").wait_for(timeout=60_000)


def first_view(page: Page, address: str, code: str) -> dict[str, float]:
    """Seconds from the viewer's mounting and from the click until all tiles of the first view are drawn."""
    start = time.perf_counter()
    run = "&run=synthetic" if code == "synthetic" else ""
    open_page(page, f"{address}/?picture={code}{run}")
    whole = time.perf_counter() - start
    own = page.locator(".stage").get_attribute("data-drawn")
    return {"first_view_s": round(float(own or "nan") / 1000, 3), "page_and_first_view_s": round(whole, 3)}


def tile_times(address: str, code: str) -> dict[str, float]:
    """Milliseconds a tile, one by one, from the server: 20 of each level, all for the first time."""
    with urllib.request.urlopen(f"{address}/ki67/pictures/{code}/info.json") as answer:
        info = json.load(answer)
    generator = np.random.default_rng(0)
    taken: list[float] = []
    for level in range(info["levels"]):
        factor = 2 ** (info["levels"] - 1 - level)
        columns = -(-info["width"] // (factor * info["tile_px"]))
        rows = -(-info["height"] // (factor * info["tile_px"]))
        count = min(20, columns * rows)
        for at in generator.choice(columns * rows, count, replace=False):
            path = f"/ki67/pictures/{code}/tiles/{level}/{at % columns}_{at // columns}.jpg"
            start = time.perf_counter()
            urllib.request.urlopen(address + path).read()
            taken.append(1000 * (time.perf_counter() - start))
    return {
        "tiles": len(taken),
        "tile_ms_median": round(float(np.median(taken)), 1),
        "tile_ms_95": round(float(np.percentile(taken, 95)), 1),
        "tile_ms_max": round(max(taken), 1),
    }


def sweep(address: str, code: str) -> int:
    """Ask for every tile of full resolution, four at a time, and give their number."""
    with urllib.request.urlopen(f"{address}/ki67/pictures/{code}/info.json") as answer:
        info = json.load(answer)
    columns, rows = (-(-info[side] // info["tile_px"]) for side in ("width", "height"))
    base = f"{address}/ki67/pictures/{code}/tiles/{info['levels'] - 1}"
    places = [f"{base}/{column}_{row}.jpg" for row in range(rows) for column in range(columns)]
    with ThreadPoolExecutor(4) as pool:
        return sum(1 for _ in pool.map(lambda place: urllib.request.urlopen(place).read(), places))


def pan(page: Page) -> dict[str, Any]:
    """Redraws a second of the nuclei layer while the mouse drags the whole picture for PAN_SECONDS."""
    page.wait_for_timeout(1500)
    box = page.locator(".stage").bounding_box()
    if box is None:
        raise SystemExit("The viewer shows no picture.")
    page.evaluate(f"window.counting = ({COUNT_REDRAWS})({PAN_SECONDS}); 0")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < PAN_SECONDS + 0.2:
        page.mouse.move(x + 120 * np.sin(4 * passed), y + 60 * np.cos(5 * passed))
    page.mouse.up()
    result = page.evaluate("window.counting")
    return {
        "redraws_each_second": result["changes"],
        "redraws_median": float(np.median(result["changes"])),
        "frames": result["frames"],
    }


def resident_mb(pid: int) -> int:
    """Resident memory of a process in MB (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main()
