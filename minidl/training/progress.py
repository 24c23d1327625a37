"""Progress: a bar over any loop, with the loss, the rate and the time left."""

import importlib
import os
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from typing import IO, Any, Generic, TypeVar

from minidl.backend import Array, check_int
from minidl.training._numbers import as_float, one_number

Item = TypeVar("Item")

INTERVAL = 0.2  # seconds between two looks at the numbers: each waits for the GPU


class Progress(Generic[Item]):
    """Show how far a loop has come, on a terminal; where the output is none, count and say nothing.

    What `show` is given is read when the bar is drawn, a few times a second, so the loop does not wait for
    the GPU at each step. The bar ends with the loop, also by ``break`` and by an exception, which passes
    through. The bar is drawn by tqdm: ``pip install "minidl[plots]"``.

    Args:
        items: what to loop over.
        total: how many there are; by default their length, where they have one. Without it the bar shows
            what is done and the rate, and no time left.
        description: what stands before the bar.
        visible: whether to draw it; by default if ``file`` is a terminal.
        file: where to; by default ``sys.stderr``.

    Raises:
        ImportError: it is to be drawn, and tqdm is not installed.

    Example:
        >>> losses = [3.0, 2.0, 1.0]
        >>> progress = Progress(losses, description="epoch 1", visible=False)
        >>> for loss in progress:
        ...     progress.show(loss=loss, lr=1e-3)
        >>> progress.count
        3
    """

    count: int
    """How many items were handed out: in the loop, the number of this step, counted from 1."""

    def __init__(
        self,
        items: Iterable[Item],
        total: int | None = None,
        description: str = "",
        visible: bool | None = None,
        file: IO[str] | None = None,
    ) -> None:
        if not isinstance(items, Iterable):
            raise TypeError(f"Progress: expected something to loop over, got {type(items).__name__}")
        self._items = items
        self.total = _length(items) if total is None else check_int(total, "Progress", "total")
        self.description = description
        self.count = 0
        self._values: dict[str, Any] = {}
        self._file = sys.stderr if file is None else file
        terminal = getattr(self._file, "isatty", None)
        self.visible = bool(terminal and terminal()) if visible is None else visible
        self._tqdm = _load_tqdm() if self.visible else None
        self._bar: Any = None
        self._drawn = 0.0

    def __len__(self) -> int:
        if self.total is None:
            raise TypeError("Progress: what it loops over has no length; pass total=...")
        return self.total

    def __iter__(self) -> Iterator[Item]:
        """Begin to loop, and to count, from the start."""
        return self._run()

    def _run(self) -> Generator[Item, None, None]:
        self.count = 0
        self._open()
        try:
            for item in self._items:
                self.count += 1
                yield item
                self._draw()
            self._draw(last=True)
        finally:
            self.close()

    def show(self, **values: Array | float | str) -> None:
        """Let numbers and texts stand beside the bar: ``progress.show(loss=loss)``; this does not wait.

        Raises:
            TypeError, ValueError: something is neither a text nor one number.
        """
        for name, value in values.items():
            self._values[name] = (
                value if isinstance(value, str | int) else one_number(value, name, "Progress")
            )

    def write(self, text: str) -> None:
        """Print a line on ``sys.stdout``, above the bar if there is one."""
        if self._bar is None:
            sys.stdout.write(f"{text}\n")
        else:
            self._bar.write(text, file=sys.stdout)

    def close(self) -> None:
        """End the bar, which stays where it is; a loop that ends does so by itself."""
        if self._bar is not None:
            self._bar.update(
                self.count - self._bar.n
            )  # without a look at the numbers: the GPU may have failed
            self._bar.close()
            self._bar = None

    def _open(self) -> None:
        self.close()
        if self._tqdm is not None:
            size = {"ncols": 80, "nrows": 20} if _has_no_size(self._file) else {"dynamic_ncols": True}
            self._bar = self._tqdm(
                total=self.total,
                desc=self.description or None,
                unit="step",
                file=self._file,
                mininterval=0,
                miniters=0,
                **size,
            )
            self._drawn = time.monotonic()

    def _draw(self, last: bool = False) -> None:
        """Bring the bar up to date, if that was some time ago."""
        if self._bar is not None and (last or time.monotonic() - self._drawn >= INTERVAL):
            self._bar.set_postfix_str(", ".join(map("=".join, self._texts())), refresh=False)
            self._bar.update(self.count - self._bar.n)
            self._drawn = time.monotonic()

    def _texts(self) -> Iterator[tuple[str, str]]:
        for name, value in self._values.items():
            yield name, str(value) if isinstance(value, str | int) else f"{as_float(value):.4g}"


def _length(items: Any) -> int | None:
    try:
        return len(items)
    except TypeError:  # it has none
        return None


def _has_no_size(file: IO[str]) -> bool:
    """Tell whether a terminal says that it has no columns, as some do that are emulated."""
    try:
        return os.get_terminal_size(file.fileno()).columns == 0
    except (AttributeError, OSError, ValueError):
        return False


def _load_tqdm() -> Any:
    try:
        return importlib.import_module("tqdm").tqdm
    except ImportError as error:
        raise ImportError(
            'Progress: tqdm is not installed; pip install "minidl[plots]", or pass visible=False'
        ) from error
