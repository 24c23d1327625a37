"""The processes that mpiexec has started, by mpi4py; they end together, whatever happens to one of them.

An exception on one rank ends all. A rank whose program has ended says so: another that waits for it would
wait for ever, and is told instead. Signals are the launcher's: it ends the others when one is killed.
"""

import atexit
import sys
import time
import traceback
from types import TracebackType
from typing import Any, TypeVar

from minidl.backend import Array

Value = TypeVar("Value")

ENDED = 1  # the tag of the message of a rank whose program has ended
PATIENCE = 2.0  # seconds for what is still under way from a rank that has ended
LOOKS = 200  # while a message may come at any moment; after that the core is for whoever else can use it
NAP = 5e-5  # seconds between two looks from then on
FORWARD = 0.3  # seconds for mpiexec to show the error, before the end of all ranks ends it as well
PAUSE = 0.01  # seconds between two looks at the others, at the end


class Mpi:
    """All processes of ``MPI.COMM_WORLD``.

    Raises:
        ImportError: there is no mpi4py.
        RuntimeError: it finds no MPI library.
    """

    def __init__(self) -> None:
        from mpi4py import MPI

        self.mpi: Any = MPI
        self.world: Any = MPI.COMM_WORLD.Dup()  # our messages never meet those of the program's own MPI calls
        self.rank: int = self.world.rank
        self.size: int = self.world.size
        if self.size > 1:
            sys.excepthook = self._fail
            atexit.register(self._leave)

    def library(self) -> str:
        """Return the name and version of the MPI library that is loaded."""
        return " ".join(self.mpi.Get_library_version().strip("\0 \n").splitlines()[0].split())

    def add(self, array: Array) -> None:
        """Replace an array by its sum over all ranks."""
        self._finish(self.world.Iallreduce(self.mpi.IN_PLACE, array))

    def broadcast(self, value: Value) -> Value:
        """Return the value that rank 0 has; it is pickled, among the processes of one run."""
        self._finish(self.world.Ibarrier())
        received: Value = self.world.bcast(value)
        return received

    def _finish(self, request: Any) -> None:
        """Wait for all ranks, leaving the core to others meanwhile; raise if one of them will never come."""
        deadline, status, looks = float("inf"), self.mpi.Status(), 0
        while not request.Test():
            if deadline == float("inf") and self.world.Iprobe(tag=ENDED, status=status):
                deadline = time.monotonic() + PATIENCE
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"minidl.distributed: rank {self.rank} waits for rank {status.source}, whose program has "
                    "ended; every rank must take the same steps: give all of them equally many batches, "
                    "as group.shard(loader) does, and let none leave the loop early"
                )
            looks += 1
            if looks > LOOKS:
                time.sleep(NAP)

    def _fail(self, kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        """Show the exception that nobody has caught, in one piece, and end all ranks."""
        text = "".join(traceback.format_exception(kind, error, where))
        try:
            sys.stdout.flush()
            sys.stderr.write(f"minidl.distributed: rank {self.rank} of {self.size} failed; all end\n{text}")
            sys.stderr.flush()
            time.sleep(FORWARD)
        finally:
            self.mpi.COMM_WORLD.Abort(1)

    def _leave(self) -> None:
        """Tell the others that this program has ended, and wait until theirs have, with an idle core."""
        nothing = [None, 0, self.mpi.BYTE]
        others = [rank for rank in range(self.size) if rank != self.rank]
        requests = [self.world.Isend(nothing, rank, ENDED) for rank in others]
        requests += [self.world.Irecv(nothing, rank, ENDED) for rank in others]
        while not self.mpi.Request.Testall(requests):
            time.sleep(PAUSE)
