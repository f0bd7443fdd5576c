import errno
import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path as File
from time import sleep as patched_sleep
from typing import Any

import gevent
import pytest
from gevent import monkey

from linkerd_tcp.controller import follower, replace, writer
from linkerd_tcp.controller.disk import LOCK_NAME, Place, read_text
from linkerd_tcp.controller.files import FileStore
from linkerd_tcp.controller.storage import (
    Broken,
    Exists,
    Forbidden,
    Full,
    Mismatch,
    Missing,
    State,
    StoreError,
    Versioned,
)
from linkerd_tcp.errors import StartError
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import WatchState
from linkerd_tcp.naming.watch import Watch
from tests.controller.writers import text
from tests.leaks import no_leaks
from tests.sockets import eventually

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

native_sleep = monkey.get_original("time", "sleep")
assert patched_sleep is not native_sleep

A, B, C = (Dtab.read(each) for each in ("/a => /1", "/b => 0.5*/1 & /2 | ! ; /* => ~", "/c => /3"))
AS_ROOT = os.geteuid() == 0


@contextmanager
def started(root: File, **options: Any) -> Iterator[FileStore]:
    store = FileStore(str(root), **options)
    store.start()
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def root(tmp_path: File) -> File:
    folder = tmp_path / "dtabs"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: File) -> Iterator[FileStore]:
    with started(root) as store:
        yield store


def seen(store: FileStore, ns: str) -> str | None:
    """The dtab as text, `!...` for a broken one."""
    return shown(store.get(ns))


def shown(state: State) -> str | None:
    match state:
        case None:
            return None
        case Broken(cause=cause):
            return f"!{cause}"
        case Versioned(dtab=dtab):
            return str(dtab)


def version_of(store: FileStore, ns: str) -> bytes:
    state = store.get(ns)
    assert isinstance(state, Versioned), state
    return state.version


def row_of(store: FileStore) -> WatchState:
    (row,) = store.watches()
    return row


def record(watch: Watch[State]) -> list[str | None]:
    told: list[str | None] = []
    watch.observe(lambda state: told.append(shown(state)))
    return told


def hidden(root: File) -> set[str]:
    return {file.name for file in root.rglob(".*")} - {LOCK_NAME}


# -- which file a namespace is


def test_a_hand_written_file_is_read_with_its_comments_and_a_put_replaces_all_of_it(root: File) -> None:
    (root / "web.dtab").write_text("# first\n\n/a => /1 ; # and then\n  /b => /2\n")
    with started(root) as store:
        assert seen(store, "web") == "/a=>/1;/b=>/2"
        store.put("web", B, version_of(store, "web"))
    assert (root / "web.dtab").read_text() == "/b => 0.5*/1 & /2 | ! ;\n/* => ~ ;\n"


def test_a_slash_in_a_name_is_a_folder(store: FileStore, root: File) -> None:
    store.create("team/eu/web", A)
    assert (root / "team" / "eu" / "web.dtab").read_text() == "/a => /1 ;\n"


def test_other_files_are_ignored(root: File) -> None:
    for name in ("web", "web.yml", ".web.dtab", "web.dtab~", "web.dtab.bak", ".dtab", "README"):
        (root / name).write_text("/a => /1")
    (root / "folder.dtab").mkdir()
    (root / "folder.dtab" / "in.dtab").write_text("/a => /1")
    (root / ".git").mkdir()
    (root / ".git" / "web.dtab").write_text("/a => /1")
    (root / "new\nline.dtab").write_text("/a => /1")
    os.mkfifo(root / "pipe")
    with started(root) as store:
        assert store.namespaces().value == ("folder.dtab/in",)
        assert [row.name for row in store.watches()] == ["/folder.dtab/in"]


def test_a_start_without_the_folder_says_so(tmp_path: File) -> None:
    store = FileStore(str(tmp_path / "nowhere"))
    with pytest.raises(StartError, match=r"namerd\.storage\.rootDir: .*/nowhere: No such file or directory"):
        store.start()


