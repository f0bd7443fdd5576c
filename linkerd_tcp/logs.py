"""What the process says: its log on standard error, and one line per ended connection in the access log.

Both are written by a `LineWriter`, so neither a stopped terminal nor a full disk holds anything up. One record is
one line: whatever a stranger sent is escaped, so no line can be forged and no terminal be told what to do.
"""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from math import inf
from time import gmtime, monotonic, strftime, time
from typing import Any, Final, TextIO

import gevent

from linkerd_tcp.config.admin import AccessLogConfig
from linkerd_tcp.last_lines import LastLines, LogLine, printable, printable_lines
from linkerd_tcp.levels import OFF, OURS, TRACE, Changes, change_level, level_name, parse_directives
from linkerd_tcp.net.direct import DirectLines
from linkerd_tcp.net.lines import LineWriter, Reason
from linkerd_tcp.record import Record, as_json


def _utc(seconds: float) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"


def _as_text(at: float, level: int, logger: str, message: str, worker: str) -> str:
    who = worker and f"[{'worker ' if worker.isdecimal() else ''}{worker}] "
    return f"{_utc(at)} {level_name(level).upper()} {printable(logger)} {who}{printable(message)}"


_encode: Final[Callable[[Any], str]] = json.JSONEncoder(separators=(",", ":"), default=str).encode


def _as_json(at: float, level: int, logger: str, message: str, worker: str) -> str:
    who = {"worker": worker} if worker else {}
    line = _encode({"time": _utc(at), "level": level_name(level), "logger": logger, **who, "message": message})
    return line.replace("\x7f", "\\u007f")  # the one control character that JSON leaves as it is


class _Handler(logging.Handler):
    """Hands records to the writer. It has no lock: the writer needs none, and a native thread may log too."""

    def __init__(self, logs: "Logs") -> None:
        super().__init__()
        self._logs = logs
        self._tracebacks = logging.Formatter()

    def createLock(self) -> None:  # noqa: N802 - the name is logging's
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
            if record.exc_info:
                message = f"{message}\n{self._tracebacks.formatException(record.exc_info)}"
        except Exception as error:  # noqa: BLE001 - whatever an argument's __str__ raises; logging must not end a connection
            message = f"{record.msg!r} could not be filled in: {error!r}"
        self._logs.line(record.levelno, record.name, message, record.created)


class _StandardError(io.TextIOBase):
    """In the place of sys.stderr: what libraries and gevent's hub print there becomes log lines, and never blocks."""

    def __init__(self, logs: "Logs") -> None:
        self._logs = logs
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        if len(self._begun) > 10_000:
            lines, self._begun = [*lines, self._begun], ""
        for line in filter(str.strip, lines):
            self._logs.line(logging.ERROR, "stderr", line)
        return len(text)


