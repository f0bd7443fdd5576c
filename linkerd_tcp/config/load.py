"""A configuration file from its bytes to a checked AppConfig, or all of its errors at once."""

import pathlib
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from time import time
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from linkerd_tcp.config.admin import AdminConfig
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.conflicts import conflicts_of
from linkerd_tcp.config.document import Document, Spot
from linkerd_tcp.config.fields import FileName
from linkerd_tcp.config.origin import Origin, Written
from linkerd_tcp.config.problems import Problem, problems_of
from linkerd_tcp.config.unbuilt import Unbuilt
from linkerd_tcp.config.walk import go_on, is_file_missing, is_unbuilt, plain, walk
from linkerd_tcp.config.yaml import MAX_BYTES, read_yaml
from linkerd_tcp.errors import ConfigError
from linkerd_tcp.naming.nametree import leaves

M = TypeVar("M", bound=BaseModel)

_RESTART_ONLY: Final = (
    ("workers",),
    ("bufferSizeBytes",),
    ("admin", "ip"),
    ("admin", "port"),
    ("admin", "tls"),
    ("namerd", "ip"),
    ("namerd", "port"),
)
"""Keys that a reload says are changed and does not apply (docs/configuration.md, "Reload")."""


def load_config(path: str) -> AppConfig:
    """The configuration in the file `path`, or on standard input for `-`; ConfigError with every problem."""
    if path == "-":
        return parse_config(sys.stdin.buffer.read(MAX_BYTES + 1), "-", pathlib.Path.cwd())
    file = pathlib.Path(path)
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except ValueError as error:
        raise ConfigError([f"{path!r}: cannot be read: {error}"]) from None
    return parse_config(data, path, file.absolute().parent)


def parse_config(text: str | bytes, name: str, folder: pathlib.Path) -> AppConfig:
    """The configuration in `text`, called `name` in errors; relative file names are of `folder`. ConfigError."""
    document, problems = read_yaml(text, name)
    lines: list[tuple[Spot, str]] = [(spot, f"{name}:{spot[0]}:{spot[1]}: {words}") for spot, words in problems]
    if document.value is None:
        raise ConfigError([f"{name}:1:1: the file is empty: expected a mapping with at least the key routers"])
    if not isinstance(document.value, dict):
        raise ConfigError([f"{name}:1:1: expected a mapping with at least the key routers (lines of `key: value`)"])
    origin = Origin(name, document)
    readers: dict[int, list[type[BaseModel]]] = {}
    config: AppConfig | None = None
    found: list[Problem] = conflicts_of(document.value)
    try:
        config = AppConfig.model_validate(document.value, context={"folder": folder, "readers": readers})
    except ValidationError as error:
        found += problems_of(error, document.value, readers)
    lines += [_placed(origin, document, problem) for problem in found]
    if lines or config is None:
        raise ConfigError(list(dict.fromkeys(line for _, line in sorted(lines))))
    config._origin.name, config._origin.document, config._origin.read_at = name, document, time()
    config._origin.dtabs = _written_dtabs(config, document, name)
    return config


def _written_dtabs(config: AppConfig, document: Document, name: str) -> dict[str, Written]:
    written: dict[str, Written] = {}
    for index, router in enumerate(config.routers):
        text = document.value["routers"][index].get("dtab")
        if isinstance(text, str):
            line, _ = document.spot(("routers", index, "dtab"), offset=0)
            written[router.label] = Written(text, f"{name}:{line}")
    return written


def _placed(origin: Origin, document: Document, problem: Problem) -> tuple[Spot, str]:
    loc, words, at_key, offset = problem
    return document.spot(loc, at_key=at_key, offset=offset), origin.line(loc, words, at_key=at_key, offset=offset)


def _lines(config: AppConfig, found: Iterator[Problem]) -> list[str]:
    """The lines of `found`, in the order of the file."""
    origin = config._origin
    if origin.document is None:
        return [origin.line(loc, words) for loc, words, _, _ in found]
    return [line for _, line in sorted(_placed(origin, origin.document, problem) for problem in found)]


def not_built(config: AppConfig) -> list[str]:
    """A line for each thing that the file asks for and that has no code here yet."""
    return _lines(config, _not_built(config))


def _not_built(config: AppConfig) -> Iterator[Problem]:
    outermost: tuple[Any, ...] | None = None
    for loc, value in walk(config):
        if outermost is not None and loc[: len(outermost)] == outermost:
            continue
        if is_unbuilt(value):
            outermost = loc
            if isinstance(value, Unbuilt):
                yield (*loc, "kind"), f"{value.kind} is not built yet", False, -1
            else:
                yield loc, "not built yet", True, -1


def missing_files(config: AppConfig) -> list[str]:
    """A line for each file that the configuration names and that is not there."""
    return _lines(config, _missing_files(config))


def _missing_files(config: AppConfig) -> Iterator[Problem]:
    for loc, value in walk(config):
        if isinstance(value, FileName) and is_file_missing(value):
            yield loc, f"file not there: {value}", False, -1
    if config.access_log is not None and config.access_log.path != "-":
        folder = pathlib.Path(config.access_log.path).parent
        if not folder.is_dir():
            yield ("accessLog", "path"), f"its folder is not there: {folder}", False, -1