def test_check_lists_every_file_that_is_no_dtab(root: File) -> None:
    (root / "good.dtab").write_text("/a => /1")
    (root / "bad.dtab").write_text("/a => /1 ;\n/b -> /2")
    (root / "empty.dtab").write_text("\n")
    (root / "large.dtab").write_bytes(b"#" * ((1 << 20) + 1))
    found = FileStore(str(root)).check()
    assert [line.removeprefix(f"{root}/").partition(": ")[0] for line in found] == [
        "bad.dtab:2:4",
        "empty.dtab",
        "large.dtab",
    ]
    assert FileStore(f"{root}/nowhere").check() == [f"{root}/nowhere: No such file or directory"]


# -- written by others


def test_what_an_editor_does_is_told(store: FileStore, root: File) -> None:
    watch, names = store.watch("a/web"), store.namespaces()
    told = record(watch)
    (root / "a").mkdir()
    (root / "a" / "web.dtab").write_text("/a => /1")
    eventually(lambda: told == ["/a=>/1"])
    assert names.value == ("a/web",)
    (root / "a" / "web.dtab").write_text("/a => /2")
    eventually(lambda: told[1:] == ["/a=>/2"])
    (root / "a" / "web.dtab").unlink()
    eventually(lambda: told[2:] == [None])
    assert names.value == ()


def test_a_file_that_is_replaced_is_never_gone_in_between(store: FileStore, root: File) -> None:
    """As vim saves: the old file is moved aside, the new one written."""
    store.create("web", A)
    told = record(store.watch("web"))
    (root / "web.dtab").rename(root / "web.dtab~")
    gevent.sleep(0.02)
    (root / "web.dtab").write_text("/a => /2")
    eventually(lambda: told)
    assert told == ["/a=>/2"]


def test_a_write_that_is_refused_while_a_file_is_replaced_takes_nothing_away(store: FileStore, root: File) -> None:
    store.create("web", A)
    told = record(store.watch("web"))
    (root / "web.dtab").rename(root / "web.dtab~")
    with pytest.raises(Missing):
        store.put("web", B, version_of(store, "web"))
    (root / "web.dtab").write_text("/a => /2")
    eventually(lambda: told)
    assert told == ["/a=>/2"]


def test_folders_that_come_and_go_take_their_namespaces_along(store: FileStore, root: File, tmp_path: File) -> None:
    aside = tmp_path / "aside"
    (aside / "deep").mkdir(parents=True)
    (aside / "web.dtab").write_text("/a => /1")
    (aside / "deep" / "web.dtab").write_text("/a => /2")
    names = store.namespaces()
    aside.rename(root / "team")
    eventually(lambda: names.value == ("team/deep/web", "team/web"))
    (root / "team").rename(root / "other")
    eventually(lambda: names.value == ("other/deep/web", "other/web"))
    (root / "other").rename(aside)
    eventually(lambda: names.value == ())


def test_without_file_events_everything_is_seen_too(root: File) -> None:
    with started(root, mode="poll") as store:
        told = record(store.watch("web"))
        (root / "web.dtab").write_text("/a => /1")
        eventually(lambda: told == ["/a=>/1"])
        (root / "web.dtab").write_text("/a => /23")
        eventually(lambda: told[1:] == ["/a=>/23"])
        (root / "web.dtab").unlink()
        eventually(lambda: told[2:] == [None])
        store.create("own", A)
        assert seen(store, "own") == "/a=>/1"


def test_a_change_made_here_is_told_once(store: FileStore) -> None:
    told = record(store.watch("web"))
    for number in range(20):
        store.put("web", Dtab.read(f"/a => /{number}"))
    gevent.sleep(0.3)  # the events of all of them have come by then, and each file was read again
    assert told == [f"/a=>/{number}" for number in range(20)]


def test_two_stores_on_one_folder_see_each_other(root: File, store: FileStore) -> None:
    with started(root) as other:
        told = record(other.watch("web"))
        store.create("web", A)
        with pytest.raises(Exists):
            other.create("web", B)
        eventually(lambda: told == ["/a=>/1"])
        other.put("web", B, version_of(other, "web"))
        with pytest.raises(Mismatch):
            store.put("web", C, (b"\0" * 16))
        eventually(lambda: seen(store, "web") == str(B))
        store.delete("web")
        with pytest.raises(Missing):
            other.delete("web")
        eventually(lambda: seen(other, "web") is None)


