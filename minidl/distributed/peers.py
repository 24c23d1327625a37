"""What BatchNorm needs from the other ranks to normalise a batch of which each has a part."""

from typing import Protocol

from minidl.backend import Array, xp


class Ranks(Protocol):
    """A group, as far as it is needed here."""

    rank: int
    size: int

    def sum(self, array: Array) -> Array:
        """Return the sum over all ranks."""


class Shared:
    """The moments and the sums of a batch from those of its parts, one message each.

    Counts, means and squared deviations are merged in the order of the ranks and in double precision (Chan,
    Golub and LeVeque, 1979), so all ranks get the same bits.
    """

    def __init__(self, group: Ranks) -> None:
        self.group = group
        self.count = 0

    def moments(self, count: int, mean: Array, squares: Array) -> tuple[int, Array, Array]:
        """Return the count, the mean and the sum of squared deviations of the whole batch."""
        table = xp.zeros((self.group.size, 2 * mean.size + 1), xp.float64)
        table[self.group.rank] = xp.concatenate([xp.full(1, count, xp.float64), mean, squares])
        table = self.group.sum(table)
        counts, means, deviations = table[:, :1], table[:, 1 : mean.size + 1], table[:, mean.size + 1 :]
        self.count = int(counts.sum())
        whole = (counts * means).sum(axis=0) / max(self.count, 1)
        total = (deviations + counts * (means - whole) ** 2).sum(axis=0)
        return self.count, whole.astype(mean.dtype), total.astype(squares.dtype)

    def totals(self, count: int, parts: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return the sums over the whole batch, in the measure of this part's upstream gradient.

        That of a mean over the samples of the part is larger than that of a mean over the batch, by the
        number of parts where all are of one size: so each part counts by its rows.
        """
        message = self.group.sum(xp.stack(parts).astype(xp.float64) * count) / max(count, 1)
        return message[0].astype(parts[0].dtype), message[1].astype(parts[1].dtype)
