"""Writing the result file, so that nothing that was measured is lost.

The file appears under its name with its header in it, so it is never empty, and each line is handed to the operating
system as soon as it is known. From the beginning some room on the disk is kept for the last lines, which say how the
command ended: on a full disk it is given back for them. The file itself is never removed once it holds a measurement.
"""

import contextlib
import errno
import os
import secrets
import tempfile
from functools import partial
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dbbench.errors import DbbenchError, UsageError, reason
from dbbench.files import sync_folder, write_all
from dbbench.records import AnyHeader, End, Record
from dbbench.result_lines import MAX_BYTES, NotAResult, Rules, line_of

RESERVE_BYTES: Final = 128 * 1024  # for a last problem and the end
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class RefusedError(DbbenchError):
    """A record that no result file can hold; what was written stays as it is."""


class Writer:
    """Appends records to a new result file; lines already written stay intact, whatever happens to the next record."""

    def __init__(self, path: Path, reserve: FileIO) -> None:
        self.path = path
        self._reserve = reserve
        self._file: FileIO | None = None  # until there is a header
        self._rules: Rules | None = None
        self._size = 0  # bytes up to the end of the last whole line

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the folder, and see that the file, which its header makes, can be made; else raises UsageError."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.lstat()
        except FileNotFoundError:
            pass
        except FileExistsError as error:
            raise UsageError(f"{path} cannot be written: {error.filename} is not a folder") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise _unwritable(path, error) from error
        else:
            raise _exists(path)
        try:
            return cls(path, _reserved(path.parent))
        except OSError as error:
            raise _unwritable(path, error) from error

    def write(self, record: Record) -> None:
        """Append one line and hand it to the operating system; the header, which comes first, makes the file.

        Raises DbbenchError where that fails, RefusedError for what no file can hold, UsageError for such a header and
        where there is a file of that name by now.
        """
        try:
            line, read = line_of(record)
            if self._rules is None:
                assert isinstance(read, AnyHeader), "a result file begins with its header"
                rules = Rules(read)
            else:
                rules = self._rules
                rules.check(read)
        except NotAResult as error:
            if isinstance(record, AnyHeader):
                raise UsageError(f"no result file can hold this: {error}") from None
            raise RefusedError(f"no result file can hold this: {error}") from None
        if isinstance(record, End):
            self._reserve.close()  # which frees the room
        elif self._size + len(line) > MAX_BYTES - RESERVE_BYTES:
            raise DbbenchError(f"{self.path} is full: a result file has {MAX_BYTES >> 20} MB at most")
        try:
            if self._file is None:
                self._file = _begun(self.path, line)
            else:
                self._append(self._file, line)
        except OSError as error:
            raise DbbenchError(f"{self.path} cannot be written: {reason(error)}") from error
        self._rules = rules
        self._size += len(line)

    def _append(self, file: FileIO, line: bytes) -> None:
        try:
            write_all(file, line)
        except BaseException:
            # Half a line would make the following lines unreadable too.
            with contextlib.suppress(OSError):
                file.truncate(self._size)
                file.seek(self._size)
            raise

    def remove(self) -> None:
        """Remove the file, which holds nothing that was measured."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Flush the file to disk and close it; closing twice is fine."""
        self._reserve.close()
        if self._file is None or self._file.closed:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DbbenchError(f"{self.path} cannot be flushed to disk: {reason(error)}") from error
        finally:
            with contextlib.suppress(OSError):  # of a network's file system, which says so only now
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _reserved(folder: Path) -> FileIO:
    """Room on the disk, as a file without a name: it is free again when it is closed, or this process ends."""
    file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - it is kept
    try:
        write_all(file, os.urandom(RESERVE_BYTES))  # which no file system packs
    except BaseException as error:
        if not (isinstance(error, OSError) and error.errno == errno.EFBIG):  # which limits each file by itself
            file.close()
            raise
    return file


def _begun(path: Path, header: bytes) -> FileIO:
    """The new file with its header in it, on the disk, readable by its owner only; never over another file.

    Raises UsageError where there is one.
    """
    part = path.with_name(f".dbbench-{secrets.token_hex(8)}")
    file = FileIO(part, "xb", opener=partial(os.open, mode=0o600))
    try:
        write_all(file, header)
        os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:
            raise _exists(path) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _rename(part, path)
        sync_folder(path.parent)
    except BaseException:
        file.close()
        raise
    finally:
        part.unlink(missing_ok=True)
    return file


def _rename(part: Path, path: Path) -> None:
    """Rename where there are no links; the name is taken first, since renaming replaces."""
    try:
        FileIO(path, "xb").close()
    except FileExistsError:
        raise _exists(path) from None
    part.replace(path)


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists already", "give another --output, or remove it")


def _unwritable(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path} cannot be written: {reason(error)}", "--output names another")
