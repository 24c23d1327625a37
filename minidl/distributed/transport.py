"""What carries arrays between the processes: MPI, or nothing at all where there is one process."""

import os
from typing import Protocol, TypeVar

from minidl.backend import Array
from minidl.distributed.mpi import Mpi

Value = TypeVar("Value")

# Where the launchers say how many processes they have started, or at least that they have.
COUNTS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "PMIX_SIZE")
TRACES = (*COUNTS, "PMI_RANK", "PMIX_RANK")


class Transport(Protocol):
    """Carries arrays and objects between processes; every rank calls the same methods in the same order."""

    rank: int
    size: int

    def add(self, array: Array) -> None:
        """Replace an array by its sum over all ranks."""

    def broadcast(self, value: Value) -> Value:
        """Return the value that rank 0 has."""


class Alone:
    """One process: it has all there is."""

    rank, size = 0, 1

    def add(self, array: Array) -> None:
        """Leave the array as it is."""

    def broadcast(self, value: Value) -> Value:
        """Return the value."""
        return value


def find() -> Transport:
    """Return the transport of this run: MPI where there are several processes, else none.

    Raises:
        ImportError: a launcher has started several processes and mpi4py is not there, or finds no MPI.
        RuntimeError: the launcher and mpi4py belong to different MPI libraries.
    """
    started = max(_number(os.environ.get(name)) for name in COUNTS)
    try:
        transport = Mpi()
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py without an MPI library
        if started > 1 or (started == 0 and any(name in os.environ for name in TRACES)):
            raise ImportError(
                f"minidl.distributed: mpi4py cannot be loaded ({error}), and this process was started by "
                'mpiexec; pip install "minidl[mpi]", and an MPI library such as MPICH or Open MPI'
            ) from error
        return Alone()
    if transport.size == 1 < started:
        raise RuntimeError(
            f"minidl.distributed: mpiexec has started {started} processes, and none of them sees another; "
            f"use the mpiexec of the MPI library that mpi4py has loaded: {transport.library()}"
        )
    return transport if transport.size > 1 else Alone()


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
