import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path as File
from time import monotonic, thread_time

import gevent
import pytest
from pydantic import ValidationError

from linkerd_tcp import registry
from linkerd_tcp.naming.addr import NEG as NEG_ADDR
from linkerd_tcp.naming.addr import PENDING, Addr, Address, Bound, Failed
from linkerd_tcp.naming.name import BoundName, Found
from linkerd_tcp.naming.namer import NamerContext, WatchState
from linkerd_tcp.naming.nametree import NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.naming.watch import Watch
from linkerd_tcp.testing import FakeHosts, NamerContract
from namers.fs import SMALL_BYTES, FsConfig, FsNamer
from tests.leaks import no_leaks
from tests.sockets import eventually

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def disco(tmp_path: File) -> File:
    folder = tmp_path / "disco"
    folder.mkdir()
    return folder


@pytest.fixture
def hosts() -> FakeHosts:
    return FakeHosts()


@pytest.fixture
def fs(disco: File, hosts: FakeHosts) -> Iterator[FsNamer]:
    namer = FsConfig.model_validate({"kind": "io.l5d.fs", "rootDir": str(disco)}).build(NamerContext(hosts))
    namer.start()
    yield namer
    assert not namer.watcher.polling, "no event was missed"
    namer.close()
    assert hosts.open == []


class TestFs(NamerContract):
    settle_secs = 0

    @pytest.fixture
    def namer(self, fs: FsNamer, disco: File) -> FsNamer:
        (disco / "a").mkdir()
        (disco / "a" / "web").write_text("127.0.0.1 80")
        return fs

    @pytest.fixture
    def known(self) -> Path:
        return Path(("a", "web", "rest"))

    def test_watches_says_what_is_watched(self, namer: FsNamer, known: Path) -> None:
        watch = namer.lookup(known)
        assert [(row.name, row.state) for row in namer.watches()] == [("/a", "neg"), ("/a/web", "bound")]
        watch.close()
        assert list(namer.watches()) == []


def name_of(watch: Watch[Found]) -> BoundName:
    assert isinstance(watch.value, Leaf), watch.value
    assert isinstance(watch.value.value, BoundName)
    return watch.value.value


def addr_of(watch: Watch[Found]) -> Addr | None:
    """None while the name is not found."""
    return name_of(watch).addr.value if isinstance(watch.value, Leaf) else None


def bound(*ports: int) -> Bound:
    return Bound(tuple(Address("127.0.0.1", port) for port in ports))


def row_of(namer: FsNamer) -> WatchState:
    return list(namer.watches())[-1]


# -- configuration


def test_it_is_registered_under_its_kind() -> None:
    assert registry.load("namer", "io.l5d.fs") is FsConfig


def test_defaults_and_keys_are_those_of_the_public_interface(disco: File) -> None:
    config = FsConfig.model_validate({"kind": "io.l5d.fs", "rootDir": str(disco)})
    assert (str(config.prefix), config.watch, config.poll_interval_ms) == ("/io.l5d.fs", "auto", 1000)
    options = {"kind": "io.l5d.fs", "rootDir": str(disco), "watch": "poll", "pollIntervalMs": 50, "prefix": "/files"}
    assert str(FsConfig.model_validate(options).prefix) == "/files"


def test_a_root_that_is_no_folder_is_refused(tmp_path: File) -> None:
    with pytest.raises(ValidationError, match="is not a folder"):
        FsConfig.model_validate({"kind": "io.l5d.fs", "rootDir": str(tmp_path / "nowhere")})


# -- which file a name is


def test_a_bare_file_is_in_linkerds_format_and_yml_and_yaml_are_yaml(fs: FsNamer, disco: File) -> None:
    (disco / "web").write_text("127.0.0.1 80 * 0.5 # half\n")
    (disco / "yml.yml").write_text("- 127.0.0.1:81\n")
    (disco / "yaml.yaml").write_text("endpoints: [{host: '127.1', port: 82}]\n")
    assert addr_of(fs.lookup(Path(("web",)))) == Bound((Address("127.0.0.1", 80, 0.5),))
    assert addr_of(fs.lookup(Path(("yml",)))) == bound(81)
    watch = fs.lookup(Path(("yaml", "more", ".and", "more")))
    assert addr_of(watch) == bound(82)
    assert (str(name_of(watch).id), name_of(watch).residual) == ("/#/io.l5d.fs/yaml", ("more", ".and", "more"))