def warnings(config: AppConfig) -> list[str]:
    """A line for each thing that is allowed and is probably a mistake."""
    return _lines(config, _warnings(config))


def _warnings(config: AppConfig) -> Iterator[Problem]:
    yield from _open_admin(config.admin)
    prefixes = [namer.prefix for namer in config.namers]
    for r, router in enumerate(config.routers):
        strange: dict[str, None] = {}
        for entry in router.dtab if router.dtab is not None and router.interpreter.kind == "default" else ():
            for leaf in leaves(entry.dst):
                below = leaf.drop(1)
                if leaf[:1] == ("#",) and not any(below.starts_with(p) or p.starts_with(below) for p in prefixes):
                    strange[str(leaf)] = None
        for name in strange:
            there = ", ".join(f"/#{prefix}" for prefix in prefixes) or "none"
            yield ("routers", r, "dtab"), f"{name} leads to no namer of this file (there is {there})", True, -1
        yield from _captures(("routers", r, "client"), router.client)
        for s, server in enumerate(router.servers):
            # Of the kinds here; a package's own need not have it.
            never_finds = getattr(server.identifier, "never_finds", None)
            words = None if never_finds is None else never_finds(server)
            if words is not None:
                yield ("routers", r, "servers", s, "identifier"), words, True, -1


def _open_admin(admin: AdminConfig) -> Iterator[Problem]:
    """Whoever reaches it may stop the program: only curl and the like, but those need no token."""
    if not ip_address(admin.ip).is_loopback and admin.tls is None and not admin.read_only:
        words = (
            f"anybody who reaches {admin.ip} may drain endpoints and stop this program: set admin.readOnly, or "
            "admin.tls with clientAuth, or see to it that only the right ones reach it"
        )
        yield ("admin", "ip"), words, False, -1


def _captures(loc: tuple[Any, ...], client: Any) -> Iterator[Problem]:
    """Captures that no prefix fills in: the name would be asked for with its braces."""
    for inner, value in walk(client, loc):
        if inner[-2:] != ("tls", "dnsName") or value is None or "{" not in value:
            continue
        names = frozenset[str]()
        if inner[-4:-3] == ("configs",):
            names = client.configs[inner[-3]].prefix.names
        unfilled = [part.partition("}")[0] for part in value.split("{")[1:]]
        for name in unfilled:
            if name not in names:
                shown = f"{{{name}}}"
                words = f"no prefix captures {shown} (write kind: io.l5d.static with prefix: /svc/{shown})"
                yield inner, words, False, -1


def restart_only_changes(old: AppConfig, new: AppConfig) -> list[str]:
    """The keys that differ and are not applied without a restart, such as `admin.port`."""
    return [".".join(loc) for loc in _RESTART_ONLY if _at(old, loc) != _at(new, loc)]


def keep_running(old: AppConfig, new: AppConfig) -> AppConfig:
    """`new` with the values of `old` for what is not applied without a restart: what runs after a reload."""
    kept: dict[str, Any] = {"workers": old.workers, "buffer_size_bytes": old.buffer_size_bytes}
    kept["admin"] = _with(new.admin, {key: getattr(old.admin, key) for key in ("ip", "port", "tls")})
    if old.namerd is None or new.namerd is None:
        kept["namerd"] = old.namerd
    else:
        kept["namerd"] = _with(new.namerd, {"ip": old.namerd.ip, "port": old.namerd.port})
    return _with(new, kept)


def _with(model: M, values: dict[str, Any]) -> M:
    """A copy with those that differ: what is as before stays the file's, or the default that it is."""
    return model.model_copy(update={key: value for key, value in values.items() if getattr(model, key) != value})


def admin_changes(old: AppConfig, new: AppConfig) -> list[str]:
    """A line for each key of `admin` that differs and is applied at once, and for `namerd.allowedHosts`."""
    before, after = plain(old)["admin"], plain(new)["admin"]
    at_restart = {loc[-1] for loc in _RESTART_ONLY if loc[0] == "admin"}
    lines = [f"admin.{key} changed" for key in after if key not in at_restart and before.get(key) != after[key]]
    if old.namerd is not None and new.namerd is not None and old.namerd.allowed_hosts != new.namerd.allowed_hosts:
        lines.append("namerd.allowedHosts changed")
    return lines


def _at(config: AppConfig, loc: tuple[str, ...]) -> Any:
    value: Any = plain(config)
    for part in loc:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def effective(config: AppConfig, rest: Callable[[], None] = go_on) -> dict[str, Any]:
    """The whole configuration, defaults filled in, as /config.json shows it: names of files, never what is in them.

    `rest` is called again and again meanwhile.
    """
    shown: dict[str, Any] = plain(config, rest)
    for router, written in zip(config.routers, shown["routers"], strict=True):
        written["dtab"] = str(router.effective_dtab(config.namers))
    return shown