def test_the_root_may_be_a_link_that_is_turned(tmp_path: File) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "web.dtab").write_text(f"/a => /{name}")
    (tmp_path / "root").symlink_to("one")
    with started(tmp_path / "root") as store:
        assert seen(store, "web") == "/a=>/one"
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(tmp_path / "root")
        eventually(lambda: seen(store, "web") == "/a=>/two")
        store.create("new", A)
        assert (tmp_path / "two" / "new.dtab").exists()


def test_a_folder_that_is_gone_altogether_takes_nothing_away(root: File, tmp_path: File) -> None:
    (root / "web.dtab").write_text("/a => /1")
    with started(root) as store:
        told = record(store.watch("web"))
        root.rename(tmp_path / "away")
        eventually(lambda: row_of(store).error == f"{root}: the folder is gone")
        with pytest.raises(StoreError, match="still a folder"):
            store.put("web", B)
        (tmp_path / "away").rename(root)
        (root / "web.dtab").write_text("/a => /2")
        eventually(lambda: told == ["/a=>/2"])
        assert row_of(store).error is None


# -- files that are no dtabs


def test_a_bad_file_keeps_the_last_good_dtab_and_says_where(
    store: FileStore, root: File, caplog: pytest.LogCaptureFixture
) -> None:
    store.create("web", A)
    told = record(store.watch("web"))
    (root / "web.dtab").write_text("/a => /1 ;\n/b -> /2\n")
    eventually(lambda: row_of(store).error)
    place = f"{root}/web.dtab:2:4: not a dtab: expected '='"
    assert (row_of(store).error or "").startswith(place)
    assert (row_of(store).state, row_of(store).is_stale) == ("bound", True)
    (root / "web.dtab").write_text("/a => /1 ;\n/b -> /2\n# the same complaint again\n")
    eventually(lambda: store.figures.errors == {"invalid": 2})
    assert [record.message.startswith(place) for record in caplog.records] == [True], "said once"
    assert "the last good dtab is kept" in caplog.text
    assert (told, seen(store, "web")) == ([], "/a=>/1")
    (root / "web.dtab").write_text("/a => /2")
    eventually(lambda: told == ["/a=>/2"])
    assert row_of(store).error is None


def test_a_bad_file_is_not_overwritten_by_who_has_not_seen_it(store: FileStore, root: File) -> None:
    store.create("web", A)
    version = version_of(store, "web")
    (root / "web.dtab").write_text("/b -> /2\n")
    eventually(lambda: row_of(store).error)
    with pytest.raises(Mismatch, match=r"cannot be: .*web\.dtab:1:4"):
        store.put("web", B, version)
    assert (root / "web.dtab").read_text() == "/b -> /2\n"
    store.put("web", B)
    assert (seen(store, "web"), row_of(store).error) == (str(B), None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"/b -> /2", r"web\.dtab:1:4: not a dtab"),
        (b"", r"web\.dtab: it is empty"),
        (b" \n", r"web\.dtab: it is empty"),
        (b"/a => /1 ;\n /\xff", r"web\.dtab:2:3: not UTF-8"),
        (b"#" * ((1 << 20) + 1), r"web\.dtab: larger than 1048576 bytes"),
    ],
)
def test_a_file_that_was_never_good_is_a_failure_and_not_a_missing_namespace(
    root: File, content: bytes, words: str
) -> None:
    (root / "web.dtab").write_bytes(content)
    with started(root) as store:
        assert re.search(words, seen(store, "web") or "")
        assert store.namespaces().value == ("web",)
        assert row_of(store).state == "failed"
        with pytest.raises(Exists):
            store.create("web", A)
        with pytest.raises(Mismatch):
            store.put("web", A, bytes(16))
        store.put("web", A)
        assert seen(store, "web") == "/a=>/1"


def test_a_file_that_was_never_good_can_be_deleted(root: File) -> None:
    (root / "web.dtab").write_text("/b -> /2")
    with started(root) as store:
        store.delete("web")
        assert (seen(store, "web"), list(root.glob("[!.]*"))) == (None, [])


