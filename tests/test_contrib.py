"""What is under contrib/kubernetes fits together, and the configuration in it is valid and complete."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.load import load_config

FOLDER = Path(__file__).resolve().parent.parent / "contrib/kubernetes"
OBJECTS = [each for file in sorted(FOLDER.glob("*.yml")) for each in yaml.safe_load_all(file.read_text())]
CONFIGURATIONS = [
    pytest.param(text, id=f"{each['metadata']['name']}/{key}")
    for each in OBJECTS
    if each["kind"] == "ConfigMap"
    for key, text in each["data"].items()
    if key.startswith("linkerd-tcp")
]


def of_kind(kind: str, name: str = "linkerd-tcp") -> Any:
    (found,) = [each for each in OBJECTS if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """The endpoint files as the kubelet mounts them: each a link into `..data`, itself a link that is switched."""
    disco = tmp_path / "disco"
    (disco / "..1").mkdir(parents=True)
    (disco / "..data").symlink_to("..1")
    for name, text in of_kind("ConfigMap", "linkerd-tcp-endpoints")["data"].items():
        (disco / "..1" / name).write_text(text)
        (disco / name).symlink_to(f"..data/{name}")
    return disco


def put(text: str, disco: Path) -> Path:
    """The configuration in a file, its endpoint folder being `disco`; nothing else is changed."""
    assert text.count("rootDir: /disco ") == 1
    path = disco.parent / "linkerd-tcp.yml"
    path.write_text(text.replace("rootDir: /disco ", f"rootDir: {disco} "))
    return path


def check(path: Path) -> tuple[int, str, str]:
    """Exit status, standard output and error of `--check`."""
    command = [sys.executable, "-m", "linkerd_tcp", "--check", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER.parent.parent, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def config(mounted: Path) -> AppConfig:
    return load_config(str(put(of_kind("ConfigMap")["data"]["linkerd-tcp.yml"], mounted)))


def test_there_is_a_configuration() -> None:
    assert CONFIGURATIONS


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_each_configuration_passes_its_check_and_so_do_its_endpoint_files(text: str, mounted: Path) -> None:
    assert check(put(text, mounted)) == (0, "ok\n", "")


def test_a_mistake_in_an_endpoint_file_would_be_found(mounted: Path) -> None:
    (mounted / "..1" / "mqtt.tcp.example.com.yml").write_text("- nonsense\n")
    status, _, said = check(put(of_kind("ConfigMap")["data"]["linkerd-tcp.yml"], mounted))
    assert status == 2
    assert "mqtt.tcp.example.com.yml:1:3" in said


def test_kubernetes_waits_longer_than_the_drain_takes(config: AppConfig) -> None:
    waits = of_kind("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert waits > config.admin.drain_delay_secs + config.admin.grace_secs


def test_every_port_leads_to_a_listener(config: AppConfig) -> None:
    (container,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    servers = [server for router in config.routers for server in router.servers]
    assert sorted(ports.values()) == sorted([*(server.port for server in servers), config.admin.port])
    assert {server.ip for server in servers} | {config.admin.ip} == {"0.0.0.0"}
    probes = {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    services = {port["targetPort"] for each in OBJECTS if each["kind"] == "Service" for port in each["spec"]["ports"]}
    allowed = {port["port"] for rule in of_kind("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]}
    assert (probes, services, allowed) == ({"admin"}, {"tls-proxied", "tls"}, set(ports))


def test_what_the_load_balancer_reaches_insists_on_its_header_and_the_other_does_not(config: AppConfig) -> None:
    (container,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    proxied = {server.port: server.proxy_protocol is not None for router in config.routers for server in router.servers}
    assert proxied == {ports["tls-proxied"]: True, ports["tls"]: False}


def test_everything_selects_the_pods_and_every_volume_is_a_config_map_of_these() -> None:
    labels = of_kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        of_kind("Deployment")["spec"]["selector"]["matchLabels"],
        of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of_kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(each["spec"]["selector"] for each in OBJECTS if each["kind"] == "Service"),
    ]
    assert [selector for selector in selectors if selector != labels] == []
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume["configMap"]["name"] for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts == {"/etc/linkerd-tcp": "linkerd-tcp", "/disco": "linkerd-tcp-endpoints"}
    assert pod["containers"][0]["args"] == ["/etc/linkerd-tcp/linkerd-tcp.yml"]
    assert [mount for mount in pod["containers"][0]["volumeMounts"] if "subPath" in mount] == []
