"""Batches on their way to the GPU: through pinned memory, beside the work on the batch before.

The host never waits. The device does, in three places: the copy for the work that was queued when its memory
was allocated, which may still use that memory for something else; a batch, before it is handed out, for its
copy; and what comes after a loop was left for the copy that nobody took.
"""

import functools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl.backend import Array, asarray, name, xp

NUMBERS = "biufc"  # the kinds of dtype that a batch may have


def put(host: Any) -> Array:
    """Return an array of the host as one of the backend's, which on CuPy `ahead` must hand out."""
    if name == "numpy" or not isinstance(host, np.ndarray) or host.dtype.kind not in NUMBERS:
        return asarray(host)
    return _sender().send(host) if host.dtype.isnative else asarray(host)


def ahead(batches: Iterator[Any], count: int) -> Iterator[Any]:
    """Hand out batches made by `put`, each when so many of the next are on their way; on NumPy at once."""
    return batches if name == "numpy" else _in_flight(batches, count)


def _in_flight(batches: Iterator[Any], count: int) -> Iterator[Any]:
    sender, flying = _sender(), []
    try:
        for batch in batches:
            flying.append((batch, sender.stream.record()))
            if len(flying) > count:
                yield _landed(*flying.pop(0))
        while flying:
            yield _landed(*flying.pop(0))
    finally:
        _landed(None, sender.stream.record())


def _landed(batch: Any, event: Any) -> Any:
    """Let whatever is queued from here on wait for the copy; the host does not."""
    _current().wait_event(event)
    return batch


def _current() -> Any:
    return xp.cuda.get_current_stream()  # type: ignore[attr-defined]  # CuPy alone has it


class _Sender:
    """A stream for copies alone, and the pinned memory that they still read."""

    def __init__(self) -> None:
        self.stream = xp.cuda.Stream(non_blocking=True)  # type: ignore[attr-defined]  # CuPy alone has it
        self._read: list[tuple[Any, Any]] = []
        self._lock = threading.Lock()

    def send(self, host: "np.ndarray[Any, Any]") -> Array:
        """Begin to copy an array to the device."""
        device = xp.empty(host.shape, dtype=host.dtype)
        if host.size:
            memory = xp.cuda.alloc_pinned_memory(host.nbytes)  # type: ignore[attr-defined]  # CuPy alone has it
            pinned = np.frombuffer(memory, host.dtype, host.size).reshape(host.shape)
            pinned[...] = host
            self.stream.wait_event(_current().record())
            device.set(pinned, stream=self.stream)  # type: ignore[attr-defined]  # CuPy alone has it
            with self._lock:
                self._read = [(event, kept) for event, kept in self._read if not event.done]
                self._read.append((self.stream.record(), pinned))
        return device


def _sender() -> _Sender:
    return _sender_of(xp.cuda.Device().id)  # type: ignore[attr-defined]  # CuPy alone has it


@functools.cache
def _sender_of(device: int) -> _Sender:
    return _Sender()