class Logs:
    """The process's log, from the moment it is made until `close`. `fd` is where it goes, standard error as a rule.

    Of `environ`, LINKERD_TCP_LOG, or else RUST_LOG, gives the levels (see `parse_directives`; info where nothing is
    said) and LINKERD_TCP_LOG_FORMAT is text (default) or json. What is not understood in them is warned of, no more.
    Each line says which `worker` it is of, if there is one. `direct`: no thread writes the lines, and what cannot be
    written at once is lost; for a process that has neither threads nor a loop. `changes` are those of its parent.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        fd: int = 2,
        worker: str = "",
        direct: bool = False,
        changes: Changes | None = None,
    ) -> None:
        variable = "LINKERD_TCP_LOG" if "LINKERD_TCP_LOG" in environ else "RUST_LOG"
        levels, complaints = parse_directives(environ.get(variable, ""))
        form = environ.get("LINKERD_TCP_LOG_FORMAT") or "text"
        self._form = _as_json if form == "json" else _as_text
        self._worker = worker
        self._last = LastLines(logging.WARNING)
        self._changes = changes or Changes()
        self._timer: gevent.Greenlet[[], None] | None = None
        self._writer: LineWriter | DirectLines = (
            DirectLines(fd) if direct else LineWriter("-", fd=fd, what="log", say=self._say_of_itself)
        )
        self._handler = _Handler(self)
        self._stderr: TextIO | None = None
        logging.addLevelName(TRACE, "TRACE")
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(max(levels.get("", logging.INFO), logging.WARNING))
        for name in OURS:
            logging.getLogger(name).setLevel(levels.get("", logging.INFO))
        for name in filter(None, levels):
            logging.getLogger(name).setLevel(levels[name])
        self._changes.apply()
        if not direct:
            self._end_in_time()
        if worker:
            return  # the supervisor has said what is wrong with them
        for complaint in complaints:
            self.say(f"{variable}: {complaint}")
        if form not in ("text", "json"):
            self.say(f"LINKERD_TCP_LOG_FORMAT: {printable(form)!r} is neither text nor json; text is used")

    @property
    def dropped(self) -> Mapping[Reason, int]:
        """Lines of the log itself that were lost, by reason."""
        return self._writer.dropped

    def line(self, level: int, logger: str, message: str, at: float | None = None) -> bool:
        """Write one line, whatever the levels are; from any thread, without a lock. False if it was dropped."""
        at = time() if at is None else at
        self._last.add(at, level, logger, message)
        return self._writer.write(self._form(at, level, logger, message, self._worker))

    def last_lines(self, after: float = 0.0) -> Iterator[LogLine]:
        """Those said later than `after`, the newest last; there is a bound on how many are remembered."""
        for at, level, logger, message in self._last.after(after):
            yield LogLine(at, level_name(level), printable(logger), printable_lines(message), self._worker)

    def say(self, sentence: str) -> None:
        """A warning about the process's own output; right as the `say` of any LineWriter."""
        if logging.getLogger(OURS[0]).level < OFF:
            self.line(logging.WARNING, __name__, sentence)

    def capture_stderr(self) -> None:
        """From here until `close`, what is printed on sys.stderr is logged; call it once start-up has had its say."""
        if self._stderr is None:
            self._stderr = sys.stderr
            sys.stderr = _StandardError(self)

    def levels(self) -> list[dict[str, Any]]:
        """[{"logger": "linkerd_tcp.app", "level": "info", "from": "linkerd_tcp", ...}, ...]: every logger of ours, root
        for libraries, and whichever was changed; sorted. `from` is the logger whose level it is.

        Of those that were changed `changedAt` and `changedBy`, the address; `endsAt` where it is for a time.
        """
        known = logging.Logger.manager.loggerDict
        ours = {
            name for name, it in list(known.items()) if name.split(".")[0] in OURS and isinstance(it, logging.Logger)
        }
        return [self._row(name) for name in sorted({"root", *OURS, *ours, *self._changes.changed})]

    def _row(self, name: str) -> dict[str, Any]:
        it: logging.Logger | None = logging.getLogger(name)
        while it is not None and it.level == logging.NOTSET:
            it = it.parent
        own = logging.getLogger() if it is None else it
        row = {"logger": name, "level": level_name(own.level), "from": own.name}
        change = self._changes.of(name)
        if change is None:
            return row
        return {**row, "changedAt": change.at, "changedBy": change.by or None, "endsAt": change.ends_at}

    def set_level(self, logger: str, level: str, by: str = "", for_secs: float | None = None) -> None:
        """For good, or `for_secs`; asked for `by` this address. LookupError if there is no such logger (none is made: a
        stranger may ask), ValueError if no such level.
        """
        self.change_level(logger, level, time(), by, None if for_secs is None else monotonic() + for_secs)

    def change_level(self, logger: str, level: str, at: float, by: str, due: float | None) -> None:
        """The same, where others do it at the same time; `due` as in `levels.Change`."""
        if logger not in ("root", *OURS) and not isinstance(
            logging.Logger.manager.loggerDict.get(logger), logging.Logger
        ):
            raise LookupError(f"there is no logger {printable(logger)!r}")
        change_level(self._changes, logger, level, at, by, due)
        self._end_in_time()

    def _end_in_time(self) -> None:
        """What is for a time ends then, or with `close`."""
        if self._timer is not None:
            self._timer.kill(block=False)
            self._timer = None
        due = self._changes.next_due
        if due < inf:
            self._timer = gevent.spawn_later(max(due - monotonic(), 0.0), self._end_those_due)

    def _end_those_due(self) -> None:
        self._timer = None  # this very greenlet, which must not end itself
        for logger in self._changes.expire():
            if not self._worker:  # of several processes the supervisor says it, for all
                self.line(logging.INFO, __name__, f"the level of {logger} was for a time, and is as before")
        self._end_in_time()

    def close(self, timeout_secs: float = 1.0) -> bool:
        """Write what waits and let go of logging and sys.stderr. False if not all could be written in time."""
        if self._stderr is not None:
            sys.stderr, self._stderr = self._stderr, None
        if self._timer is not None:
            self._timer.kill(block=False)
            self._timer = None
        logging.getLogger().removeHandler(self._handler)
        return self._writer.close(timeout_secs)

    def _say_of_itself(self, sentence: str) -> None:
        if not self._writer.losing:  # that it cannot be written would itself only be lost
            self.say(sentence)


