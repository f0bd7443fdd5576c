"""The command line: arguments in, exit status out, nothing else.

0 is a clean stop; 1 a runtime failure or a stop by a second signal; 2 wrong usage or configuration.
"""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import gevent

from linkerd_tcp import __version__
from linkerd_tcp.app import App
from linkerd_tcp.backends import ExampleBackends, parse_range
from linkerd_tcp.config.app import AppConfig
from linkerd_tcp.config.load import load_config, missing_files, not_built, warnings
from linkerd_tcp.config.schema import json_schema
from linkerd_tcp.connectors import client_problems_of
from linkerd_tcp.errors import ConfigError, DtabError, LinkerdTcpError, StartError
from linkerd_tcp.explain import check_namers, explain
from linkerd_tcp.interpreters import discovery_problems_of
from linkerd_tcp.logs import Logs, configure
from linkerd_tcp.naming.path import Path
from linkerd_tcp.record import address_text
from linkerd_tcp.workers.settings import Opened, number_of_workers, spare_the_collector

if TYPE_CHECKING:
    from linkerd_tcp.demo.stage import Stage

OK, FAILED, WRONG = 0, 1, 2

_log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """The exit status of `linkerd-tcp ARGUMENTS`; wrong usage is SystemExit(2), as argparse has it."""
    options = _parser().parse_args(arguments)
    if options.schema:
        return _print_schema()
    if options.demo:
        if options.path is not None or options.backends is not None:
            _parser().error("--demo has a configuration and backends of its own: say it alone")
        return _demo()
    if options.path is None:
        _parser().error("which configuration file? (`-` is standard input)")
    try:
        config = _load(options.path)
        if options.check:
            return _check(config)
        if options.explain is not None:
            return explain(config, Path.read(options.explain), options.router)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return WRONG
    except DtabError as error:
        print(f"linkerd-tcp: --explain: {error}", file=sys.stderr)
        return WRONG
    return _serve(config, options.path, options.backends)


def _print_schema() -> int:
    try:
        print(json.dumps(json_schema(), indent=2), flush=True)
    except BrokenPipeError:
        # Whoever read it (`| head`) has seen enough; the interpreter's own flush at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def _demo() -> int:
    # Only where it is wanted.
    from linkerd_tcp.demo.stage import Stage

    try:
        with Stage() as stage:
            return _serve_alone(_load(stage.path), stage.path, None, stage)
    except KeyboardInterrupt:  # before its signals are handled
        return OK
    except StartError as error:
        print(f"linkerd-tcp: {error}", file=sys.stderr)
        return FAILED


def _serve(config: AppConfig, path: str, ports: tuple[int, int] | None) -> int:
    if number_of_workers(config) == 1:
        return _serve_alone(config, path, ports)
    # Only where they are wanted.
    from linkerd_tcp.workers.supervisor import Supervisor

    def announce(opened: Opened) -> None:
        _announce(opened, ports)

    try:
        return Supervisor(config, lambda: _load_again(path), announce, os.environ, ports).run()
    except StartError as error:
        print(f"linkerd-tcp: {error}", file=sys.stderr)
        return FAILED


def _serve_alone(config: AppConfig, path: str, ports: tuple[int, int] | None, stage: "Stage | None" = None) -> int:
    logs = configure(os.environ)
    backends = None
    try:
        if ports is not None:
            backends = ExampleBackends(*ports)
            backends.start()
        app = _started(config, path, logs, stage)
    except StartError as error:
        logs.close(1.0)
        print(f"linkerd-tcp: {error}", file=sys.stderr)
        return FAILED
    for warning in warnings(config):
        _log.warning("%s", warning)
    servers = [(server.router.label, server.local) for server in app.servers]
    _announce(Opened(servers, app.namerd_address, app.admin_address, config.admin.scheme), ports)
    if stage is not None:
        _begin(stage, app)
    _handle_signals(app)
    logs.capture_stderr()
    spare_the_collector()
    try:
        app.run_until_stopped()
    finally:
        if backends is not None:
            backends.close()
        logs.close(1.0)
    return OK


def _started(config: AppConfig, path: str, logs: Logs, stage: "Stage | None") -> App:
    app = App(config, lambda: _load_again(path), logs)
    try:
        app.start()
    except StartError:
        # Another one may have come between the demo's look at the port and this.
        if stage is None or not stage.leave_port():
            raise
        return _started(_load(path), path, logs, None)
    return app