def test_sub_folders_are_walked_and_a_folder_alone_is_neg(fs: FsNamer, disco: File) -> None:
    (disco / "a" / "b").mkdir(parents=True)
    (disco / "a" / "b" / "web.yml").write_text("- 127.0.0.1:80\n")
    (disco / "a.d").mkdir()
    watch = fs.lookup(Path(("a", "b", "web", "x")))
    assert (str(name_of(watch).id), name_of(watch).residual) == ("/#/io.l5d.fs/a/b/web", ("x",))
    assert fs.lookup(Path(("a", "b"))).value == NEG
    assert fs.lookup(Path(("a", "b", "none"))).value == NEG
    assert fs.lookup(Path()).value == NEG


def test_a_file_comes_before_the_folder_of_its_name(fs: FsNamer, disco: File) -> None:
    (disco / "a").mkdir()
    (disco / "a" / "web").write_text("127.0.0.1 81")
    watch = fs.lookup(Path(("a", "web")))
    assert str(name_of(watch).id) == "/#/io.l5d.fs/a/web"
    (disco / "a.yml").write_text("- 127.0.0.1:80")
    eventually(lambda: str(name_of(watch).id) == "/#/io.l5d.fs/a")
    assert name_of(watch).residual == ("web",)
    (disco / "a.yml").unlink()
    eventually(lambda: isinstance(watch.value, Leaf) and addr_of(watch) == bound(81))


def test_the_files_of_yaml_names_are_no_names_themselves(fs: FsNamer, disco: File) -> None:
    (disco / "web.yml").write_text("- 127.0.0.1:80")
    assert fs.lookup(Path(("web.yml",))).value == NEG


@pytest.mark.parametrize("element", [".hidden", "..", ".", "a/b", "/", "nul\0", "x" * 300, "\udcff\udcfe"])
def test_elements_that_are_no_file_names_are_neg(element: str, fs: FsNamer, disco: File) -> None:
    (disco / ".hidden").write_text("127.0.0.1 80")
    (disco / "a").mkdir()
    (disco / "a" / "b").write_text("127.0.0.1 80")
    assert fs.lookup(Path((element,))).value == NEG
    assert fs.lookup(Path(("a", element))).value == NEG


def test_two_files_for_one_name_are_an_error_that_says_which(fs: FsNamer, disco: File) -> None:
    (disco / "web").write_text("127.0.0.1 80")
    (disco / "web.yml").write_text("- 127.0.0.1:81")
    watch = fs.lookup(Path(("web",)))
    value = addr_of(watch)
    assert isinstance(value, Failed)
    assert "disco/web and " in value.cause
    assert "two files for one name: remove one" in value.cause
    assert fs.figures.errors == {"conflict": 1}
    (disco / "web").unlink()
    eventually(lambda: addr_of(watch) == bound(81))
    (disco / "web.yaml").write_text("- 127.0.0.1:82")
    eventually(lambda: fs.figures.errors == {"conflict": 2})
    assert addr_of(watch) == bound(81), "the last good is kept"


# -- nothing outside


def test_links_are_followed_to_files_below_the_root_only(fs: FsNamer, disco: File, tmp_path: File) -> None:
    (tmp_path / "secret").write_text("127.0.0.1 80")
    (tmp_path / "disco-too").mkdir()
    (tmp_path / "disco-too" / "web").write_text("127.0.0.1 80")
    (disco / "sub").mkdir()
    (disco / "sub" / "web").write_text("127.0.0.1 81")
    (disco / "absolute").symlink_to(tmp_path / "secret")
    (disco / "relative").symlink_to("../secret")
    (disco / "twice").symlink_to("relative")
    (disco / "neighbour").symlink_to("../disco-too")
    (disco / "dangling").symlink_to("nowhere")
    (disco / "loop").symlink_to("loop")
    (disco / "inside").symlink_to("sub/web")
    (disco / "inside-absolute").symlink_to(disco / "sub" / "web")
    (disco / "sub" / "up").symlink_to("../sub/../inside")
    (disco / "folder").symlink_to("sub")
    for name in ("absolute", "relative", "twice", "dangling", "loop", "neighbour"):
        assert fs.lookup(Path((name,))).value == NEG
        assert fs.lookup(Path((name, "web"))).value == NEG
    for names in (("inside",), ("inside-absolute",), ("sub", "up"), ("folder", "web")):
        assert addr_of(fs.lookup(Path(names))) == bound(81)


