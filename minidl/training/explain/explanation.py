"""What `explain` returns: the data of one batch, and the page made of it."""

import os
from collections.abc import Sequence
from functools import cached_property

from minidl.files import PathLike, replacing
from minidl.training.explain import markdown, tables, webpage
from minidl.training.explain.losses import LossRecord
from minidl.training.explain.records import Record


class Explanation:
    """One batch through a model, forward and back: as data, as Markdown, and as HTML.

    Args:
        model: the name of the model.
        shape: that of the batch.
        records: one for each call of a layer, each before those inside it.
        loss: what the loss made of the output.
        nonfinite: where the first number that is not finite appears; empty where there is none.
        unused: the paths of layers that were not called.
    """

    def __init__(
        self,
        model: str,
        shape: tuple[int, ...],
        records: list[Record],
        loss: LossRecord,
        nonfinite: str = "",
        unused: Sequence[str] = (),
    ) -> None:
        self.model = model
        self.shape = shape
        self.records = records
        self.loss = loss
        self.nonfinite = nonfinite
        self.unused = list(unused)

    @property
    def disagreements(self) -> list[str]:
        """The numbers that plain arithmetic does not confirm, as ``"0: Linear: dx[0, 3]"``."""
        worked = [(r.title, w) for r in self.records for w in (r.output, r.gradient)]
        worked.append((self.loss.loss, self.loss.gradient))
        return [f"{title}: {w.target}" for title, w in worked if w is not None and not w.agrees]

    @cached_property
    def markdown(self) -> str:
        """The page as Markdown, with the signs of mathematics in Unicode."""
        return markdown.page(self._title, self._intro(), self.records, self.loss)

    @cached_property
    def html(self) -> str:
        """The page as HTML that needs no network."""
        return webpage.page(self._title, self._intro(), self.records, self.loss)

    def save(self, path: PathLike) -> None:
        """Write the page, all or nothing.

        Args:
            path: ends with ``.html`` or ``.htm``, or with ``.md`` or ``.markdown``.

        Raises:
            ValueError: another ending.
            OSError: the file could not be written; what was there is still there.
        """
        ending = os.path.splitext(os.fspath(path))[1].lower()
        if ending not in (".html", ".htm", ".md", ".markdown"):
            raise ValueError(
                f"Explanation.save: expected a path ending in .html or .md, got {os.fspath(path)!r}"
            )
        with replacing(path) as file:
            file.write((self.html if ending.startswith(".h") else self.markdown).encode())

    @property
    def _title(self) -> str:
        return f"One batch through {self.model}"

    def _intro(self) -> list[str]:
        """Return the first sentence, and what one should know."""
        whole = self.records[0]
        lines = [
            f"A batch of shape {self.shape} went through {whole.parameters:,} parameters in "
            f"{whole.multiply_adds:,} multiply-adds, and its gradient came back. The loss is "
            f"{', '.join(f'{value:.6g}' for value in self.loss.value[:8])}"
            f"{', ...' if len(self.loss.value) > 8 else ''}."
        ]
        if self.nonfinite:
            lines.append(self.nonfinite[0].upper() + self.nonfinite[1:] + ".")
        if self.disagreements:
            lines.append(f"Plain arithmetic gives other numbers for {'; '.join(self.disagreements)}.")
        if self.unused:
            lines.append(f"Not used by this batch: {', '.join(self.unused)}.")
        return lines

    def __repr__(self) -> str:
        table = tables.overview(self.records)
        rows = [[*row[:3], row[5], row[6], row[8]] for row in (table.head, *table.rows)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(
                c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        text = "\n".join([*self._intro(), "", *(line.rstrip() for line in lines)])
        return text.encode("ascii", "backslashreplace").decode()

    def _repr_html_(self) -> str:
        """Return the page for a notebook."""
        return webpage.fragment(self._title, self._intro(), self.records, self.loss)
