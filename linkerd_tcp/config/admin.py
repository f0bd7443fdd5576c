"""The admin server, the access log, and namerd's API."""

from typing import Annotated, Literal

from pydantic import Field

from linkerd_tcp.config.fields import DtabText, FolderPath, FrozenDict, Ip, Items, Name, OutputPath, Port, Secs, Table
from linkerd_tcp.config.kinds import ByKind
from linkerd_tcp.config.model import Model
from linkerd_tcp.config.tls import ServerTls


class AdminConfig(Model):
    """The HTTP server for people, scrapers and probes."""

    ip: Ip = "127.0.0.1"
    port: Port = 9989
    grace_secs: Secs = 10.0
    """Time that open connections get at shutdown."""
    drain_delay_secs: Secs = 0.0
    """At shutdown /ready says 503 this long before listeners close."""
    metrics_interval_secs: Secs = 10.0
    """Accepted from linkerd-tcp files; metrics are always current."""
    tls: ServerTls | None = None
    """Without it, plain HTTP; of protocols it speaks http/1.1 only."""
    allowed_hosts: Items[Name] = ()
    """Host headers answered to besides IP literals, localhost and this machine's name."""
    read_only: bool = False
    """Refuse everything that changes something."""

    @property
    def scheme(self) -> str:
        """What its addresses begin with."""
        return "http" if self.tls is None else "https"


class AccessLogConfig(Model):
    """One line for each connection that ended."""

    path: OutputPath
    """A file, or `-` for standard output."""
    format: Literal["json", "text"] = "json"


class InMemoryStorage(Model):
    """Dtabs by namespace, gone at the end of the process."""

    kind: Literal["io.l5d.inMemory"]
    namespaces: Table[DtabText] = Field(default_factory=FrozenDict)


class FileStorage(Model):
    """Dtabs by namespace, one file each."""

    kind: Literal["io.l5d.fs"]
    root_dir: FolderPath


class NamerdConfig(Model):
    """namerd's HTTP API over this file's namers."""

    ip: Ip = "127.0.0.1"
    port: Port = 4180
    allowed_hosts: Items[Name] = ()
    """Host headers answered to besides IP literals, localhost and this machine's name."""
    storage: Annotated[
        InMemoryStorage | FileStorage,
        ByKind("storage", None, {"io.l5d.inMemory": InMemoryStorage, "io.l5d.fs": FileStorage}),
    ]
