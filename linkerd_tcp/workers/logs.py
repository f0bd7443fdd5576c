"""The log of all processes, as one."""

from heapq import merge
from operator import attrgetter

from linkerd_tcp.dashboard.shown import Said
from linkerd_tcp.errors import StartError
from linkerd_tcp.last_lines import LogLine
from linkerd_tcp.net.turns import in_turns
from linkerd_tcp.workers.everyone import Everyone
from linkerd_tcp.workers.gather import values


def log_lines(everyone: Everyone, after: float) -> Said:
    """By time: the workers', the supervisor's, and this admin process's own."""
    found, silent = everyone.ask(f"/log?after={after!r}")
    missing = {f"worker {number}": why for number, why in silent.items()}
    several = [in_turns(LogLine(*value) for value in values(body)) for body in found.values()]
    several.append(in_turns(everyone.own_logs.last_lines(after)))
    try:
        several.append(everyone.fleet.log_lines(after))
    except StartError as error:
        missing["the supervisor"] = str(error)
    # A process's own lines are in their order but for the threads in it, which is close enough.
    return Said(in_turns(merge(*several, key=attrgetter("at"))), missing)