def configure(environ: Mapping[str, str]) -> Logs:
    """The log of this process; call it once, before anything that logs."""
    return Logs(environ)


class AccessLog:
    """One line per ended connection, appended to the configured file ("-" is standard output).

    json: the keys of a closed connection in /connections.json less the steps. text: the same facts as key=value.
    `say` is told when lines are lost and when no longer; Logs.say is right. StartError if the file cannot be opened.
    """

    def __init__(self, config: AccessLogConfig, *, say: Callable[[str], None] | None = None) -> None:
        self._writer = LineWriter(config.path, what="accessLog.path", say=say)
        self._write = self._writer.write
        self._form: Callable[[Record], str] = access_text if config.format == "text" else access_json

    def log(self, record: Record) -> None:
        """Hand over the line of `record`, whose figures are final; never blocks."""
        self._write(self._form(record))

    @property
    def dropped(self) -> Mapping[Reason, int]:
        """Lines lost, by reason."""
        return self._writer.dropped

    def reopen(self) -> None:
        """Go on in a new file of the same name, after a rotation."""
        self._writer.reopen()

    def close(self, timeout_secs: float = 1.0) -> bool:
        """Write what waits, for at most `timeout_secs`; False if that was not enough."""
        return self._writer.close(timeout_secs)


def access_json(record: Record) -> str:
    """One line of JSON, ASCII only."""
    return _encode(as_json(record, with_steps=False)).replace("\x7f", "\\u007f")


def access_text(record: Record) -> str:
    """`2025-01-31T12:00:00.000Z 0-1f router=default source=127.0.0.1:50112 ...`; what is not known is left out."""
    shape = as_json(record, with_steps=False)
    tried = [f"{it['endpoint']}:{it['error']}" for it in shape["attempts"] if it["error"] is not None]
    facts = {
        **{key: shape[key] for key in ("router", "server", "source", "path", "bound", "endpoint")},
        "secs": shape["ageSecs"],
        "rx": shape["rxBytes"],
        "tx": shape["txBytes"],
        "cause": shape["cause"],
        "failed": ",".join(tried) or None,
        "detail": shape["detail"],
    }
    words = [f"{key}={_value(str(value))}" for key, value in facts.items() if value is not None]
    return " ".join([_utc(record.accepted_at), record.id, *words])


def _value(text: str) -> str:
    """As it is where that is plain, else as a JSON string."""
    plain = text.isascii() and text.isprintable() and text and not any(one in text for one in ' "\\')
    return text if plain else _encode(text)
