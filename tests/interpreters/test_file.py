"""A dtab file's life, as bindings see it: `web` is what /svc/web is bound to now."""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path as File

import gevent
import pytest

from linkerd_tcp import registry
from linkerd_tcp.config.load import parse_config
from linkerd_tcp.errors import ConfigError, StartError
from linkerd_tcp.interpreters import discovery_problems_of
from linkerd_tcp.interpreters.file import FileConfig, FileInterpreter
from linkerd_tcp.naming.delegate import Step
from linkerd_tcp.naming.dtab import Dtab
from linkerd_tcp.naming.namer import InterpreterContext
from linkerd_tcp.naming.nametree import EMPTY, FAIL, NEG, Leaf
from linkerd_tcp.naming.path import Path
from linkerd_tcp.net.hosts import HostResolver
from linkerd_tcp.testing import InterpreterContract
from tests.interpreters.test_default import FakeNamer, leaf
from tests.leaks import no_leaks
from tests.sockets import eventually

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

PROMISED_SECS = 0.2
WEB = Path.read("/svc/web")
Build = Callable[..., FileInterpreter]


@pytest.fixture
def file(tmp_path: File) -> File:
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "my.dtab"
    path.write_text("/svc => /#/old ;\n")
    return path


@pytest.fixture
def namers() -> list[FakeNamer]:
    return [FakeNamer("/old", web=leaf("/#/old/web")), FakeNamer("/new", web=leaf("/#/new/web"))]


@pytest.fixture
def build(file: File, namers: list[FakeNamer]) -> Iterator[Build]:
    built: list[FileInterpreter] = []

    def build_one(path: File = file, dtab: str = "", label: str = "default") -> FileInterpreter:
        config = FileConfig(dtab_file=path)
        built.append(config.build(InterpreterContext(label, Dtab.read(dtab), namers, FakeNamer("/"))))  # type: ignore
        return built[-1]

    yield build_one
    for each in built:
        each.close()


class TestFile(InterpreterContract):
    settle_secs = 0

    @pytest.fixture
    def interpreter(self, file: File) -> Iterator[FileInterpreter]:
        file.write_text("/svc => /$/inet/127.1 ;")
        hosts = HostResolver()
        utilities = registry.load("utilities", "/$/")(hosts)
        config = FileConfig(dtab_file=file)  # type: ignore[arg-type]
        interpreter = config.build(InterpreterContext("contract", Dtab(), (), utilities))
        yield interpreter
        interpreter.close()
        hosts.close()

    @pytest.fixture
    def known(self) -> Path:
        return Path.read("/svc/80")


class Web:
    """What /svc/web is bound to, and how often that was told."""

    def __init__(self, interpreter: FileInterpreter) -> None:
        self.watch = interpreter.bind(WEB)
        self.told: list[object] = []
        self.watch.observe(self.told.append)

    def __str__(self) -> str:
        value = self.watch.value
        return str(value.value.id) if isinstance(value, Leaf) else type(value).__name__


def replace(path: File, text: str) -> None:
    """Written beside and renamed into place."""
    other = path.with_name(".new-" + path.name)
    other.write_text(text)
    other.replace(path)


def row(interpreter: FileInterpreter):  # type: ignore[no-untyped-def]
    [source] = interpreter.sources
    [state] = source.watches()
    return state


def test_it_is_registered_under_its_kind() -> None:
    assert registry.load("interpreter", "io.l5d.fs") is FileConfig


def test_a_path_is_bound_by_the_file_s_entries(build: Build) -> None:
    interpreter = build()
    assert interpreter.bind(WEB).value == leaf("/#/old/web")
    assert interpreter.delegate(WEB).step is Step.DELEGATE
    assert str(interpreter.dtab) == "/svc=>/#/old"


def test_the_router_s_entries_win_and_the_file_s_are_their_fallback(build: Build) -> None:
    interpreter = build(dtab="/svc => /#/new ; /svc/gone => ~ ; /svc/no => !")
    assert str(Web(interpreter)) == "/#/new/web"
    assert interpreter.bind(Path.read("/svc/no")).value == FAIL
    assert str(Web(build(dtab="/svc/web => ~"))) == "/#/old/web"
    assert interpreter.bind(WEB, Dtab.read("/svc => $")).value == EMPTY  # and what is asked for besides wins over both


