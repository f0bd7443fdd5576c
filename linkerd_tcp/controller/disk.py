"""Dtab files below one folder, found and read. Every function here blocks: it runs in a native thread."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from gevent import monkey

from linkerd_tcp.controller.storage import MAX_ELEMENTS, BadName, Forbidden, Full, StoreError, check_name
from linkerd_tcp.net.files import State, look, read

SUFFIX: Final = ".dtab"
LOCK_NAME: Final = ".linkerd-tcp.lock"
MAX_ENTRIES: Final = 100_000
"""Files and folders that are looked at to find the dtab files among them."""

_sleep: Final = monkey.get_original("time", "sleep")


class Place(NamedTuple):
    """A namespace's file."""

    root: str
    """The real path of the folder."""
    shown_root: str
    """As it was configured."""
    ns: str

    @property
    def folders(self) -> list[str]:
        return self.ns.split("/")[:-1]

    @property
    def file(self) -> str:
        return self.ns.split("/")[-1] + SUFFIX

    @property
    def shown(self) -> str:
        return f"{self.shown_root}/{self.ns}{SUFFIX}"


class Text(NamedTuple):
    """What was in a file: `data`, or why it could not be read; neither where there is no file."""

    shown: str
    data: bytes | None = None
    version: bytes = b""
    problem: str = ""


def version_of(data: bytes) -> bytes:
    """The version of a file's content: the same for every process, and after a restart."""
    return hashlib.sha256(data).digest()[:16]


def read_text(place: Place) -> Text:
    """What is in the file. A link is followed as long as it leads to a file below the root."""
    sighting = look(place.root, place.shown_root, place.ns.split("/"), _nobody, (SUFFIX,))
    if sighting.state is not State.FILE:
        problem = sighting.problem
        if not problem and not os.path.isdir(place.root):
            # Not every namespace is gone, but the disk they are on.
            problem = f"{place.shown_root}: the folder is gone"
        return Text(place.shown, problem=problem)
    try:
        data = read(place.root, sighting.path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return Text(place.shown)
        return Text(place.shown, problem=f"{place.shown}: {error.strerror}")
    return Text(place.shown, data, version_of(data))


def _nobody(_folder: str, _name: str) -> None:
    """Hears of nothing: this is no watch."""


def find(root: str) -> list[str]:
    """The namespaces that have a file, sorted: neither hidden ones nor those behind a linked folder. OSError if the
    root cannot be read; a folder below it that cannot has none.
    """
    found = []
    for above, entry in walk(root):
        ns = "/".join((*above, entry.name.removesuffix(SUFFIX)))
        if entry.name.endswith(SUFFIX) and _is_name(ns) and not _is_folder(entry):
            found.append(ns)
    return sorted(found)


def walk(root: str) -> Iterator[tuple[tuple[str, ...], "os.DirEntry[str]"]]:
    """What is in the folder and its folders, at most MAX_ENTRIES."""
    todo: list[tuple[tuple[str, ...], str]] = [((), root)]
    count = 0
    while todo:
        above, folder = todo.pop()
        try:
            entries = os.scandir(folder)
        except OSError:
            if not above:
                raise
            continue  # gone, or not ours to read
        with entries:
            for entry in entries:
                count += 1
                if count > MAX_ENTRIES:
                    return
                if count % 64 == 0:
                    _sleep(0.0001)  # lets go of the interpreter, which the loop may be waiting for
                if entry.name[0] != "." and len(above) < MAX_ELEMENTS - 1 and _is_folder(entry):
                    todo.append(((*above, entry.name), entry.path))
                yield above, entry


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_name(ns: str) -> bool:
    try:
        check_name(ns)
    except BadName:
        return False
    return True


@contextmanager
def translated(place: Place) -> Iterator[None]:
    """StoreError, Forbidden, Full or BadName in the place of OSError."""
    try:
        yield
    except OSError as error:
        raise refusal(error, place) from None


def refusal(error: OSError, place: Place) -> StoreError:
    """What the disk said about a change that was not made, and what can be done."""
    words = f"{place.shown}: {error.strerror}: nothing was changed"
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return Forbidden(
                f"{words} (let the user {os.geteuid()} write in {place.shown_root} and to {LOCK_NAME} there)"
            )
        case errno.EROFS:
            return Forbidden(
                f"{words} (mount {place.shown_root} for writing, or change the files where they come from)"
            )
        case errno.ENOSPC | errno.EDQUOT:
            return Full(f"{words} (make room on the disk of {place.shown_root})")
        case errno.ENAMETOOLONG:
            return BadName(f"{words} (choose a shorter name)")
        case errno.ENOLCK | errno.EOPNOTSUPP | errno.ENOSYS:
            return StoreError(f"{words} (are there locks, flock, on this file system?)")
        case errno.ENOENT | errno.ENOTDIR:
            return StoreError(f"{words} (is {place.shown_root} still a folder?)")
    return StoreError(words)
