"""Workers, namers and certificates, as rows of the overview."""

from typing import Final

from linkerd_tcp.dashboard.attention import DAY_SECS, EXPIRES_NOW_DAYS, EXPIRES_SOON_DAYS
from linkerd_tcp.dashboard.cells import BAD, GOOD, NOTHING, OFF, WARN, Cell, Row, age, ago, cut, mark, moment, number
from linkerd_tcp.dashboard.frame import Certificate, Namer, Watch, Worker
from linkerd_tcp.dashboard.trouble import anchor, certificate_name

_WORKERS: Final = {"serving": GOOD, "starting": WARN, "leaving": OFF, "gone": BAD}
_WATCHES: Final = {"bound": GOOD, "neg": WARN, "pending": WARN, "failed": BAD}


def worker_row(worker: Worker, now: float) -> Row:
    number_, state = str(worker["worker"]), worker["state"]
    silent = state == "serving" and not worker["answers"]
    return {
        "key": anchor("worker", number_),
        "id": anchor("worker", number_),
        "worker": number_,
        "pid": str(worker["pid"] or NOTHING),
        "state": mark("no answer", BAD) if silent else mark(state, _WORKERS.get(state, OFF)),
        "connections": number(worker["connections"]),
        "up": age(now - worker["startedAt"]) if worker["startedAt"] else NOTHING,
        "restarts": number(worker["restarts"]),
        "why": cut(worker["why"] or NOTHING),
    }


def namer_rows(namer: Namer, now: float) -> list[Row]:
    """One for each name that it is asked for; one for a namer that is asked for nothing."""
    prefix, key = cut(namer["prefix"]), anchor("namer", namer["prefix"])
    rows = [_watch(key if not place else "", prefix, watch, now) for place, watch in enumerate(namer["watches"])]
    for row, watch in zip(rows, namer["watches"], strict=True):
        row["key"] = anchor("watch", namer["prefix"], watch["name"])
    if not rows:
        idle: Cell = {"text": "nothing asked for yet", "title": cut(namer["kind"])}
        rows = [{**_NO_WATCH, "key": f"{key}-none", "id": key, "prefix": prefix, "state": idle}]
    if namer["moreWatches"]:
        words = f"and {namer['moreWatches']} more names: /namers.json has all of them"
        rows.append({**_NO_WATCH, "key": f"{key}-more", "id": "", "prefix": prefix, "state": words})
    return rows


_NO_WATCH: Final[Row] = {
    "name": NOTHING, "addresses": NOTHING, "value": NOTHING, "good": NOTHING, "error": NOTHING, "next": NOTHING,
}  # fmt: skip


def _watch(id_: str, prefix: str, watch: Watch, now: float) -> Row:
    next_at = watch["nextAttemptAt"]
    return {
        "id": id_,
        "prefix": prefix,
        "name": cut(watch["name"]),
        "state": _watch_state(watch),
        "addresses": number(watch["addresses"]),
        "value": cut(", ".join(watch["value"]) or NOTHING, 120),
        "good": ago(watch["lastGoodAt"], now),
        "error": cut(watch["error"] or NOTHING),
        "next": NOTHING if next_at is None else "now" if next_at <= now else f"in {age(next_at - now)}",
    }


def _watch_state(watch: Watch) -> Cell:
    state = cut(watch["state"])
    if watch["stale"]:
        return mark(f"{state}, stale" if watch["lastGoodAt"] is not None else "never known", WARN)
    return mark(state, _WATCHES.get(watch["state"], OFF))


def certificate_row(certificate: Certificate, now: float) -> Row:
    left = certificate["notAfter"] - now
    days = left / DAY_SECS
    if left <= 0:
        state = mark(f"expired {age(-left)} ago", BAD)
    elif days <= EXPIRES_SOON_DAYS:
        state = mark(f"expires in {age(left)}", BAD if days <= EXPIRES_NOW_DAYS else WARN)
    else:
        state = mark(f"valid, {age(left)} left", GOOD)
    return {
        "key": anchor("certificate", certificate["where"], certificate["identity"]),
        "id": anchor("certificate", certificate["where"], certificate["identity"]),
        "where": cut(certificate["where"]),
        "identity": certificate_name(certificate),
        "names": _names(certificate),
        "state": state,
        "until": {"text": moment(certificate["notAfter"]).replace("T", " ").replace("Z", " UTC"),
                  "value": moment(certificate["notAfter"])},
    }  # fmt: skip


def _names(certificate: Certificate) -> str:
    """Whom it is for, as it says itself."""
    more = f" and {certificate['moreNames']} more" if certificate["moreNames"] else ""
    return cut(", ".join(certificate["names"]) or certificate["subject"] or NOTHING, 160) + more
