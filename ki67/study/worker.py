"""The worker: a process of its own that takes jobs one at a time and keeps the nets loaded.

`python -m ki67.study.worker` runs until its standard input closes. A lock in the data folder makes it
the only one for its device, however many apps start one.
"""

from __future__ import annotations

from ki67.settings import Settings


class WorkerHandle:
    """Keeps a worker running while the app lives: starts it anew when it dies, ends it with `stop`."""

    def stop(self) -> None:
        """Ends the worker; a running job becomes *interrupted*. A second call does nothing."""
        raise NotImplementedError


def start_worker(settings: Settings) -> WorkerHandle:
    """Sees to it that a worker runs for this data folder and returns the handle that ends it.

    Several app processes may each call it: one worker runs, and another app's takes over when it ends.
    """
    raise NotImplementedError
