"""A file that is replaced whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TypeAlias

PathLike: TypeAlias = "str | os.PathLike[str]"


@contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of ``path`` once it is complete; an exception leaves no trace."""
    import secrets  # these three load what `import minidl` does not need
    from pathlib import Path

    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no folder {target.parent}; make it first")
    if target.is_dir():
        raise IsADirectoryError(f"{target}: expected a file, got a folder; name a file in it")
    if target.exists() and not target.is_file():  # it would be gone: even /dev/null, for one who may do so
        raise OSError(f"{target}: expected a file, got a device or a pipe; name a file")
    temporary = target.with_name(f".{target.name[:50]}.{secrets.token_hex(8)}.tmp")  # 255 bytes are the most
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            error.filename = str(target)  # a full disk names no file, and the temporary name says nothing
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: PathLike) -> None:
    """Make the new name in a folder survive a power cut; Windows has no such call."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
