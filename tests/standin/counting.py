"""What a program asks of the device, counted: waits, launches, allocations, copies to and from the host."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Record:
    """What happened while it was kept, each event by the name of what was called.

    A launch is a call that reads or writes numbers on the device; CuPy may take several kernels for one, such
    as an index of several arrays, and none for arrays without elements. A wait is a moment at which the host
    stands still until the device has done all that was asked of it before.
    """

    waits: list[str] = field(default_factory=list)
    launches: list[str] = field(default_factory=list)
    allocations: list[int] = field(default_factory=list)
    transfers: list[str] = field(default_factory=list)


_records: list[Record] = []


@contextlib.contextmanager
def recorded() -> Iterator[Record]:
    """Keep a record of everything asked of the device in this block."""
    record = Record()
    _records.append(record)
    try:
        yield record
    finally:
        _records.remove(record)


def wait(name: str) -> None:
    for record in _records:
        record.waits.append(name)


def launch(name: str) -> None:
    for record in _records:
        record.launches.append(name)


def allocation(size: int) -> None:
    for record in _records:
        record.allocations.append(size)


def transfer(name: str) -> None:
    for record in _records:
        record.transfers.append(name)
