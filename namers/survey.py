"""Everything below a folder of endpoint files, looked at once: what `--check` prints, and which names there are."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import Final

from linkerd_tcp.net.files import SUFFIXES, State, is_file_name, look, read
from namers.endpoints import EndpointsError, read_file, whole

MAX_NAMES: Final = 10_000
MAX_DEPTH: Final = 32
MAX_PROBLEMS: Final = 1000


def names_in(folder: str) -> list[str]:
    """The names that the files and folders in `folder` stand for, sorted; at most 10 000. None if it cannot be read."""
    names: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, MAX_NAMES):
                suffix = next((each for each in SUFFIXES[1:] if entry.name.endswith(each)), "")
                name = entry.name.removesuffix(suffix)
                if is_file_name(name):
                    names.add(name)
    except OSError:
        return []
    return sorted(names)


def problems(root: str) -> list[str]:
    """What is wrong with the files below `root`, as lines to print: `file:line:column: ...` or `file: ...`. At most 1
    000.
    """
    return list(islice(_problems(os.path.realpath(root), root), MAX_PROBLEMS))


def _problems(root: str, shown_root: str) -> Iterator[str]:
    todo: list[tuple[str, ...]] = [()]
    folders = {root}
    looked_at = 0
    while todo:
        above = todo.pop()
        folder = root if not above else look(root, shown_root, above, _nobody).path
        for name in names_in(folder):
            looked_at += 1
            if looked_at > MAX_NAMES:
                yield f"{shown_root}: more than {MAX_NAMES} names: the others were not checked"
                return
            sighting = look(root, shown_root, (*above, name), _nobody)
            if sighting.state is State.FILE:
                yield from _file(root, sighting.path, sighting.shown)
            elif sighting.state is not State.FOLDER:
                if sighting.problem:
                    yield sighting.problem
            elif len(above) < MAX_DEPTH and sighting.path not in folders:  # a link may lead back up
                folders.add(sighting.path)
                todo.append((*above, name))


def _file(root: str, path: str, shown: str) -> Iterator[str]:
    try:
        whole(read_file(read(root, path), shown))
    except EndpointsError as error:
        yield from error.problems
    except OSError as error:
        yield f"{shown}: {error.strerror}"


def _nobody(_folder: str, _name: str) -> None:
    """Hears of nothing: this is no watch."""
