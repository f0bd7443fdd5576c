"""Files below one folder and nowhere else: which file a name means, and what is in it.

Nothing here waits: a FIFO is not opened for reading, a file is read up to a bound.
"""

import contextlib
import errno
import fcntl
import os
import stat
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple, final

MAX_FILE_BYTES: Final = 1 << 20
MAX_LINKS: Final = 40
"""Symbolic links followed for one name, as the kernel does."""

SUFFIXES: Final = ("", ".yml", ".yaml")
"""What may follow a name in its file's name. The bare name is a file in linkerd's format, the others are YAML."""

_GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL)

Seen = Callable[[str, str], None]


@final
class State(Enum):
    FILE = "file"
    FOLDER = "folder"
    ABSENT = "absent"
    CONFLICT = "conflict"
    PROBLEM = "problem"


class Sighting(NamedTuple):
    """What a name was when it was looked at. Equal sightings: the file has not changed, as far as stat can tell."""

    state: State
    path: str = ""
    """The real path of the file, or of the folder."""
    shown: str = ""
    """The file's path as a person would say it: below the root that was configured."""
    signature: tuple[int, ...] = ()
    """Device, inode, mode, size, mtime in ns; of a folder only the first two."""
    problem: str = ""
    """CONFLICT, PROBLEM: why nobody can say what the name is. ABSENT: what is there but does not count; mostly empty.
    """

    @property
    def size(self) -> int:
        return self.signature[3] if self.state is State.FILE else 0


ABSENT: Final = Sighting(State.ABSENT)


class Outside(OSError):
    """A symbolic link leads out of the root."""


def is_file_name(element: str) -> bool:
    """Whether an element of a path may name a file: not empty, not hidden, one element, and encodable."""
    if not element or element[0] == "." or "/" in element or "\0" in element:
        return False
    try:
        os.fsencode(element)
    except UnicodeEncodeError:
        return False
    return True


def inside(root: str, path: str) -> bool:
    """Whether the real path `path` is the real folder `root` or below it."""
    return path == root or root == "/" or path.startswith(root + "/")


def resolve(root: str, folder: str, names: Sequence[str], seen: Seen) -> tuple[str, os.stat_result]:
    """The real path that `names` lead to from the real path `folder`, and its stat.

    `seen` hears of each (folder, name) below `root` before that is looked at, links' targets included: as long as
    none of them changes, the answer is the same. OSError as the system gives it, ELOOP after 40 links, Outside where
    the end is not below `root`.
    """
    todo = list(reversed(names))
    links = 0
    info = None
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name == "..":
            folder, info = os.path.dirname(folder), None
            continue
        if inside(root, folder):
            seen(folder, name)
        path = folder + name if folder == "/" else f"{folder}/{name}"
        info = os.lstat(path)
        if not stat.S_ISLNK(info.st_mode):
            folder = path
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(path)
        if target.startswith("/"):
            folder = "/"
        info = None
        todo.extend(reversed(target.split("/")))
    if not inside(root, folder):
        raise Outside(errno.EXDEV, "a symbolic link leads out of the folder", folder)
    return folder, info or os.lstat(folder)


def look(root: str, shown_root: str, names: Sequence[str], seen: Seen, suffixes: Sequence[str] = SUFFIXES) -> Sighting:
    """What `names` (each `is_file_name`) is below the real folder `root`.

    The last name is a file with one of `suffixes`, or else a folder without. Two files are a CONFLICT.
    """
    above = "/".join((shown_root, *names[:-1]))
    try:
        parent, _ = resolve(root, root, names[:-1], seen)
    except OSError as error:
        return _unseen(error, above)
    # `web.yml` is the file of the name `web`, and never one in linkerd's format.
    if suffixes is SUFFIXES and names[-1].endswith(SUFFIXES[1:]):
        suffixes = SUFFIXES[1:]
    found = [_one(root, parent, f"{above}/{names[-1]}{suffix}", suffix, seen) for suffix in suffixes]
    files = [each for each in found if each.state is State.FILE]
    if len(files) > 1:
        both = " and ".join(file.shown for file in files)
        return Sighting(State.CONFLICT, problem=f"{both} are two files for one name: remove one of them")
    for state in (State.PROBLEM, State.FILE, State.FOLDER):
        for each in found:
            if each.state is state:
                return each
    return Sighting(State.ABSENT, problem="; ".join(each.problem for each in found if each.problem))


def look_exactly(root: str, shown_root: str, names: Sequence[str], seen: Seen) -> Sighting:
    """What the file or folder of these very names is, for files that the operator has named: nothing is put behind
    the name, and a link may lead anywhere.

    Of the folders outside `root` only those are heard of where a link on the way is, or its end.
    """
    trail: list[tuple[str, str]] = []
    with contextlib.suppress(OSError):
        resolve("/", root, names, lambda folder, name: trail.append((folder, name)))
    for folder, name in trail:
        if inside(root, folder) or (folder, name) == trail[-1] or os.path.islink(f"{folder}/{name}"):
            seen(folder, name)
    # Looked at once more: whoever was told what to watch hears of what changes after this.
    shown = "/".join((shown_root, *names))
    try:
        parent, _ = resolve("/", root, names[:-1], _nobody)
    except OSError as error:
        return _unseen(error, shown)
    return _one("/", parent, shown, "", _nobody)


def _nobody(_folder: str, _name: str) -> None:
    """Hears of nothing."""


def _one(root: str, parent: str, shown: str, suffix: str, seen: Seen) -> Sighting:
    """What the file, or without a suffix the folder, of this very name is."""
    try:
        path, info = resolve(root, parent, (os.path.basename(shown),), seen)
    except OSError as error:
        return _unseen(error, shown)
    if stat.S_ISREG(info.st_mode):
        signature = (info.st_dev, info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns)
        return Sighting(State.FILE, path, shown, signature)
    if stat.S_ISDIR(info.st_mode) and not suffix:
        return Sighting(State.FOLDER, path, shown, (info.st_dev, info.st_ino))
    return Sighting(State.PROBLEM, problem=f"{shown} is no regular file")


def _unseen(error: OSError, shown: str) -> Sighting:
    if isinstance(error, Outside):
        return Sighting(State.ABSENT, problem=f"{shown} is a symbolic link that leads out of the folder: not followed")
    if error.errno in _GONE:
        return ABSENT
    if error.errno == errno.ELOOP:
        return Sighting(State.ABSENT, problem=f"{shown} is a symbolic link that leads nowhere")
    return Sighting(State.PROBLEM, problem=f"{shown}: {error.strerror}")


def read(root: str, path: str) -> bytes:
    """The bytes of the regular file at the real path `path` below the real folder `root`.

    OSError where it cannot be read; EFBIG above 1 MiB. Whatever was swapped in since `path` was found: nothing but a
    regular file below `root` is read (checked on the open file), and opening never waits for a FIFO's writer.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if not inside(root, _real_path(fd, path)):
            raise Outside(errno.EXDEV, "moved out of the folder", path)
        data = bytearray()
        while chunk := os.read(fd, MAX_FILE_BYTES + 1 - len(data)):
            data += chunk
            if len(data) > MAX_FILE_BYTES:
                raise OSError(errno.EFBIG, f"larger than {MAX_FILE_BYTES} bytes", path)
        return bytes(data)
    finally:
        os.close(fd)


def _real_path(fd: int, path: str) -> str:
    """Where an open file is, asked of the kernel: a folder of `path` may have become a link after `path` was found."""
    if sys.platform == "darwin":
        return os.fsdecode(fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return os.path.realpath(path)  # no /proc here