def _begin(stage: "Stage", app: App) -> None:
    """Clients come, and go as soon as nothing listens any more."""
    said = stage.begin([server.local for server in app.servers], f"http://{address_text(app.admin_address)}/")
    print(said, flush=True)
    app.deaf.rawlink(lambda _: gevent.spawn(stage.dismiss))


def _load(path: str) -> AppConfig:
    """A configuration that can be run; ConfigError with everything that is wrong, not there or not built yet."""
    config = load_config(path)
    problems = missing_files(config) + not_built(config) or _file_problems(config)
    if problems:
        raise ConfigError(problems)
    return config


def _file_problems(config: AppConfig) -> list[str]:
    """What is wrong with the files that the configuration names and that are there."""
    problems = client_problems_of(config) + discovery_problems_of(config)
    of_servers = (server.tls for router in config.routers for server in router.servers)
    if any(tls is not None for tls in (config.admin.tls, *of_servers)):
        from linkerd_tcp.terminator import problems_of

        problems = problems_of(config) + problems
    return problems


def _load_again(path: str) -> AppConfig:
    if path == "-":
        raise ConfigError(
            ["-: standard input cannot be read a second time; start with a file name to be able to reload"]
        )
    return _load(path)


def _check(config: AppConfig) -> int:
    for warning in warnings(config):
        print(f"warning: {warning}", file=sys.stderr)
    problems = check_namers(config)
    print("\n".join(problems) if problems else "ok", file=sys.stderr if problems else sys.stdout)
    return WRONG if problems else OK


def _announce(opened: Opened, ports: tuple[int, int] | None) -> None:
    """A line for each address that answers; what a person or a test that used port 0 looks for."""
    for label, address in opened.servers:
        print(f"serving {label} on {address_text(address)}", flush=True)
    if opened.namerd is not None:
        print(f"serving namerd's API on {address_text(opened.namerd)}", flush=True)
    if ports is not None:
        print(f"example backends on 127.0.0.1:{ports[0]} to 127.0.0.1:{ports[1]}", flush=True)
    print(f"admin on {opened.admin_scheme}://{address_text(opened.admin)}/", flush=True)


def _handle_signals(app: App) -> None:
    signalled = False

    def stop() -> None:
        # A stop that admin was asked for is no signal: orchestrators POST /shutdown first and send TERM right after.
        nonlocal signalled
        if signalled:
            app.abort()
        signalled = True
        app.shutdown()

    def reload() -> None:
        try:
            app.reload()
        except LinkerdTcpError as error:
            _log.debug("the reload that SIGHUP asked for was refused: %s", error)  # App.reload has said it already

    # The watchers live as long as the hub; each handler runs in a greenlet of its own, so it may block.
    gevent.signal_handler(signal.SIGTERM, stop)
    gevent.signal_handler(signal.SIGINT, stop)
    gevent.signal_handler(signal.SIGHUP, reload)
    gevent.signal_handler(signal.SIGUSR1, app.reopen_logs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="linkerd-tcp",
        description="A TCP load balancer and stream router, configured by one YAML or JSON file.",
        epilog="Environment: LINKERD_TCP_LOG (e.g. linkerd_tcp=info,namers=debug), LINKERD_TCP_LOG_FORMAT (text or "
        "json). Signals: TERM and INT drain and stop, HUP reloads the file, USR1 reopens log files.",
    )
    parser.add_argument("path", nargs="?", metavar="PATH", help="the configuration file; `-` is standard input")
    one = parser.add_mutually_exclusive_group()
    one.add_argument(
        "--check", action="store_true", help="load everything the file names, print all errors or `ok`, exit"
    )
    one.add_argument(
        "--explain", metavar="NAME", help="print how NAME is resolved, step by step, down to live addresses"
    )
    one.add_argument("--schema", action="store_true", help="print the JSON Schema of the configuration file (no PATH)")
    one.add_argument("--demo", action="store_true", help="a built-in configuration, backends and load (no PATH)")
    parser.add_argument("--router", metavar="LABEL", help="with --explain: which router, where the file has several")
    parser.add_argument(
        "--backends", metavar="FIRST-LAST", type=_ports, help="also start example HTTP backends on these loopback ports"
    )
    parser.add_argument("-V", "--version", action="version", version=f"linkerd-tcp {__version__}")
    return parser


def _ports(text: str) -> tuple[int, int]:
    try:
        return parse_range(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
