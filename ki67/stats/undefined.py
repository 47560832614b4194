"""How a formula says that its value does not exist: raised inside, turned into an Estimate at the border."""

from __future__ import annotations

from ki67.stats.estimate import Reason


class Undefined(Exception):
    """The value has no definition on these readings: a keyword and our sentence; never leaves this part."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message
