"""A dtab from a file, and one that follows it: live, the last good one kept."""

import errno
import logging
import os
from collections.abc import Callable
from time import time
from typing import Final

from linkerd_tcp.config.fields import marked
from linkerd_tcp.errors import DtabError
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import NamerFigures, WatchState
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.files import MAX_FILE_BYTES, Sighting, State, read
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.net.watch import FolderWatcher

_log: Final = logging.getLogger(__name__)


class DtabFileError(ValueError):
    """A file that is no dtab: a line to print, `my.dtab:3:5: ...`. `cause` is what it is counted under."""

    def __init__(self, cause: str, words: str) -> None:
        super().__init__(words)
        self.cause = cause


def read_dtab_file(file: str, shown: str) -> Dtab:
    """The dtab in `file`, which errors call `shown`; DtabFileError. It takes long over a long one, in turns: not to be
    called from the hub.
    """
    return read_dtab(_bytes(file, shown), shown)


def _bytes(file: str, shown: str) -> bytes:
    try:
        return read("/", os.path.realpath(file))
    except OSError as error:
        raise _unreadable(error, shown) from None


def read_dtab(data: bytes, shown: str) -> Dtab:
    """The dtab in the bytes of a file, as `read_dtab_file`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start)
        raise DtabFileError("invalid", f"{shown}:{line}:{column}: not UTF-8 text") from None
    if not text.strip():
        # What a full disk, or an editor that died, leaves behind; followed, it would take every name away.
        raise DtabFileError("invalid", f"{shown}: it is empty (if no entries are meant, write a comment: # none)")
    turns = Turns()
    entries = []
    try:
        for entry in Dtab.entries(text):
            entries.append(entry)
            turns.rest()
    except DtabError as error:
        line, column = text.count("\n", 0, error.offset) + 1, error.offset - text.rfind("\n", 0, error.offset)
        raise DtabFileError("invalid", f"{shown}:{line}:{column}: not a dtab: {marked(error)}") from None
    return Dtab(entries)


def _unreadable(error: OSError, shown: str) -> DtabFileError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return DtabFileError("missing", f"{shown}: it is not there")
    if error.errno == errno.EFBIG:
        return DtabFileError("too_large", f"{shown}: larger than {MAX_FILE_BYTES} bytes")
    remedy = " (this process may not read it)" if error.errno in (errno.EACCES, errno.EPERM) else ""
    return DtabFileError("unreadable", f"{shown}: {error.strerror}{remedy}")


class DtabFile:
    """The dtab in `file`, from `start` to `close`; `on_dtab` is told every other good one, in a greenlet of this.

    A `Discovery` with one watch, called as the file is. A file that is bad or gone changes nothing and is said.
    """

    def __init__(self, file: str, kind: str, prefix: Path, on_dtab: Callable[[Dtab], None]) -> None:
        self.kind = kind
        self.prefix = prefix
        self.figures = NamerFigures()
        self.dtab = Dtab()
        self.file = file
        self.text = ""
        """As it was good last."""
        self._on_dtab = on_dtab
        self._error: DtabFileError | None = None
        self._error_at: float | None = None
        folder, self._name = os.path.split(os.path.abspath(file))
        self._watcher = FolderWatcher(folder, log=_log, deep=False)

    def start(self) -> Dtab:
        """Follow the file from now on; what is in it now. DtabFileError, and nothing runs, if that is no dtab."""
        self._watcher.start()
        try:
            # Watched before it is read: what is written in between is seen.
            self._watcher.watch((self._name,), self._seen)
            self._read()
        except BaseException:
            self._watcher.close()
            raise
        return self.dtab

    def watches(self) -> list[WatchState]:
        count = len(self.dtab)
        value = f"{count} {'entry' if count == 1 else 'entries'}"
        error = None if self._error is None else str(self._error)
        return [WatchState(self._name, "bound", 0, self.figures.last_good_at, error, self._error_at, None, value)]

    def close(self) -> None:
        """Closing twice is harmless."""
        self._watcher.close()

    def _seen(self, sighting: Sighting) -> None:
        try:
            if sighting.state is State.PROBLEM:
                raise DtabFileError("unreadable", sighting.problem)
            if sighting.state is not State.FILE:
                raise DtabFileError("missing", sighting.problem or f"{self.file}: it is not there any more")
            self._read()
        except DtabFileError as error:
            self._bad(error)
        else:
            self._on_dtab(self.dtab)

    def _read(self) -> None:
        data = _bytes(self.file, self.file)
        dtab = read_dtab(data, self.file)
        if self._error is not None:
            _log.info("%s is good again", self.file)
        self._error = self._error_at = None
        self.dtab, self.text = dtab, data.decode("utf-8-sig")
        self.figures.updates += 1
        self.figures.last_good_at = time()

    def _bad(self, error: DtabFileError) -> None:
        self.figures.error(error.cause)
        if self._error is None or str(error) != str(self._error):
            _log.warning("%s: the last good entries are kept", error)
        self._error, self._error_at = error, time()
