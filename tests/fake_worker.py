"""A worker process whose nets only wait: `python -m tests.fake_worker SECONDS_PER_STEP STEPS`."""

from __future__ import annotations

import sys

from ki67.settings import load_settings
from ki67.study.worker import serve
from tests.stores import FakeScorer

if __name__ == "__main__":
    scorer = FakeScorer(step_seconds=float(sys.argv[1]), steps=int(sys.argv[2]))
    sys.exit(serve(load_settings(), scorer))
