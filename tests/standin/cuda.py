"""The one device of the stand-in: its streams do everything at once, and waiting for them is counted."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.standin import counting


class Stream:
    """A queue of work for the device."""

    null: "Stream"

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None
    ) -> None:
        self.ptr, self.is_non_blocking, self.done = 0 if null else id(self), non_blocking, True
        self._outer: list[Stream] = []

    def synchronize(self) -> None:
        counting.wait("Stream.synchronize")

    def record(self, event: "Event | None" = None) -> "Event":
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        """Let the device wait, not the host."""

    def launch_host_func(self, callback: Callable[[Any], None], arg: Any) -> None:
        callback(arg)

    def use(self) -> "Stream":
        _current[0] = self
        return self

    def __enter__(self) -> "Stream":
        self._outer.append(_current[0])
        return self.use()

    def __exit__(self, *error: object) -> None:
        _current[0] = self._outer.pop()


Stream.null = Stream(null=True)
_current = [Stream.null]


class Event:
    """A moment in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.done = True
        self._time = 0.0

    def record(self, stream: Stream | None = None) -> None:
        self._time = time.perf_counter()

    def synchronize(self) -> None:
        counting.wait("Event.synchronize")


class Device:
    """The device; there is no GPU behind it."""

    compute_capability = "90"

    def __init__(self, device: int = 0) -> None:
        self.id = device

    def synchronize(self) -> None:
        counting.wait("Device.synchronize")

    def use(self) -> None:
        pass

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *error: object) -> None:
        pass


class PinnedMemoryPointer(bytearray):
    """Memory of the host that the device can read while the host works on."""

    def size(self) -> int:
        return len(self)


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    return PinnedMemoryPointer(size)


def get_current_stream(device_id: int = -1) -> Stream:
    return _current[0]


def get_elapsed_time(start: Event, end: Event) -> float:
    return 1e3 * (end._time - start._time)


def is_available() -> bool:
    return True


@contextlib.contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    yield


class runtime:  # noqa: N801
    """What the driver tells."""

    @staticmethod
    def getDeviceCount() -> int:  # noqa: N802
        return 1

    @staticmethod
    def deviceSynchronize() -> None:  # noqa: N802
        counting.wait("deviceSynchronize")

    @staticmethod
    def getDeviceProperties(device: int) -> dict[str, Any]:  # noqa: N802
        return {"name": b"stand-in, no GPU", "multiProcessorCount": 1}
