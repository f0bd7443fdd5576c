"""The control plane in the whole program: started, reloaded, stopped; on admin's port too; and who may write."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
import requests

from linkerd_tcp.errors import StartError
from linkerd_tcp.naming.path import Path as Name
from tests.controller.conftest import Stream
from tests.leaks import no_leaks
from tests.sockets import eventually
from tests.system.harness import free_port
from tests.test_app import Program

assert no_leaks

CONFIG = """
admin: {{port: 0, graceSecs: 1{admin}}}
{namerd}
namers:
- kind: io.l5d.static
  services: {{web: ["127.0.0.1:{port}"], other: ["127.0.0.1:9"]}}
routers:
- label: r
  dtab: /svc => /#/io.l5d.static
  servers: [{{port: 0, dstName: /svc/web}}]
"""
MEMORY = """
namerd:
  port: 0
  {more}
  storage: {{kind: io.l5d.inMemory, namespaces: {{default: "/svc => /#/io.l5d.static{to}"}}}}
"""
BIND = "/api/1/bind/default?path=/svc/web&watch=1"


def text(namerd: str | None = None, port: int = 8, admin: str = "", more: str = "", to: str = "") -> str:
    return CONFIG.format(namerd=MEMORY.format(more=more, to=to) if namerd is None else namerd, port=port, admin=admin)


Begin = Callable[[str], Program]


@pytest.fixture
def begin(no_leaks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    monkeypatch.setattr("linkerd_tcp.server.QUEUE_LINGER_SECS", 0.0)
    made: list[Program] = []

    def run(config: str) -> Program:
        made.append(Program(tmp_path, config))
        made[-1].start()
        return made[-1]

    yield run
    for program in made:
        program.close()


class Http(requests.Session):
    def __init__(self, address: tuple[str, int], below: str = "") -> None:
        super().__init__()
        self.trust_env = False
        self.base = f"http://{address[0]}:{address[1]}{below}"

    def ask(self, method: str, target: str, **headers: str) -> requests.Response:
        named = {"Content-Type": "text/plain"} | {name.replace("_", "-"): value for name, value in headers.items()}
        data = "/a => /b" if method in ("PUT", "POST") else None
        return self.request(method, self.base + target, data=data, headers=named, timeout=5)


@pytest.fixture
def api(begin: Begin) -> Iterator[Http]:
    with Http(begin(text()).app.namerd_address or ("", 0)) as made:
        yield made


@pytest.fixture
def streams() -> Iterator[list[Stream]]:
    made: list[Stream] = []
    yield made
    for stream in made:
        stream.close()


def test_without_the_section_there_is_none(begin: Begin) -> None:
    app = begin(text("")).app
    assert app.namerd_address is None
    with Http(app.admin_address) as admin:
        assert admin.ask("GET", "/namerd/api/1/dtabs").status_code == 404


def test_a_taken_port_is_named_by_its_key(begin: Begin, tmp_path: Path) -> None:
    taken = begin(text()).app.namerd_address
    assert taken is not None
    another = Program(tmp_path, text().replace("namerd:\n  port: 0", f"namerd:\n  port: {taken[1]}"))
    with pytest.raises(StartError, match=r"^namerd\.port: .*taken"):
        another.app.start()
    another.close()


def test_the_real_port_is_shown_and_the_store_is_among_what_is_watched(begin: Begin) -> None:
    app = begin(text()).app
    assert app.namerd_address is not None
    with Http(app.admin_address) as admin:
        assert admin.ask("GET", "/config.json").json()["namerdListening"] == f"127.0.0.1:{app.namerd_address[1]}"
        assert "io.l5d.inMemory" in [each["kind"] for each in admin.ask("GET", "/namers.json").json()["namers"]]


def test_admin_serves_the_same_below_its_own_port(begin: Begin) -> None:
    app = begin(text()).app
    with Http(app.admin_address, "/namerd") as admin, Http(app.namerd_address or ("", 0)) as api:
        assert admin.ask("PUT", "/api/1/dtabs/other").status_code == 204
        assert api.ask("GET", "/api/1/dtabs").json() == ["default", "other"]
        assert admin.ask("GET", "/api/1/nothing").status_code == 404
        answer = admin.ask("GET", "/api/1/bind/default?path=x")
        assert (answer.status_code, answer.text[:13]) == (400, "Invalid path:")
        for method in ("PUT", "POST", "DELETE"):
            assert admin.ask(method, "/api/1/dtabs/other", Origin="http://evil.example").status_code == 403


def test_a_read_only_admin_writes_no_dtab(begin: Begin) -> None:
    app = begin(text(admin=", readOnly: true")).app
    with Http(app.admin_address, "/namerd") as admin:
        for method in ("PUT", "POST", "DELETE"):
            answer = admin.ask(method, "/api/1/dtabs/default")
            assert (answer.status_code, "readOnly" in answer.text) == (403, True)
        assert admin.ask("GET", "/api/1/dtabs/default").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_no_web_page_writes_a_dtab(api: Http, method: str) -> None:
    ns = "graduation" if method == "POST" else "default"
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": api.base},  # a page of our own would have the token, and this port has no pages
        {"Sec_Fetch_Site": "cross-site"},
        {"Cookie": "a=b"},
        {"Host": "evil.example"},
        {"Host": "evil.example:4180", "Origin": "http://evil.example:4180"},
    ):
        answer = api.ask(method, f"/api/1/dtabs/{ns}", **headers)
        assert answer.status_code == 403, headers
        assert answer.headers["Content-Type"].startswith("text/plain")
    assert api.ask("GET", "/api/1/dtabs").json() == ["default"]
    assert api.ask("GET", "/api/1/dtabs/default").json() == [{"prefix": "/svc", "dst": "/#/io.l5d.static"}]
    assert api.ask(method, f"/api/1/dtabs/{ns}").status_code == 204


def test_a_page_that_makes_a_name_lead_here_reads_nothing(api: Http) -> None:
    answer = api.ask("GET", "/api/1/dtabs", Host="evil.example")
    assert (answer.status_code, "namerd.allowedHosts" in answer.text) == (403, True)


def test_allowed_hosts_apply_at_a_reload(begin: Begin) -> None:
    program = begin(text())
    with Http(program.app.namerd_address or ("", 0)) as api:
        assert api.ask("GET", "/api/1/dtabs", Host="namerd.mesh:4180").status_code == 403
        program.file.write_text(text(more="allowedHosts: [namerd.mesh]"))
        assert program.app.reload() == ["namerd.allowedHosts changed"]
        assert api.ask("GET", "/api/1/dtabs", Host="namerd.mesh:4180").status_code == 200


def test_watches_go_on_over_a_reload_and_hear_of_what_has_changed(begin: Begin, streams: list[Stream]) -> None:
    program = begin(text())
    address = program.app.namerd_address
    assert address is not None
    for target in (BIND, "/api/1/resolve/default?path=/svc/web&watch=1", "/api/1/dtabs/default?watch=1"):
        streams.append(Stream(address, target))
        streams[-1].line()
    with Http(address) as api:
        api.ask("PUT", "/api/1/dtabs/mine")
        program.file.write_text(text(port=11))
        assert program.app.reload() == ["namer /#/io.l5d.static changed"]
        assert streams[1].json()["addrs"][0]["port"] == 11
        assert api.ask("GET", "/api/1/dtabs").json() == ["default", "mine"]
        program.file.write_text(text(port=11, to="/other"))
        assert program.app.reload() == ["namerd.storage changed"]
        assert streams[2].json()[0]["dst"] == "/#/io.l5d.static/other"
        assert streams[0].json()["bound"]["id"] == "/#/io.l5d.static/other"
        assert api.ask("GET", "/api/1/dtabs").json() == ["default", "mine"]


def test_another_kind_of_storage_takes_over(begin: Begin, streams: list[Stream], tmp_path: Path) -> None:
    program = begin(text())
    address = program.app.namerd_address
    assert address is not None
    streams.append(Stream(address, "/api/1/dtabs?watch=1"))
    assert streams[0].json() == ["default"]
    folder = tmp_path / "dtabs"
    folder.mkdir()
    (folder / "files.dtab").write_text("/a => /b;")
    program.file.write_text(text(f"namerd: {{port: 0, storage: {{kind: io.l5d.fs, rootDir: {folder}}}}}"))
    assert program.app.reload() == ["namerd.storage changed"]
    assert streams[0].json() == ["files"]
    with Http(address) as api:
        assert api.ask("PUT", "/api/1/dtabs/new").status_code == 204
    assert streams[0].json() == ["files", "new"]
    assert "/a" in (folder / "new.dtab").read_text()


@pytest.mark.parametrize(("before", "after"), [(None, ""), ("", None)])
def test_a_section_that_comes_or_goes_needs_a_restart(begin: Begin, before: str | None, after: str | None) -> None:
    program = begin(text(before))
    address = program.app.namerd_address
    program.file.write_text(text(after))
    assert program.app.reload() == ["namerd.ip", "namerd.port"]
    assert program.app.namerd_address == address
    assert (program.app.config.namerd is None) == (address is None)


def test_a_reload_that_fails_leaves_the_store_alone(begin: Begin, tmp_path: Path) -> None:
    program = begin(text())
    store = program.app._running.store
    (tmp_path / "dtabs").mkdir()
    files = f"namerd: {{port: 0, storage: {{kind: io.l5d.fs, rootDir: {tmp_path / 'dtabs'}}}}}"
    port = program.app.admin_address[1]
    program.file.write_text(text(files).replace("servers: [{port: 0", f"servers: [{{port: {port}"))
    with pytest.raises(StartError):
        program.app.reload()
    assert program.app._running.store is store
    with Http(program.app.namerd_address or ("", 0)) as api:
        assert api.ask("PUT", "/api/1/dtabs/default").status_code == 204


def test_stopping_ends_every_watch_in_order(begin: Begin, streams: list[Stream]) -> None:
    program = begin(text())
    assert program.app.namerd_address is not None
    streams.append(Stream(program.app.namerd_address, BIND))
    streams.append(Stream(program.app.admin_address, f"/namerd{BIND}"))
    assert streams[0].line() == streams[1].line()
    program.app.shutdown()
    assert streams[0].line() is None
    assert streams[1].line() is None
    eventually(lambda: program.life.ready())


def test_a_router_may_ask_the_control_plane_of_its_own_process(begin: Begin) -> None:
    port = free_port()
    kind = {"kind": "io.l5d.namerd.http", "baseUrl": f"http://127.0.0.1:{port}", "namespace": "default", "watch": True}
    config = text().replace("namerd:\n  port: 0", f"namerd:\n  port: {port}").replace(
        "  dtab: /svc => /#/io.l5d.static\n", f"  interpreter: {json.dumps(kind)}\n"
    )  # fmt: skip
    program = begin(config)
    interpreter = program.app.routers["r"].interpreter
    watch = interpreter.bind(Name.read("/svc/web"))
    eventually(lambda: "Leaf" in type(watch.value).__name__)
    watch.close()
    gevent.sleep(0)
