"""Ranks as threads of one process, so that what several ranks do together can be tested at its full speed."""

import pickle
import threading
from collections.abc import Callable
from typing import Any

from minidl.distributed import Group

TIMEOUT = 10.0


class World:
    """So many ranks; what they carry to each other lies here."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size, timeout=TIMEOUT)
        self.carried: list[Any] = [None] * size


class Simulated:
    """The transport of one rank, with the sums in the order of the ranks."""

    def __init__(self, world: World, rank: int) -> None:
        self.world, self.rank, self.size = world, rank, world.size

    def add(self, array: Any) -> None:
        total = sum(self._exchange(array.copy())[1:], start=self.world.carried[0])
        self.world.barrier.wait()  # nobody brings the next before all have read these
        array[...] = total

    def broadcast(self, value: Any) -> Any:
        received = pickle.loads(self._exchange(pickle.dumps(value))[0])
        self.world.barrier.wait()
        return received

    def _exchange(self, mine: Any) -> list[Any]:
        self.world.carried[self.rank] = mine
        self.world.barrier.wait()
        return self.world.carried


def run(size: int, program: Callable[[Group], Any]) -> list[Any]:
    """Run a program on so many ranks at once; return what each returned, or raise what one raised."""
    world = World(size)
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def one(rank: int) -> None:
        try:
            results[rank] = program(Group(Simulated(world, rank)))
        except threading.BrokenBarrierError:
            pass  # another rank has failed, and has said why
        except BaseException as error:
            errors.append(error)
            world.barrier.abort()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    if world.barrier.broken:
        raise TimeoutError("the ranks waited for each other")
    return results
