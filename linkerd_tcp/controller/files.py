"""`io.l5d.fs` as a storage: the dtab of the namespace `a/b` is the file `a/b.dtab` below a folder.

The files are the truth. They are written here, by other processes and by editors; whoever wrote, what is in them is
read again before anybody is told.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from os.path import realpath
from typing import Any, Final

from linkerd_tcp.controller import disk, replace
from linkerd_tcp.controller.disk import Place
from linkerd_tcp.controller.follower import Follower
from linkerd_tcp.controller.storage import PREFIX, Mismatch, State, Versioned, check_name
from linkerd_tcp.controller.table import Table
from linkerd_tcp.controller.text import to_bytes
from linkerd_tcp.controller.writer import Order, Writer
from linkerd_tcp.interpreters.dtab_file import DtabFileError, read_dtab
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import NamerFigures, WatchState
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.net.watch import Mode

KIND: Final = "io.l5d.fs"

_log: Final = logging.getLogger(__name__)


class FileStore:
    """A `Store` of the files below `root`.

    A version is that of the file's content, comments and all: a restart keeps it, every process on the folder has the
    same, and a change that is not made here changes it too. When a file is changed and changed back, the old version
    is good again. That harms nobody: whoever compares with it has seen the very text that they replace.
    """

    kind = KIND
    prefix = PREFIX

    def __init__(self, root: str, *, mode: Mode = "auto") -> None:
        self.root = root
        self.figures = NamerFigures()
        what = f"the dtab store {root}"
        self._table = Table(what)
        self._follower = Follower(root, self._table, self.figures, mode)
        self._writer = Writer(what, self.figures, _log)

    def start(self) -> None:
        try:
            self._follower.start()
        except BaseException:
            self.close()
            raise

    def namespaces(self) -> Watch[tuple[str, ...]]:
        return self._table.namespaces()

    def watch(self, ns: str) -> Watch[State]:
        return self._table.watch(ns)

    def get(self, ns: str) -> State:
        return self._table.get(ns)

    def create(self, ns: str, dtab: Dtab) -> None:
        data = self._prepare(ns, dtab)
        self._change(ns, partial(replace.create, self._place(ns), data), dtab)

    def put(self, ns: str, dtab: Dtab, version: bytes | None = None) -> None:
        data = self._prepare(ns, dtab, is_new=version is None)
        if version is None:
            self._change(ns, partial(replace.put, self._place(ns), data), dtab)
            return
        try:
            self._change(ns, partial(replace.put_if, self._place(ns), data, version), dtab)
        except Mismatch as error:
            problem = self._follower.error_of(ns)
            raise Mismatch(f"{error} (what is there now cannot be: {problem})") if problem else error from None

    def delete(self, ns: str) -> None:
        self._table.get(ns)
        self._change(ns, partial(replace.delete, self._place(ns)), None)

    def apply(self, config: Any) -> None:
        """Nothing: with another rootDir it is another store."""

    def check(self) -> list[str]:
        """What is wrong with any file, as lines to print. Needs no `start`; reads everything, so it takes long."""
        try:
            return list(_problems(self.root))
        except OSError as error:
            return [f"{self.root}: {error.strerror}"]

    def watches(self) -> Iterator[WatchState]:
        return self._follower.rows()

    def close(self) -> None:
        self._writer.close()
        self._follower.close()
        self._table.close()

    def _place(self, ns: str) -> Place:
        return Place(self.root, self.root, ns)

    def _prepare(self, ns: str, dtab: Dtab, *, is_new: bool = True) -> bytes:
        check_name(ns)
        data = to_bytes(dtab)
        if is_new or self._table.get(ns) is not None:
            self._table.check_room(ns, len(data))
        return data

    def _change(self, ns: str, work: Callable[[], bytes], dtab: Dtab | None) -> None:
        """`dtab` is what is to be there afterwards, None: nothing."""

        def settle(version: bytes | None) -> None:
            written = Versioned(dtab, version) if dtab is not None and version is not None else None
            self._follower.settle(ns, written, gone=dtab is None and version is not None)

        # Followed before it is there: so that the new file is no surprise.
        self._writer.ask(Order(ns, partial(self._follower.follow, ns), work, settle))


def _problems(shown_root: str) -> Iterator[str]:
    root = realpath(shown_root)
    for ns in disk.find(root):
        text = disk.read_text(Place(root, shown_root, ns))
        if text.problem:
            yield text.problem
        elif text.data is not None:
            try:
                read_dtab(text.data, text.shown)
            except DtabFileError as error:
                yield str(error)