@pytest.mark.alone
def test_the_router_s_entries_win_after_an_edit_too(build: Build, file: File) -> None:
    interpreter = build(dtab="/svc => /#/new")
    file.write_text("/svc => /#/old ; /svc => /#/older ;")
    eventually(lambda: len(interpreter.dtab) == 3, PROMISED_SECS)
    assert str(Web(interpreter)) == "/#/new/web"


@pytest.mark.alone
@pytest.mark.parametrize("write", [File.write_text, replace], ids=["in place", "renamed over"])
def test_an_edit_reaches_open_bindings_within_200_ms(
    build: Build, file: File, write: Callable[[File, str], object]
) -> None:
    web = Web(build())
    gevent.sleep(0.01)
    for prefix in ("/#/new", "/#/old") * 3:
        write(file, f"/svc => {prefix} ;")
        eventually(lambda: str(web) == f"{prefix}/web", PROMISED_SECS)  # noqa: B023
    assert len(web.told) == 6


@pytest.mark.alone
def test_a_change_that_was_made_while_nobody_asked_is_there_when_somebody_does(build: Build, file: File) -> None:
    interpreter = build()
    replace(file, "/svc => /#/new ;")
    eventually(lambda: str(interpreter.dtab) == "/svc=>/#/new", PROMISED_SECS)
    assert str(Web(interpreter)) == "/#/new/web"


@pytest.mark.alone
def test_a_config_maps_symlink_swap_is_followed_again_and_again(build: Build, tmp_path: File) -> None:
    conf = tmp_path / "conf"

    def publish(version: str, text: str) -> None:
        (conf / f"..{version}").mkdir()
        (conf / f"..{version}" / "map.dtab").write_text(text)
        (conf / "..data_tmp").symlink_to(f"..{version}")
        (conf / "..data_tmp").replace(conf / "..data")

    publish("1", "/svc => /#/old ;")
    (conf / "map.dtab").symlink_to("..data/map.dtab")
    web = Web(build(conf / "map.dtab"))
    for version, prefix in (("2", "/#/new"), ("3", "/#/old"), ("4", "/#/new")):
        publish(version, f"/svc => {prefix} ;")
        eventually(lambda: str(web) == f"{prefix}/web", PROMISED_SECS)  # noqa: B023
    assert len(web.told) == 3


@pytest.mark.alone
def test_a_link_out_of_the_folder_is_followed(build: Build, tmp_path: File) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.yml"
    target.write_text("/svc => /#/old ;")
    (tmp_path / "conf" / "linked").symlink_to(target)
    web = Web(build(tmp_path / "conf" / "linked"))
    assert str(web) == "/#/old/web"
    target.write_text("/svc => /#/new ;")
    eventually(lambda: str(web) == "/#/new/web", PROMISED_SECS)


@pytest.mark.alone
def test_a_link_on_the_way_may_be_pointed_elsewhere(build: Build, tmp_path: File) -> None:
    for version, prefix in (("v1", "/#/old"), ("v2", "/#/new")):
        (tmp_path / "releases" / version).mkdir(parents=True)
        (tmp_path / "releases" / version / "dtab").write_text(f"/svc => {prefix} ;")
    (tmp_path / "releases" / "current").symlink_to("v1")
    (tmp_path / "conf" / "linked").symlink_to(tmp_path / "releases" / "current" / "dtab")
    web = Web(build(tmp_path / "conf" / "linked"))
    assert str(web) == "/#/old/web"
    (tmp_path / "releases" / "next").symlink_to("v2")
    (tmp_path / "releases" / "next").replace(tmp_path / "releases" / "current")
    eventually(lambda: str(web) == "/#/new/web", PROMISED_SECS)


