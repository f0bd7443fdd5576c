"""/help: what runs here, where everything is, and the text that a bug report needs."""

from time import time
from typing import Final
from urllib.parse import quote

from flask import Blueprint, Response

from linkerd_tcp.dashboard.about import about
from linkerd_tcp.dashboard.cells import age, cut
from linkerd_tcp.dashboard.draw import Draw
from linkerd_tcp.dashboard.report import READ_IT, report
from linkerd_tcp.dashboard.shown import Shown
from linkerd_tcp.web.streams import stream

REPORT_NAME: Final = "linkerd-tcp-report.txt"
TEXT: Final = "text/plain; charset=utf-8"

PATHS: Final = (
    ("/metrics", "what is counted, for Prometheus"),
    ("/ready", "whether every listener is open, and whose news are stale"),
    ("/live", "whether the process answers"),
    ("/overview.json", "the rows of the overview"),
    ("/bindings.json", "each bound name, its tree, its balancers and their endpoints"),
    ("/namers.json", "what is discovered, how old it is, what failed"),
    ("/connections.json", "connections, open and ended, with ?state=, source=, path=, endpoint=, cause=, limit="),
    ("/delegator.json?router={router}&path=/svc", "how a path is resolved; also with dtab="),
    ("/config.json", "the configuration in force"),
    ("/configuration.yaml", "the same as YAML"),
    ("/logging.json", "loggers and their levels"),
    ("/log.json", "the last lines of the log, with ?level=, text=, after=, limit="),
    ("/workers.json", "the processes that serve"),
)

DOCUMENTS: Final = (
    ("docs/operating.md", "starting, stopping, reloading, logs, metrics, the admin server"),
    ("docs/configuration.md", "every key of the file"),
    ("docs/naming.md", "paths, dtabs and namers"),
    ("docs/balancing.md", "balancers, ejection, the causes of failures"),
    ("docs/tls.md", "TLS on servers; docs/tls-client.md on the way to endpoints"),
    ("docs/workers.md", "several processes"),
    ("docs/performance.md", "what it costs"),
)


def add(routes: Blueprint, shown: Shown, draw: Draw) -> None:
    @routes.get("/help", endpoint="help")
    def page() -> Response:
        frame = shown.frame()
        router = quote(shown.config.routers[0].label, safe="")
        facts = [
            *about(),
            ("Workers", str(shown.config.workers)),
            ("Up", age(time() - frame["startedAt"])),
            ("Descriptors", f"{frame['descriptors']} of {frame['mostDescriptors']} for connections, two for each"),
            ("State", "ready" if frame["ready"] else "not ready"),
        ]
        return draw(
            "help.html",
            "Help",
            facts=facts,
            remarks=[cut(remark) for remark in frame["remarks"]],
            paths=[(path.replace("{router}", router), words) for path, words in PATHS],
            namerd=shown.control is not None,
            documents=DOCUMENTS,
            read_it=READ_IT,
            report_name=REPORT_NAME,
        )

    @routes.get("/help/report.txt")
    def text() -> Response:
        response = stream(report(shown), TEXT)
        response.headers["Content-Disposition"] = f'attachment; filename="{REPORT_NAME}"'
        return response
