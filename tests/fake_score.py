"""`score` as a process whose nets know nuclei by color and take their time: `python -m tests.fake_score …`.

Its arguments are those of `python -m ki67`; it says on standard output when the nets begin.
"""

from __future__ import annotations

import sys
import time

from ki67.cli import main
from ki67.pipeline import backends
from ki67.types import ByteArray, FloatArray
from tests.pipeline_fakes import ColorBackend


class SlowBackend(ColorBackend):
    """Waits before every tile."""

    def tumor(self, batch: ByteArray) -> FloatArray:
        """As `ColorBackend`, a minute later."""
        print("nets", flush=True)
        time.sleep(60)
        return super().tumor(batch)


if __name__ == "__main__":
    backends.choose_backend = lambda *_, **__: SlowBackend()
    sys.exit(main(sys.argv[1:]))