def test_an_empty_dtab_is_no_empty_file(store: FileStore, root: File) -> None:
    store.create("web", Dtab())
    assert (root / "web.dtab").read_text() == "# no entries\n"
    assert seen(store, "web") == ""


def test_more_files_than_a_store_holds_are_left_and_said(
    root: File, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follower, "MAX_NAMESPACES", 2)
    for name in "dcba":
        (root / f"{name}.dtab").write_text("/a => /1")
    with started(root) as store:
        assert store.namespaces().value == ("a", "b")
        assert store.figures.errors == {"limit": 1}
        assert "2 are not read" in caplog.text


# -- versions


def test_a_restart_keeps_versions_and_any_other_text_has_another(root: File) -> None:
    with started(root) as store:
        store.create("web", A)
        version = version_of(store, "web")
    with started(root) as store:
        assert version_of(store, "web") == version
        (root / "web.dtab").write_text("/a => /1 ; # the same entries\n")
        eventually(lambda: version_of(store, "web") != version)
        with pytest.raises(Mismatch):
            store.put("web", B, version)


def test_an_editors_change_that_nobody_has_read_yet_is_not_overwritten(store: FileStore, root: File) -> None:
    store.create("web", A)
    version = version_of(store, "web")
    (root / "web.dtab").write_text("/a => /editor")
    with pytest.raises(Mismatch):
        store.put("web", B, version)
    assert (root / "web.dtab").read_text() == "/a => /editor"