def test_a_link_swapped_for_one_that_leads_outside_is_not_read(fs: FsNamer, disco: File, tmp_path: File) -> None:
    (tmp_path / "secret").write_text("127.0.0.1 666")
    (disco / "web").write_text("127.0.0.1 80")
    watch = fs.lookup(Path(("web",)))
    told: list[Addr] = []
    name_of(watch).addr.observe(told.append)
    for _ in range(20):
        (disco / "new").symlink_to(tmp_path / "secret")
        (disco / "new").rename(disco / "web")
        gevent.sleep(0.005)
        (disco / "new").write_text("127.0.0.1 80")
        (disco / "new").rename(disco / "web")
        gevent.sleep(0.005)
    assert all(value in (bound(80), NEG_ADDR) for value in told)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: bind(path), lambda path: os.mkdir(path + ".yml")])
def test_what_is_no_regular_file_is_an_error_and_holds_nobody_up(
    make: Callable[[str], object], fs: FsNamer, disco: File
) -> None:
    began = monotonic()
    made = make(str(disco / "web"))
    assert isinstance(addr_of(fs.lookup(Path(("web",)))), Failed)
    assert "is no regular file" in (row_of(fs).error or "")
    assert monotonic() - began < 1
    if isinstance(made, socket.socket):
        made.close()


