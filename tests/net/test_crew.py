"""Greenlets are reused, a failing job costs itself only, and closing ends who rests."""

from collections.abc import Callable

import gevent
import greenlet
import pytest
from gevent.event import Event
from gevent.hub import get_hub

from linkerd_tcp.net.crew import Crew
from tests.sockets import eventually


def in_hub(call: Callable[..., None], *arguments: object) -> None:
    get_hub().loop.run_callback(call, *arguments)
    gevent.sleep(0)


def test_a_finished_greenlet_serves_the_next_job() -> None:
    served: list[tuple[int, greenlet.greenlet]] = []
    crew: Crew[int] = Crew(lambda job: served.append((job, greenlet.getcurrent())))
    for job in (1, 2, 3):
        in_hub(crew.start, job)
    assert [job for job, _ in served] == [1, 2, 3]
    assert len({by for _, by in served}) == 1
    crew.close()
    eventually(lambda: served[0][1].dead)


def test_jobs_that_wait_run_side_by_side() -> None:
    go, ended = Event(), []

    def serve(job: int) -> None:
        go.wait()
        ended.append(job)

    crew: Crew[int] = Crew(serve, max_resting=2)
    for job in range(5):
        in_hub(crew.start, job)
    assert ended == []
    go.set()
    eventually(lambda: len(ended) == 5)
    assert len(crew._resting) == 2
    crew.close()


def test_a_job_that_raises_is_logged_and_its_greenlet_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def serve(job: int) -> None:
        if job == 1:
            raise KeyError("a bug")
        served.append(job)

    served: list[int] = []
    crew: Crew[int] = Crew(serve)
    in_hub(crew.start, 1)
    in_hub(crew.start, 2)
    assert served == [2]
    assert "a bug" in caplog.text
    crew.close()


def test_those_that_only_a_rush_has_needed_are_let_go_of_by_and_by() -> None:
    go = Event()
    crew: Crew[bool] = Crew(lambda waits: waits and go.wait())
    for _ in range(64):
        in_hub(crew.start, True)
    go.set()
    eventually(lambda: crew.resting == 64)
    crew.thin_out()
    left = []
    for _ in range(8):
        in_hub(crew.start, False)
        crew.thin_out()
        gevent.sleep(0)
        left.append(crew.resting)
    assert left[0] == 33, "half of the 63 that were not needed, rounded down"
    assert left == sorted(left, reverse=True)
    assert left[-1] <= 2, "and the one that is needed stays"
    crew.close()