@pytest.mark.parametrize("operation", ["put", "create"])
def test_an_editors_change_while_the_disk_is_written_is_not_overwritten(
    store: FileStore, root: File, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    fsync = os.fsync

    def slow(fd: int) -> None:
        fsync(fd)
        (root / "web.dtab").write_text("/a => /editor")

    if operation == "put":
        store.create("web", A)
        version = version_of(store, "web")
        monkeypatch.setattr(replace.os, "fsync", slow)
        with pytest.raises(Mismatch):
            store.put("web", B, version)
    else:
        monkeypatch.setattr(replace.os, "fsync", slow)
        with pytest.raises(Exists):
            store.create("web", B)
    assert (root / "web.dtab").read_text() == "/a => /editor"
    assert hidden(root) == set()


# -- on the disk


def test_a_file_is_whole_on_the_disk_before_it_has_its_name_and_both_are_before_the_change_is_acknowledged(
    store: FileStore, root: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("a/web", A)
    done: list[str] = []

    def spy(name: str, what: Callable[..., str]) -> None:
        original = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            done.append(what(*args))
            return original(*args, **options)

        monkeypatch.setattr(replace.os, name, call)

    spy("fsync", lambda fd: "fsync " + re.sub(r"[0-9a-f]{16}", "", os.readlink(f"/proc/self/fd/{fd}")))
    spy("replace", lambda _from, to: f"rename {to}")
    spy("unlink", lambda name: f"unlink {name}")
    store.put("a/web", B)
    folder = f"{root}/a"
    assert done == [f"fsync {folder}/.linkerd-tcp-.tmp", "rename web.dtab", f"fsync {folder}"]
    done.clear()
    store.delete("a/web")
    assert done == ["unlink web.dtab", f"fsync {folder}"]


def test_folders_that_are_empty_go_with_the_last_namespace(store: FileStore, root: File) -> None:
    for ns in ("a/b/c", "a/d", "e"):
        store.create(ns, A)
    store.delete("a/b/c")
    assert sorted(str(each.relative_to(root)) for each in root.rglob("[!.]*")) == ["a", "a/d.dtab", "e.dtab"]
    store.delete("a/d")
    store.delete("e")
    assert list(root.rglob("[!.]*")) == []


def test_a_change_that_is_refused_leaves_no_folder(store: FileStore, root: File) -> None:
    (root / "a").mkdir()
    (root / "a" / "web").write_text("a file")
    with pytest.raises(Missing):
        store.put("b/web", A, b"x")
    with pytest.raises(Forbidden, match="'web' on the way is no folder"):
        store.create("a/web/below", A)
    assert sorted(each.name for each in root.rglob("[!.]*")) == ["a", "web"]


def test_the_mode_of_a_file_is_kept(store: FileStore, root: File) -> None:
    store.create("web", A)
    (root / "web.dtab").chmod(0o640)
    store.put("web", B)
    assert (root / "web.dtab").stat().st_mode & 0o7777 == 0o640


def test_links_are_read_and_not_written(root: File, tmp_path: File) -> None:
    """As Kubernetes mounts a ConfigMap."""
    (root / "..v1").mkdir()
    (root / "..v1" / "web.dtab").write_text("/a => /1")
    (root / "..data").symlink_to("..v1")
    (root / "web.dtab").symlink_to("..data/web.dtab")
    (tmp_path / "secret").write_text("/a => /secret")
    (root / "out.dtab").symlink_to(tmp_path / "secret")
    (root / "round.dtab").symlink_to("round.dtab")
    (root / "folder").symlink_to(tmp_path)
    with started(root) as store:
        assert store.namespaces().value == ("out", "round", "web")
        assert seen(store, "web") == "/a=>/1"
        assert "leads out of the folder" in (seen(store, "out") or "")
        for ns in ("web", "out", "round"):
            for change in (lambda ns=ns: store.put(ns, B), lambda ns=ns: store.delete(ns)):
                with pytest.raises(Forbidden, match="symbolic link"):
                    change()
        with pytest.raises(Forbidden, match="'folder' on the way is no folder"):
            store.create("folder/web", A)
        (root / "..v2").mkdir()
        (root / "..v2" / "web.dtab").write_text("/a => /2")
        (root / "..new").symlink_to("..v2")
        (root / "..new").rename(root / "..data")
        eventually(lambda: seen(store, "web") == "/a=>/2")
    assert (tmp_path / "secret").read_text() == "/a => /secret"


# -- what the disk refuses


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, number: int, nth: int = 1) -> None:
    """The `nth` call of os.`name` fails."""
    original, calls = getattr(os, name), iter(range(1, 1_000_000))

    def call(*args: Any, **options: Any) -> Any:
        if next(calls) == nth:
            raise OSError(number, os.strerror(number))
        return original(*args, **options)

    monkeypatch.setattr(replace.os, name, call)


@pytest.mark.parametrize(
    ("name", "number", "error", "words"),
    [
        ("write", errno.ENOSPC, Full, "No space left on device: nothing was changed (make room on the disk of {root})"),
        ("fsync", errno.EDQUOT, Full, "Disk quota exceeded: nothing was changed (make room"),
        ("fsync", errno.EIO, StoreError, "Input/output error: nothing was changed"),
        ("replace", errno.EACCES, Forbidden, "Permission denied: nothing was changed (let the user"),
        ("replace", errno.EROFS, Forbidden, "Read-only file system: nothing was changed (mount {root} for writing"),
        ("open", errno.EMFILE, StoreError, "Too many open files: nothing was changed"),
    ],
)
def test_what_the_disk_refuses_changes_nothing_and_is_said_with_what_to_do(
    store: FileStore,
    root: File,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    number: int,
    error: type[StoreError],
    words: str,
) -> None:
    store.create("web", A)
    with monkeypatch.context() as broken:
        refuse(broken, name, number)
        with pytest.raises(error, match=re.escape(f"{root}/web.dtab: {words.format(root=root)}")) as caught:
            store.put("web", B, version_of(store, "web"))
    assert type(caught.value) is error
    assert (root / "web.dtab").read_text() == "/a => /1 ;\n"
    assert hidden(root) == set()
    assert store.figures.errors == {"write": 1}
    assert words.partition(":")[0] in caplog.text
    store.put("web", B, version_of(store, "web"))


def test_a_change_that_the_disk_did_not_confirm_is_said_as_it_is(
    store: FileStore, root: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "fsync", errno.EIO, nth=2)
    with pytest.raises(StoreError, match=r"changed, but the disk did not confirm it \(Input/output error\)"):
        store.create("web", A)
    assert seen(store, "web") == "/a=>/1", "it is there, and everybody sees it"


@pytest.fixture
def small_disk(tmp_path: File) -> Iterator[File]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("file systems may not be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_full_keeps_what_was_there(small_disk: File) -> None:
    large = Dtab.read("/a => /" + "x" * 40_000)
    with started(small_disk) as store:
        store.create("web", A)
        store.create("large", large)
        for change in (lambda: store.put("web", large), lambda: store.create("new", large)):
            with pytest.raises(Full, match="No space left on device: nothing was changed"):
                change()
        assert (seen(store, "web"), seen(store, "new")) == ("/a=>/1", None)
        assert hidden(small_disk) == set()
        store.delete("large")
        store.put("web", large)


def test_a_disk_that_is_read_only_is_read(small_disk: File) -> None:
    (small_disk / "web.dtab").write_text("/a => /1")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with started(small_disk) as store:
        assert seen(store, "web") == "/a=>/1"
        for change in (lambda: store.put("web", B), lambda: store.delete("web"), lambda: store.create("new/web", A)):
            with pytest.raises(Forbidden, match="Read-only file system"):
                change()


@pytest.mark.skipif(AS_ROOT, reason="root may write everything")
def test_a_folder_of_somebody_else_is_read(root: File) -> None:
    (root / "web.dtab").write_text("/a => /1")
    root.chmod(0o500)
    try:
        with started(root) as store:
            assert seen(store, "web") == "/a=>/1"
            with pytest.raises(Forbidden, match="Permission denied"):
                store.put("web", B)
    finally:
        root.chmod(0o700)


# -- a disk that takes its time


@contextmanager
def stuck(monkeypatch: pytest.MonkeyPatch, name: str = "fsync") -> Iterator[list[bool]]:
    """Every os.`name` takes as long as this, at least; the list has an item when one has begun."""
    original, begun, go_on = getattr(os, name), [], []

    def slowly(*args: Any, **options: Any) -> Any:
        begun.append(True)
        while not go_on:
            native_sleep(0.001)
        return original(*args, **options)

    with monkeypatch.context() as slow:
        slow.setattr(replace.os, name, slowly)
        try:
            yield begun
        finally:
            go_on.append(True)


def test_the_loop_and_the_readers_go_on_while_the_disk_is_slow(
    store: FileStore, root: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("other", A)
    with stuck(monkeypatch) as begun:
        putting = gevent.spawn(store.put, "web", A)
        eventually(lambda: begun)
        assert (seen(store, "web"), seen(store, "other")) == (None, "/a=>/1")
        (root / "other.dtab").write_text("/a => /2")
        eventually(lambda: seen(store, "other") == "/a=>/2")
        assert not putting.dead
    putting.get(timeout=5)
    assert seen(store, "web") == "/a=>/1"


def test_nobody_waits_longer_than_the_deadline_and_what_was_given_up_is_not_done_later(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stuck(monkeypatch) as begun, monkeypatch.context() as hasty:
        hasty.setattr(writer, "WRITE_SECS", 0.05)
        first = gevent.spawn(store.put, "first", A)
        eventually(lambda: begun)
        with pytest.raises(StoreError, match=r"within 0.05 s: nothing was changed"):
            store.put("second", A)
        with pytest.raises(StoreError, match=r"within 0.05 s: it may still be written"):
            first.get()
    eventually(lambda: seen(store, "first") == "/a=>/1")
    store.put("third", A)
    assert store.namespaces().value == ("first", "third")
    assert [row.name for row in store.watches()] == ["/first", "/third"]


def test_changes_that_wait_are_bounded(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_WAITING", 2)
    with stuck(monkeypatch) as begun:
        waiting = [gevent.spawn(store.put, "ns0", A)]
        eventually(lambda: begun)
        waiting += [gevent.spawn(store.put, f"ns{number}", A) for number in (1, 2)]
        gevent.sleep(0)
        with pytest.raises(StoreError, match="2 changes wait"):
            store.put("more", A)
    gevent.joinall(waiting, raise_error=True)
    assert store.namespaces().value == ("ns0", "ns1", "ns2")


def test_close_tells_those_who_wait(root: File, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(str(root))
    store.start()
    with stuck(monkeypatch) as begun:
        first, second = gevent.spawn(store.put, "first", A), gevent.spawn(store.put, "second", A)
        eventually(lambda: begun)
        gevent.sleep(0)
        closing = gevent.spawn(store.close)
        gevent.sleep(0)
    closing.get(timeout=5)
    with pytest.raises(StoreError, match="what was being written may be there or not"):
        first.get()
    with pytest.raises(StoreError, match="nothing was changed"):
        second.get()
    assert not (root / "second.dtab").exists()


# -- other processes


def test_what_a_killed_writer_left_is_removed_at_start(root: File) -> None:
    (root / "a").mkdir()
    left = [root / ".linkerd-tcp-0123456789abcdef.tmp", root / "a" / ".linkerd-tcp-fedcba9876543210.tmp"]
    kept = [root / ".linkerd-tcp-mine.tmp", root / "linkerd-tcp-0123456789abcdef.tmp", root / "a" / ".web.dtab.swp"]
    for file in (*left, *kept):
        file.write_text("/a => /1")
    with started(root) as store:
        assert store.namespaces().value == ()
    assert [file.exists() for file in (*left, *kept)] == [False, False, True, True, True]


def test_a_lock_that_is_not_given_back_is_said(store: FileStore, root: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replace, "LOCK_SECS", 0.05)
    store.create("web", A)
    with (root / LOCK_NAME).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"another process has held this lock for 0.05 s: nothing was changed"):
            store.put("web", B)
        (root / "web.dtab").write_text("/a => /2")
        eventually(lambda: seen(store, "web") == "/a=>/2")
    store.put("web", B)


def test_a_lock_file_that_somebody_removes_keeps_nobody_from_writing(store: FileStore, root: File) -> None:
    store.create("web", A)
    (root / LOCK_NAME).unlink()
    store.put("web", B)
    assert (root / LOCK_NAME).exists()


def run(*arguments: object) -> str:
    command = [sys.executable, "-m", "tests.controller.writers", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def test_processes_that_compare_and_set_lose_no_update(root: File, store: FileStore) -> None:
    store.create("n", Dtab.read("/n => /0"))
    told = record(store.watch("n"))
    counting = [gevent.spawn(run, "count", root, 100) for _ in range(2)]
    for _ in range(50):
        while True:
            state = store.get("n")
            assert isinstance(state, Versioned)
            number = int(str(state.dtab).rpartition("/")[2])
            try:
                store.put("n", Dtab.read(f"/n => /{number + 1}"), state.version)
            except Mismatch:
                gevent.sleep(0.001)
                continue
            break
    gevent.joinall(counting, raise_error=True)
    eventually(lambda: seen(store, "n") == "/n=>/250")
    numbers = [int((each or "/-1").rpartition("/")[2]) for each in told]
    assert numbers == sorted(set(numbers)), "no older one after a newer one"


def test_a_process_waits_while_another_is_between_comparing_and_renaming(
    root: File, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("n", Dtab.read("/n => /0"))
    version = version_of(store, "n")
    with stuck(monkeypatch, "replace") as begun:
        putting = gevent.spawn(store.put, "n", Dtab.read("/n => /1"), version)
        eventually(lambda: begun)
        counting = gevent.spawn(run, "count", root, 1)
        counting.join(1.0)  # long enough to have written, if it could
    gevent.joinall([putting, counting], raise_error=True)
    eventually(lambda: seen(store, "n") == "/n=>/2")


def test_writers_killed_at_any_moment_leave_whole_files_and_all_that_was_acknowledged(root: File) -> None:
    """Some of the leftovers are of writers that were killed between writing a file and renaming it."""
    changes, leftovers = map(int, run("killed", root, 250, 20240607).split())
    assert changes > 50
    assert leftovers > 0
    names = {str(file.relative_to(root)).removesuffix(".dtab") for file in root.rglob("*.dtab")}
    with started(root) as store:
        assert set(store.namespaces().value) == names
        assert all(isinstance(store.get(ns), Versioned) for ns in names)
    assert hidden(root) == set()


def test_what_this_module_writes_is_what_the_killed_writers_write() -> None:
    assert text(7, 0) == b"/n => /7 ;\n"


def test_a_place_is_read_as_nothing_where_there_is_nothing(root: File) -> None:
    assert read_text(Place(str(root), str(root), "a/b")) == (f"{root}/a/b.dtab", None, b"", "")
