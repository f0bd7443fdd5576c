"""Dtab files replaced and removed. Every function here blocks: it runs in a native thread.

A file is replaced by renaming a new one over it, when that is whole and on the disk: whoever is killed at any moment
leaves the old file or the new one. A lock that all processes take keeps two of them from changing the folder at once.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import ELOOP, ENOENT, ENOTDIR
from fcntl import LOCK_EX, LOCK_NB, flock
from random import uniform
from secrets import token_hex
from time import monotonic
from typing import Final

from gevent import monkey

from linkerd_tcp.controller.disk import LOCK_NAME, Place, translated, version_of, walk
from linkerd_tcp.controller.storage import Exists, Forbidden, Mismatch, Missing, StoreError
from linkerd_tcp.net.files import MAX_FILE_BYTES

LOCK_SECS: Final = 5.0

_TEMP: Final = re.compile(r"\.linkerd-tcp-[0-9a-f]{16}\.tmp")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_NO_FOLDER: Final = (ENOENT, ENOTDIR, ELOOP)

# gevent's own belong to the loop's thread: they may put the closing off, or wake the loop.
_close: Final = monkey.get_original("os", "close")
_sleep: Final = monkey.get_original("time", "sleep")


def create(place: Place, data: bytes) -> bytes:
    """The new version. Exists, or StoreError as of `translated`."""
    with translated(place), _locked(place.root, place.shown_root) as root, _folder(root, place, make=True) as folder:

        def check() -> os.stat_result | None:
            if _info(folder, place) is not None:
                raise Exists(f"the namespace {place.ns!r} is there already")
            return None

        return _replace(folder, place, data, check)


def put(place: Place, data: bytes) -> bytes:
    """The new version, whatever was there. StoreError as of `translated`."""
    with translated(place), _locked(place.root, place.shown_root) as root, _folder(root, place, make=True) as folder:
        return _replace(folder, place, data, lambda: _info(folder, place))


def put_if(place: Place, data: bytes, version: bytes) -> bytes:
    """The new version. Missing, and Mismatch unless the file has the content of `version` at this moment; or StoreError
    as of `translated`.
    """
    with translated(place), _locked(place.root, place.shown_root) as root, _folder(root, place) as folder:

        def check() -> os.stat_result:
            info = _info(folder, place)
            if info is None:
                raise Missing(f"there is no namespace {place.ns!r}")
            if _version_now(folder, place) != version:
                raise Mismatch(f"the namespace {place.ns!r} ({place.shown}) was changed meanwhile: read it again")
            return info

        return _replace(folder, place, data, check)


def delete(place: Place) -> bytes:
    """No version. Missing, or StoreError as of `translated`. Folders that are empty then go too."""
    with translated(place), _locked(place.root, place.shown_root) as root:
        with _folder(root, place) as folder:
            if _info(folder, place) is None:
                raise Missing(f"there is no namespace {place.ns!r}")
            with suppress(FileNotFoundError):  # an editor was faster
                os.unlink(place.file, dir_fd=folder)
            _confirm(folder, place)
        _prune(root, place)
    return b""


def clean(root: str) -> int:
    """Remove what writers that were killed have left; how many files that were."""
    removed = 0
    with _locked(root, root):  # so that nobody is writing one of them now
        for _, entry in walk(root):
            if _TEMP.fullmatch(entry.name):
                with suppress(OSError):
                    os.unlink(entry.path)
                    removed += 1
    return removed


def _replace(folder: int, place: Place, data: bytes, check: Callable[[], os.stat_result | None]) -> bytes:
    """Put a file with `data` in the place; `check` says what is there, or raises."""
    info = check()
    temp = f".linkerd-tcp-{token_hex(8)}.tmp"
    try:
        _write(folder, temp, data, info)
        # Once more: an editor knows nothing of the lock, and may have saved while the disk took its time.
        check()
        os.replace(temp, place.file, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temp, dir_fd=folder)
        raise
    _confirm(folder, place)
    return version_of(data)


def _write(folder: int, temp: str, data: bytes, info: os.stat_result | None) -> None:
    """A new file on the disk, with the mode and owner of the one it is to replace."""
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666, dir_fd=folder)
    try:
        if info is not None:
            os.fchmod(fd, stat.S_IMODE(info.st_mode))
            with suppress(OSError):  # only root may give files away
                os.fchown(fd, info.st_uid, info.st_gid)
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        os.fsync(fd)
    finally:
        _close(fd)


def _confirm(folder: int, place: Place) -> None:
    """The change of the folder is on the disk too."""
    try:
        os.fsync(folder)
    except OSError as error:
        raise StoreError(
            f"{place.shown}: changed, but the disk did not confirm it ({error.strerror}):"
            " it may be as before if the machine stops now"
        ) from None


def _info(folder: int, place: Place) -> os.stat_result | None:
    """What is in the place: a regular file, or nothing. Forbidden for anything else."""
    try:
        info = os.lstat(place.file, dir_fd=folder)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(info.st_mode):
        raise Forbidden(f"{place.shown} is a symbolic link, which is read and not written: change what it leads to")
    if not stat.S_ISREG(info.st_mode):
        raise Forbidden(f"{place.shown} is no regular file: remove it")
    return info


def _version_now(folder: int, place: Place) -> bytes | None:
    """None: gone since it was looked at."""
    try:
        fd = os.open(place.file, _FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        data = bytearray()
        while len(data) <= MAX_FILE_BYTES and (chunk := os.read(fd, MAX_FILE_BYTES + 1 - len(data))):
            data += chunk
        return version_of(bytes(data))
    finally:
        _close(fd)


# -- the folder of a file, and the lock


@contextmanager
def _folder(root: int, place: Place, *, make: bool = False) -> Iterator[int]:
    """The open folder of the file; no link is followed on the way. Without `make` Missing where there is none."""
    fd = os.dup(root)
    try:
        for name in place.folders:
            below = _enter(fd, name, place, make)
            _close(fd)
            fd = below
        yield fd
    except BaseException:
        if make:
            _prune(root, place)
        raise
    finally:
        _close(fd)


def _enter(fd: int, name: str, place: Place, make: bool) -> int:
    if make:
        try:
            os.mkdir(name, dir_fd=fd)
            os.fsync(fd)
        except FileExistsError:
            pass
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        if not make:
            raise Missing(f"there is no namespace {place.ns!r}") from None
        raise Forbidden(f"{place.shown}: {name!r} on the way is no folder: remove it, or choose another name") from None


def _prune(root: int, place: Place) -> None:
    """Remove the folders of the file that are empty now."""
    folders = place.folders
    while folders:
        try:
            os.rmdir("/".join(folders), dir_fd=root)
        except OSError:
            return  # not empty, mostly
        folders.pop()


@contextmanager
def _locked(root: str, shown_root: str) -> Iterator[int]:
    """The open root, while no other process that uses this module changes anything below it."""
    folder = os.open(root, _FOLDER)
    try:
        lock = _lock(folder, shown_root)
        try:
            yield folder
        finally:
            _close(lock)
    finally:
        _close(folder)


def _lock(folder: int, shown_root: str) -> int:
    until = monotonic() + LOCK_SECS
    while True:
        fd = os.open(LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder)
        try:
            flock(fd, LOCK_EX | LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.lstat(LOCK_NAME, dir_fd=folder)):
                return fd
        except (BlockingIOError, FileNotFoundError):
            pass  # somebody has it, or has just removed the file
        except BaseException:
            _close(fd)
            raise
        _close(fd)
        if monotonic() >= until:
            raise StoreError(
                f"{shown_root}/{LOCK_NAME}: another process has held this lock for {LOCK_SECS:g} s:"
                " nothing was changed; is one that uses this folder stopped?"
            )
        _sleep(uniform(0.0005, 0.004))  # chance, so that no process is always too late
