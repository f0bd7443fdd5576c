"""The frame of all workers: each is asked for its own, and what runs in the admin process itself is put to them."""

from collections.abc import Mapping
from time import time

from linkerd_tcp.admin.frame import certificates, read_namers, reload_json
from linkerd_tcp.dashboard import frame as shapes
from linkerd_tcp.net.turns import Turns
from linkerd_tcp.workers.everyone import Everyone
from linkerd_tcp.workers.fleet import WorkerRow
from linkerd_tcp.workers.frames import (
    Heard,
    least_room,
    merge_certificates,
    merge_drains,
    merge_namers,
    merge_routers,
    read_lines,
)
from linkerd_tcp.workers.gather import lines
from linkerd_tcp.workers.histories import Histories


class Moment:
    """One for the life of the admin process: it keeps what each worker has said of its history."""

    def __init__(self, everyone: Everyone) -> None:
        self._everyone = everyone
        self._histories = Histories()

    def frame(self) -> shapes.Frame:
        """To be called in a greenlet. It takes as long as the slowest worker, within a deadline."""
        everyone, fleet = self._everyone, self._everyone.fleet
        rows = fleet.workers
        known = self._histories.known_until((row.number, row.pid) for row in rows)
        found, missing = everyone.ask(f"/frame?known={known}")
        heard = {worker: read_lines(lines(body)) for worker, body in found.items()}
        frames = [each.frame for each in heard.values()]
        is_ready, remarks = everyone.readiness(
            {
                worker: {"ready": each.frame["ready"], "remarks": each.frame["remarks"]}
                for worker, each in heard.items()
            },
            missing,
        )
        turns, now = Turns(), time()
        own_namers = read_namers(everyone.beside.namers, turns)
        own_certificates = list(certificates("admin", everyone.admin_identities))
        descriptors, most_descriptors = least_room(frames)
        drains, more_drains = merge_drains(frames)
        return {
            "at": now,
            "startedAt": fleet.started_at,
            "ready": is_ready,
            "stopping": fleet.stopping,
            "remarks": remarks,
            "readOnly": everyone.config.admin.read_only,
            "reload": reload_json(fleet.last_reload),
            "descriptors": descriptors,
            "mostDescriptors": most_descriptors,
            "routers": merge_routers(frames, now, turns.rest),
            "namers": merge_namers([*(frame["namers"] for frame in frames), own_namers], turns.rest),
            "certificates": merge_certificates([*(frame["certificates"] for frame in frames), own_certificates]),
            "workers": [_worker(row, heard.get(row.number), missing) for row in rows],
            "drains": drains,
            "moreDrains": more_drains,
            "history": self._histories.together({_process(each): each.history for each in heard.values()}),
        }


def _process(heard: Heard) -> tuple[int, int]:
    """As it says itself: it may have been replaced while it was asked."""
    (row,) = heard.frame["workers"]
    return row["worker"], row["pid"]


def _worker(row: WorkerRow, heard: Heard | None, missing: Mapping[int, str]) -> shapes.Worker:
    return {
        "worker": row.number,
        "pid": row.pid,
        "state": row.state,
        "startedAt": row.started_at,
        "restarts": row.restarts,
        "connections": None if heard is None else heard.frame["workers"][0]["connections"],
        "answers": heard is not None,
        "why": missing.get(row.number),
    }
