"""dnsmasq in a process of its own, to be killed, frozen and started again on the same port with another zone."""

import signal
import subprocess
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query

from tests.programs import program
from tests.system.harness import free_port, until
from tests.system.servers import end_group


class Dnsmasq:
    """Runs from `with` to its end. Hosts are changed while it runs; SRV records, and `options`, count from its start.

    What is not in its zone (`example`) is asked of `options`' own servers, or refused.
    """

    def __init__(self, folder: Path, *options: str, ip: str = "127.0.0.1") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ip = ip
        self.port = free_port()
        self.options = list(options)
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._services: dict[str, tuple[str, ...]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    @property
    def address(self) -> str:
        return f"{self.ip}:{self.port}"

    def host(self, name: str, *ips: str) -> None:
        """These addresses of `name`; also while it is down or frozen: then it knows them at its return."""
        self._hosts[name] = ips
        self._write()
        if self._process is not None and not self._frozen:
            self._process.send_signal(signal.SIGHUP)

    def service(self, name: str, *records: str) -> None:
        """SRV records, each `target,port,priority,weight`. They count from the next start."""
        self._services[name] = records

    def _write(self) -> None:
        lines = [f"{ip} {name}\n" for name, ips in self._hosts.items() for ip in ips]
        fresh = self.folder / ".hosts.new"
        fresh.write_text("".join(lines))
        fresh.replace(self.folder / "hosts")

    def start(self) -> None:
        """Until it answers."""
        self._write()
        services = [f"--srv-host={name},{record}" for name, records in self._services.items() for record in records]
        command = [
            *(program("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"),
            *(f"--port={self.port}", f"--listen-address={self.ip}", "--bind-interfaces", "--user=", "--group="),
            *(f"--addn-hosts={self.folder / 'hosts'}", "--local=/example/", "--pid-file=", "--cache-size=0"),
            *services,
            *self.options,
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until("dnsmasq answers", self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        query = dns.message.make_query("ready.example.", "A")
        try:
            dns.query.udp(query, self.ip, timeout=0.1, port=self.port)
        except (OSError, dns.exception.DNSException):
            return False
        return True

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end_group(process)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        assert self._process is not None
        self._frozen = False
        self._process.send_signal(signal.SIGHUP)  # first, so that it comes back with what it was told meanwhile
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
