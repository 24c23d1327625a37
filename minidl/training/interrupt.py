"""Ctrl-C as a wish: the first one is noted, so that a loop can end where it is whole; the second one acts."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class Interrupt:
    """In a ``with`` block, turns the first Ctrl-C into an attribute to look at.

    The second one does what Ctrl-C did before, by default raise KeyboardInterrupt. Outside of the main
    thread, and where Ctrl-C is ignored, nothing changes.

    Example:
        >>> with Interrupt() as interrupt:
        ...     for step in range(1000):
        ...         signal.raise_signal(signal.SIGINT)  # somebody presses Ctrl-C
        ...         if interrupt.pressed:
        ...             break
        >>> step
        0
    """

    def __init__(self) -> None:
        self.pressed = False
        self._before: Any = None

    def __enter__(self) -> Self:
        current = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and current not in (None, signal.SIG_IGN):
            self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        signal.signal(signal.SIGINT, self._before)
