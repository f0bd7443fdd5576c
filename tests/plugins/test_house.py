"""An identifier and a balancer of another package, installed, in the real process."""

from pathlib import Path

from tests.plugins.conftest import Run
from tests.system.harness import Proxy, config, until
from tests.system.peers import Client, backends


def test_a_mistake_in_the_options_of_either_is_said_with_its_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "l5d.yml").write_text("""\
routers:
  - label: default
    servers:
      - port: 0
        identifier: {kind: com.example.bySource, default: /svc/web, networks: {10.0.0/8: /svc/a}}
    client: {loadBalancer: {kind: com.example.standby, size: 3}}
""")
    done = run("linkerd_tcp", "--check", "l5d.yml")
    assert done.returncode == 2
    assert "l5d.yml:5:" in done.stderr
    assert "identifier.networks" in done.stderr
    assert "l5d.yml:6:" in done.stderr


def test_the_destination_is_by_the_clients_network_and_the_standby_waits_for_its_turn(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with backends(2) as (first, standby):
        ranked = [{"host": "127.0.0.1", "port": standby.port, "weight": 1}]
        ranked += [{"host": "127.0.0.1", "port": first.port, "weight": 2}]
        conf = config(
            servers=[{"port": 0, "identifier": {
                "kind": "com.example.bySource", "default": "/svc/nobody", "networks": {"127.0.0.0/8": "/svc/default"}
            }}],
            client={"loadBalancer": {"kind": "com.example.standby"}, "failFast": {"maxConsecutiveFailures": 1}},
            endpoints=ranked,
        )  # fmt: skip
        with Proxy(tmp_path, conf, environment=environment) as proxy:
            until("it serves", lambda: "serving default" in proxy.log)
            assert {ask(proxy) for _ in range(20)} == {first.name}
            first.stop()
            until("the standby serves", lambda: ask(proxy) == standby.name)
            assert proxy.closed(21)[0]["path"] == "/svc/default"


def ask(proxy: Proxy) -> str:
    with Client(proxy.address) as client:
        return client.ask()