@pytest.mark.alone
def test_the_file_s_name_is_taken_as_it_stands(build: Build, tmp_path: File) -> None:
    for name in ("web", "web.yml", "web.yaml", ".hidden"):
        (tmp_path / "conf" / name).write_text("/svc => /#/old ;")
    assert str(Web(build(tmp_path / "conf" / "web"))) == "/#/old/web"
    for name in ("web.yml", ".hidden"):
        web = Web(build(tmp_path / "conf" / name))
        replace(tmp_path / "conf" / name, "/svc => /#/new ;")
        eventually(lambda: str(web) == "/#/new/web", PROMISED_SECS)  # noqa: B023


@pytest.mark.alone
def test_half_a_write_is_not_read(build: Build, file: File) -> None:
    interpreter = build()
    web = Web(interpreter)
    gevent.sleep(0.05)  # so that the writer is noticed as one
    with file.open("w") as writer:
        for text in ("/svc => /#/new ;\n", "/svc => ", "/#/old | ", "/#/new ;\n"):
            writer.write(text)
            writer.flush()
            gevent.sleep(0.06)
        assert (str(web), web.told) == ("/#/old/web", [])
    eventually(lambda: len(interpreter.dtab) == 2, PROMISED_SECS)
    assert row(interpreter).error is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"/svc => /#/new ;\n/b =>> /c", "my.dtab:2:6: not a dtab: expected a path, "),
        (b"", "my.dtab: it is empty (if no entries are meant, write a comment: # none)"),
        (b" \n\n", "my.dtab: it is empty"),
        (b"/a => /b ;\n/\xff", "my.dtab:2:2: not UTF-8 text"),
        (b"/a => /b ;\n" * 100_000, "my.dtab: larger than 1048576 bytes"),
    ],
    ids=["syntax", "empty", "blank", "bytes", "size"],
)
def test_a_bad_file_keeps_the_last_good_entries_and_is_said_until_it_is_good_again(
    build: Build, file: File, content: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    interpreter = build()
    web = Web(interpreter)
    assert (row(interpreter).error, row(interpreter).name) == (None, "my.dtab")
    good_at = row(interpreter).last_good_at
    for _ in range(2):
        file.write_bytes(content)
        eventually(lambda: row(interpreter).error is not None)
        gevent.sleep(0.05)
    assert words in row(interpreter).error
    assert (row(interpreter).state, row(interpreter).value, row(interpreter).last_good_at) == (
        "bound",
        "1 entry",
        good_at,
    )
    assert row(interpreter).error_at >= good_at
    assert (str(web), web.told) == ("/#/old/web", [])
    assert sum(interpreter.sources[0].figures.errors.values()) >= 1
    [warning] = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert warning.startswith(str(file.parent))
    assert warning.endswith("the last good entries are kept")
    file.write_text("/svc => /#/new ;")
    eventually(lambda: str(web) == "/#/new/web")
    assert (row(interpreter).error, row(interpreter).error_at) == (None, None)
    assert f"{file} is good again" in caplog.text


def test_a_file_that_goes_missing_keeps_the_last_good_entries_until_it_is_back(
    build: Build, file: File, caplog: pytest.LogCaptureFixture
) -> None:
    interpreter = build()
    web = Web(interpreter)
    file.unlink()
    eventually(lambda: row(interpreter).error is not None)
    assert row(interpreter).error == f"{file}: it is not there any more"
    assert interpreter.sources[0].figures.errors == {"missing": 1}
    file.parent.rename(file.parent.with_name("away"))
    gevent.sleep(0.15)
    assert (str(web), web.told) == ("/#/old/web", [])
    assert caplog.text.count("the last good entries are kept") == 1
    file.parent.mkdir()
    file.write_text("/svc => /#/new ;")
    eventually(lambda: str(web) == "/#/new/web")
    assert row(interpreter).error is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_keeps_the_last_good_entries(build: Build, file: File) -> None:
    interpreter = build()
    file.chmod(0)
    eventually(lambda: row(interpreter).error is not None)
    assert "may not read it" in row(interpreter).error


def test_the_same_entries_again_are_no_news(build: Build, file: File) -> None:
    interpreter = build()
    web = Web(interpreter)
    replace(file, "# the same\n/svc=>/#/old")
    eventually(lambda: interpreter.sources[0].figures.updates == 2)
    assert web.told == []


def test_a_comment_alone_is_no_entries_and_meant(build: Build, file: File) -> None:
    interpreter = build(dtab="/other => /#/new")
    web = Web(interpreter)
    file.write_text("# none\n")
    eventually(lambda: web.watch.value == NEG)
    assert (row(interpreter).value, str(interpreter.dtab)) == ("0 entries", "/other=>/#/new")


def test_it_is_a_discovery_of_its_own(build: Build) -> None:
    [source] = build(label="edge").sources
    assert (source.kind, str(source.prefix)) == ("io.l5d.fs", "/io.l5d.fs/edge")
    assert source.figures.updates == 1
    assert source.figures.last_good_at is not None


def test_nothing_is_told_after_close(build: Build, file: File) -> None:
    interpreter = build()
    web = Web(interpreter)
    interpreter.close()
    interpreter.close()
    file.write_text("/svc => /#/new ;")
    gevent.sleep(0.15)
    assert web.told == []


@pytest.fixture
def spared_collector() -> Iterator[None]:
    """What the process does for itself at start: the tests' own objects are not looked through for garbage."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.alone
@pytest.mark.usefixtures("spared_collector")
def test_a_long_dtab_with_many_bindings_open_stalls_nobody(build: Build, file: File) -> None:
    interpreter = build()
    for number in range(300):
        interpreter.bind(Path.read(f"/svc/x{number}"))
    web = Web(interpreter)
    entries = "".join(f"/n{number} => 0.5 * /#/a{number} & 0.5 * /#/b{number} ;\n" for number in range(10_000))
    gaps: list[float] = []

    def beat() -> None:
        while True:
            began = gevent.get_hub().loop.now()
            gevent.sleep(0.001)
            gevent.get_hub().loop.update_now()
            gaps.append(gevent.get_hub().loop.now() - began)

    heart = gevent.spawn(beat)
    replace(file, entries + "/svc => /#/new ;")
    eventually(lambda: str(web) == "/#/new/web")
    heart.kill()
    # Parsing all of it in one go takes twice as long.
    assert max(gaps) < 0.2


# At start


def test_a_missing_or_bad_file_at_start_is_an_error_with_its_place(build: Build, file: File) -> None:
    file.write_text("/svc => /a ;\n/svc => %\n")
    for path, words in ((file, f"{file}:2:9: not a dtab"), (file.with_name("none"), "it is not there")):
        config = FileConfig(dtab_file=path)
        [problem] = config.problems()
        assert words in problem
        with pytest.raises(StartError, match=r"not a dtab|not there"):
            build(path)


def test_validation_reads_nothing_and_problems_names_every_bad_file(tmp_path: File) -> None:
    (tmp_path / "bad").write_text("/a => ")
    (tmp_path / "good").write_text("/a => /b")
    routers = "".join(
        f"- {{label: {name}, interpreter: {{kind: io.l5d.fs, dtabFile: {name}}}, servers: [{{port: 0, dstName: /}}]}}\n"
        for name in ("bad", "good", "none")
    )
    config = parse_config(f"routers:\n{routers}- {{label: d, servers: [{{port: 0, dstName: /a}}]}}", "f", tmp_path)
    first, last = discovery_problems_of(config)
    assert first.startswith(f"{tmp_path}/bad:1:7: not a dtab: expected")
    assert last == f"{tmp_path}/none: it is not there"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "interpreter.dtabFile: required key is missing"),
        ("dtabFile: 5", "interpreter.dtabFile: expected the name of a file, got the number 5"),
        ("dtabfile: x", "(did you mean dtabFile?)"),
        ("dtabFile: x, retry: 1", "unknown key"),
    ],
)
def test_wrong_options_are_refused_in_words(tmp_path: File, options: str, words: str) -> None:
    interpreter = f"{{kind: io.l5d.fs, {options}}}"
    text = f"routers: [{{label: a, interpreter: {interpreter}, servers: [{{port: 0, dstName: /a}}]}}]"
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "f", tmp_path)
    assert words in raised.value.problems[0]