def bind(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(os.path.relpath(path))
    return made


# -- last good


def test_a_missing_file_is_neg_and_found_when_it_comes(fs: FsNamer, disco: File) -> None:
    watch = fs.lookup(Path(("web", "x")))
    told: list[Found] = []
    watch.observe(told.append)
    assert watch.value == NEG
    (disco / "web.yml").write_text("- 127.0.0.1:80")
    eventually(lambda: addr_of(watch) == bound(80))
    assert len(told) == 1
    assert fs.figures.updates == 1


def test_an_empty_file_is_bound_to_nothing(fs: FsNamer, disco: File) -> None:
    (disco / "web").write_text("")
    (disco / "yml.yml").write_text("# nothing yet\n")
    assert addr_of(fs.lookup(Path(("web",)))) == Bound(())
    assert addr_of(fs.lookup(Path(("yml",)))) == Bound(())


def test_a_bad_reload_keeps_the_last_good_and_is_counted_said_once_and_shown(
    fs: FsNamer, disco: File, caplog: pytest.LogCaptureFixture
) -> None:
    (disco / "web.yml").write_text("- 127.0.0.1:80")
    watch = fs.lookup(Path(("web",)))
    with caplog.at_level(logging.WARNING):
        for number in range(1, 4):
            (disco / "web.yml").write_text("- 127.0.0.1:80\n- {host: a, port: 70000}\n")
            eventually(lambda: fs.figures.errors == {"invalid": number})  # noqa: B023
    assert addr_of(watch) == bound(80)
    assert len(caplog.records) == 1
    assert "web.yml:2:19: expected a port from 1 to 65535" in caplog.text
    assert "the last good endpoints are kept" in caplog.text
    row = row_of(fs)
    assert (row.name, row.state, row.addresses) == ("/web", "bound", 1)
    assert "web.yml:2:19" in (row.error or "")
    assert row.error_at is not None
    (disco / "web.yml").write_text("- 127.0.0.1:81")
    eventually(lambda: addr_of(watch) == bound(81))
    assert row_of(fs).error is None


def test_what_is_wrong_is_said_once_however_often_the_name_is_looked_up(
    fs: FsNamer, disco: File, caplog: pytest.LogCaptureFixture
) -> None:
    (disco / "web").write_text("nonsense")
    (disco / "outside").symlink_to("/etc/passwd")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            fs.lookup(Path(("web",))).close()
            fs.lookup(Path(("outside",))).close()
    assert len(caplog.records) == 2


def test_a_file_that_was_never_good_is_failed(fs: FsNamer, disco: File) -> None:
    (disco / "web").write_text("nonsense")
    watch = fs.lookup(Path(("web",)))
    assert isinstance(addr_of(watch), Failed)
    assert row_of(fs).state == "failed"
    (disco / "web").write_text("127.0.0.1 80")
    eventually(lambda: addr_of(watch) == bound(80))


def test_a_file_above_1_mib_is_an_error(fs: FsNamer, disco: File) -> None:
    (disco / "web").write_text("127.0.0.1 80\n")
    watch = fs.lookup(Path(("web",)))
    (disco / "web").write_text("127.0.0.1 80\n" + "#" * (1 << 20))
    eventually(lambda: fs.figures.errors == {"too_large": 1})
    assert addr_of(watch) == bound(80)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_keeps_the_last_good_until_it_may_be_read_again(fs: FsNamer, disco: File) -> None:
    (disco / "web").write_text("127.0.0.1 80\n")
    watch = fs.lookup(Path(("web",)))
    (disco / "web").chmod(0)
    eventually(lambda: fs.figures.errors == {"unreadable": 1})
    assert addr_of(watch) == bound(80)
    (disco / "web").chmod(0o600)
    eventually(lambda: row_of(fs).error is None)


def test_an_unreadable_file_is_counted_and_read_when_that_is_over(
    fs: FsNamer, disco: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    (disco / "web").write_text("127.0.0.1 80\n")
    watch = fs.lookup(Path(("web",)))

    def refuse(root: str, path: str) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("namers.fs.read", refuse)
    (disco / "web").write_text("127.0.0.1 81\n")
    eventually(lambda: fs.figures.errors == {"unreadable": 1})
    assert "may not read it" in (row_of(fs).error or "")
    assert addr_of(watch) == bound(80)
    monkeypatch.undo()
    (disco / "web").chmod(0o600)
    eventually(lambda: addr_of(watch) == bound(81))


def test_a_removed_file_is_neg_after_100_ms_and_not_sooner(fs: FsNamer, disco: File) -> None:
    (disco / "web").write_text("127.0.0.1 80")
    watch = fs.lookup(Path(("web",)))
    addr = name_of(watch).addr
    removed_at = monotonic()
    (disco / "web").unlink()
    eventually(lambda: watch.value == NEG)
    assert monotonic() - removed_at >= 0.1
    assert addr.value == NEG_ADDR
    (disco / "web").write_text("127.0.0.1 81")
    eventually(lambda: addr_of(watch) == bound(81))
    assert name_of(watch).addr is addr, "who holds the addresses has the same ones again"


def test_the_folder_gone_is_neg_and_back_again(fs: FsNamer, disco: File, tmp_path: File) -> None:
    (disco / "a").mkdir()
    (disco / "a" / "web").write_text("127.0.0.1 80")
    watch = fs.lookup(Path(("a", "web")))
    shutil.move(disco / "a", tmp_path / "away")
    eventually(lambda: watch.value == NEG)
    shutil.move(tmp_path / "away", disco / "a")
    eventually(lambda: addr_of(watch) == bound(80))


@pytest.mark.alone
def test_a_finished_write_reaches_observers_within_200_ms(fs: FsNamer, disco: File) -> None:
    (disco / "web").write_text("127.0.0.1 80")
    watch = fs.lookup(Path(("web",)))
    told: list[Addr] = []
    name_of(watch).addr.observe(told.append)
    for port in range(1000, 1010):
        began = monotonic()
        (disco / "web").write_text(f"127.0.0.1 {port}")
        eventually(lambda: told[-1:] == [bound(port)])  # noqa: B023
        assert monotonic() - began < 0.2


def test_a_file_being_written_is_pending_until_its_writer_is_done(fs: FsNamer, disco: File) -> None:
    with (disco / "web").open("w") as writer:
        writer.write("127.0.0.1 80\n127.0.0.1 8")
        writer.flush()
        gevent.sleep(0.02)
        watch = fs.lookup(Path(("web",)))
        assert addr_of(watch) == PENDING
        gevent.sleep(0.1)
        assert addr_of(watch) == PENDING
        writer.write("1\n")
    eventually(lambda: addr_of(watch) == bound(80, 81))


# -- hosts


def test_host_names_in_files_are_followed(fs: FsNamer, disco: File, hosts: FakeHosts) -> None:
    (disco / "web").write_text("web.example 80 * 0.5\n127.0.0.1 81\n")
    watch = fs.lookup(Path(("web",)))
    assert addr_of(watch) == PENDING
    hosts.resolve("web.example", "10.0.0.1")
    assert addr_of(watch) == Bound((Address("10.0.0.1", 80, 0.5), Address("127.0.0.1", 81)))
    (disco / "web").write_text("127.0.0.1 81\n")
    eventually(lambda: addr_of(watch) == bound(81))
    assert hosts.open == []


# -- much


def test_a_large_file_is_read_without_a_stall(fs: FsNamer, disco: File) -> None:
    count = 20_000
    text = "\n".join(f"- {{host: 10.{n >> 16}.{n >> 8 & 255}.{n & 255}, port: 80, weight: 0.5}}" for n in range(count))
    assert SMALL_BYTES < len(text) < 1 << 20
    (disco / "web.yml").write_text(text)
    watch = fs.lookup(Path(("web",)))
    assert addr_of(watch) == PENDING
    longest, last = 0.0, thread_time()
    while addr_of(watch) == PENDING:
        gevent.sleep(0.001)
        now = thread_time()
        longest, last = max(longest, now - last), now
    value = addr_of(watch)
    assert isinstance(value, Bound)
    assert len(value.addresses) == count
    assert longest < 0.1  # the addresses themselves are made in one go


def test_a_large_file_replaced_while_it_is_read_ends_as_the_last_one(fs: FsNamer, disco: File) -> None:
    def text(port: int) -> str:
        return "".join(f"10.0.{n >> 8}.{n & 255} {port}\n" for n in range(5000))

    (disco / "web").write_text(text(80))
    watch = fs.lookup(Path(("web",)))
    for port in (81, 82, 83):
        (disco / "new").write_text(text(port))
        (disco / "new").rename(disco / "web")
        gevent.sleep(0.005)

    def ports() -> set[int]:
        value = addr_of(watch)
        return {address.port for address in value.addresses} if isinstance(value, Bound) else set()

    eventually(lambda: ports() == {83})
    gevent.sleep(0.1)
    assert ports() == {83}


def test_closing_while_a_large_file_is_read_leaves_nothing(fs: FsNamer, disco: File) -> None:
    (disco / "web").write_text("10.0.0.1 80\n" * 50_000)
    watch = fs.lookup(Path(("web",)))
    gevent.sleep(0.005)
    fs.close()
    watch.close()


@pytest.mark.alone
def test_1000_files_changing_at_once_reach_their_observers_within_2_s(fs: FsNamer, disco: File) -> None:
    for number in range(1000):
        (disco / f"web{number}.yml").write_text("- 127.0.0.1:80\n")
    watches = [fs.lookup(Path((f"web{number}",))) for number in range(1000)]
    assert all(addr_of(watch) == bound(80) for watch in watches)
    began = monotonic()
    for number in range(1000):
        (disco / ".new").write_text("- 127.0.0.1:81\n- 127.0.0.1:82\n")
        (disco / ".new").rename(disco / f"web{number}.yml")
    written_at = monotonic()
    eventually(lambda: all(addr_of(watch) == bound(81, 82) for watch in watches))
    assert monotonic() - written_at < 2, written_at - began


# -- listing and checking


def test_names_lists_what_is_at_the_top(fs: FsNamer, disco: File) -> None:
    for file in ("b.yml", "a", ".hidden", "c.yaml"):
        (disco / file).touch()
    (disco / "sub").mkdir()
    assert fs.names() == ["a", "b", "c", "sub"]


def test_check_names_everything_that_is_wrong_and_needs_no_start(disco: File, tmp_path: File) -> None:
    (disco / "good").write_text("127.0.0.1 80")
    (disco / "bad").write_text("127.0.0.1 80\nx\ny\n")
    (disco / "sub").mkdir()
    (disco / "sub" / "bad.yml").write_text("- {host: a}")
    (disco / "sub" / "again").symlink_to("..")
    (disco / "two").touch()
    (disco / "two.yml").touch()
    (disco / "outside").symlink_to(tmp_path)
    os.mkfifo(disco / "fifo")
    (disco / ".hidden").write_text("nonsense")
    namer = FsConfig.model_validate({"kind": "io.l5d.fs", "rootDir": str(disco)}).build(NamerContext(FakeHosts()))
    found = [problem.removeprefix(f"{disco}/") for problem in namer.check()]
    assert [problem.split(" ")[0] for problem in found] == [
        "bad:2:1:",
        "bad:3:1:",
        "fifo",
        "outside",
        "two",
        "sub/bad.yml:1:3:",
    ]
    namer.close()


def test_check_finds_nothing_wrong_with_good_files(disco: File) -> None:
    (disco / "web").write_text("127.0.0.1 80")
    namer = FsConfig.model_validate({"kind": "io.l5d.fs", "rootDir": str(disco)}).build(NamerContext(FakeHosts()))
    assert namer.check() == []
