"""What one process's admin server promises is promised by that of several workers: the same tests, over the front.

There is one worker here, so that what a test does to "the" program and what it reads are of one.
"""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from linkerd_tcp.admin.server import AdminServer
from linkerd_tcp.book import Book
from tests.admin import test_actions, test_connections, test_delegator, test_guard, test_reads
from tests.admin.conftest import Http
from tests.admin.test_connections import book
from tests.admin.test_reads import client
from tests.workers.fake import FakeWorker, Front

__all__ = ["book", "client"]

OTHERWISE = {
    # They replace what only the one process has.
    "test_a_reload_changes_the_names_that_are_answered_for",
    "test_a_bug_costs_a_500_in_words_and_a_log_line",
    "test_a_bug_in_the_middle_of_an_answer_cuts_it_off",
    # It is about what several workers answer otherwise.
    "test_one_process_is_the_only_worker",
    "test_one_process_may_be_asked_for_as_worker_0_and_no_other_is_there",
    # They ask no server.
    "test_ids_of_several_workers_are_in_one_order_the_higher_worker_first_where_numbers_are_alike",
    "test_what_is_no_id_is_refused",
    "test_a_record_that_closed_since_it_was_found_is_not_shown_as_open",
    "test_the_value_of_a_watch_is_its_first_addresses_or_its_words",
    "test_the_dtab_of_each_router_is_shown_as_it_is_written_and_where",
    "test_another_dtab_goes_through_the_same_transformers",
}

for module in (test_actions, test_connections, test_delegator, test_guard, test_reads):
    for name, test in vars(module).items():
        if name.startswith("test_") and callable(test) and name not in OTHERWISE:
            assert name not in globals(), name
            globals()[name] = test
del module, name, test


class OnlyWorker(FakeWorker):
    """With the admin server of all workers in the place of its own."""

    front: Front
    private: AdminServer
    """Its own, on its UNIX socket."""

    def make_book(self, closed_kept: int) -> Book:
        return Book(closed_kept, worker=self.number, numbers=count(1))

    @property
    def url(self) -> str:
        return self.front.url

    def close(self) -> None:
        self.admin = self.private
        super().close()


@pytest.fixture
def make_app(
    make_workers: Callable[..., list[FakeWorker]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], OnlyWorker]]:
    monkeypatch.setattr("tests.workers.conftest.FakeWorker", OnlyWorker)
    fronts: list[Front] = []

    def make(admin: str = "") -> OnlyWorker:
        (worker,) = make_workers(1, admin)
        assert isinstance(worker, OnlyWorker)
        fronts.append(Front([worker]))
        worker.front = fronts[-1]
        worker.private, worker.admin = worker.admin, fronts[-1].server
        return worker

    yield make
    for front in fronts:
        front.close()


@pytest.fixture
def app(make_app: Callable[[str], OnlyWorker]) -> OnlyWorker:
    return make_app("")


@pytest.fixture
def http(app: OnlyWorker) -> Iterator[Http]:
    made = Http(app.url)
    yield made
    made.session.close()
