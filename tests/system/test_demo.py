"""What a newcomer sees within a minute of `linkerd-tcp --demo`."""

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.demo import Demo
from tests.system.harness import run, until
from tests.walkthrough import pattern, quotations, text_of


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with Demo(tmp_path) as running:
        running.wait_until_begun()
        yield running


def test_an_ejection_a_recovery_and_a_failure_that_explains_itself_are_seen_within_a_minute(demo: Demo) -> None:
    failed = demo.wait_until_ejected()
    assert "connection refused" in failed["lastError"]
    assert failed["consecutiveFailures"] >= 3
    others = [each for each in demo.endpoint_states().values() if each["address"] != failed["address"]]
    assert [each["state"] for each in others] == ["available"] * len(others)
    (lost, *_) = demo.get_json("/connections.json?state=closed&cause=not_found")["connections"]
    assert lost["path"] == "/svc/reports"
    assert lost["detail"].startswith("/svc/reports is not found")
    assert lost["explanation"]["path"] == "/svc/reports"
    back = until("a recovery", lambda: (it := demo.flaky)["state"] == "available" and it, 30)
    assert back["consecutiveFailures"] == 0
    assert demo.metric("l5d_balancer_ejections_total", dst="/#/io.l5d.fs/web") == 1
    assert demo.metric("l5d_balancer_revivals_total", dst="/#/io.l5d.fs/web") == 1
    causes = {each["cause"] for each in demo.get_json("/connections.json?state=closed&limit=2000")["connections"]}
    assert causes <= {"endpoint_closed", "client_closed", "not_found"}  # the clients noticed nothing
    web, canary = (demo.metric("l5d_balancer_connects_total", dst=f"/#/io.l5d.fs/{name}") for name in ("web", "canary"))
    assert 0.05 < canary / (web + canary) < 0.16


def test_the_pages_say_what_the_readme_says_they_say(demo: Demo) -> None:
    overview, at_endpoint, lost, led = map(pattern, quotations())
    flaky = demo.wait_until_ejected()["address"]

    def says(path: str, sentence: re.Pattern[str]) -> bool:
        return bool(sentence.search(text_of(demo.get(path)[1])))

    until("the sentence of the overview", lambda: says("/", overview), 12)
    rows = demo.get_json(f"/connections.json?state=closed&endpoint={flaky}")["connections"]
    tried = next(row for row in rows if row["endpoint"] != flaky)
    assert says(f"/connections/{tried['id']}", at_endpoint)
    failed = demo.get_json("/connections.json?state=failed")["connections"][0]
    assert says(f"/connections/{failed['id']}", lost)
    assert says("/delegator?path=/svc/shop", led)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_within_a_second_and_nothing_is_left(demo: Demo, number: signal.Signals) -> None:
    until("some connections", lambda: demo.metric("l5d_srv_accepts_total") > 20)
    (child,) = demo.children
    folder = demo.files
    demo.signal(number)
    assert demo.exit_status(1.5) == 0
    assert not folder.exists()
    assert not Path(f"/proc/{child}").exists()


def test_even_when_it_is_killed_nothing_is_left(demo: Demo) -> None:
    (child,) = demo.children
    folder = demo.files
    demo.process.kill()
    until("the folder is gone", lambda: not folder.exists())
    until("the child is gone", lambda: not _runs(child))


def _runs(pid: int) -> bool:
    """A zombie that nobody waits for does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_file_that_is_put_there_mends_the_name_that_is_not_found(demo: Demo) -> None:
    lost = demo.port("demo", 1)
    folder = demo.files
    (folder / "disco/reports.yml").write_text((folder / "disco/web.yml").read_text())
    until("an answer", lambda: b"200 OK" in ask(lost))


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        try:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return sock.recv(4096)
        except OSError:
            return b""


def test_beside_another_one_it_takes_other_ports(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with Demo(tmp_path / "second") as second:
        second.wait_until_begun()
        assert second.admin_url != demo.admin_url
        assert second.get("/ready")[0] == 200


def test_several_that_start_at_once_do_not_take_the_same_port(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as stack:
        demos = [stack.enter_context(Demo(folder)) for folder in folders]
        for demo in demos:
            demo.wait_until_begun()
        assert len({demo.admin_url for demo in demos}) == len(demos)


def test_it_has_a_configuration_of_its_own(tmp_path: Path) -> None:
    for arguments in (["config.yml"], ["--backends", "8081-8083"]):
        done = run(tmp_path, "--demo", *arguments)
        assert done.returncode == 2
        assert "say it alone" in done.stderr
