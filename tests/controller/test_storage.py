"""What every store of dtabs promises, in memory or in files; and a model of one, held against both."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path as File
from tempfile import TemporaryDirectory

import gevent
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from linkerd_tcp.config.admin import InMemoryStorage
from linkerd_tcp.controller import storage, table
from linkerd_tcp.controller.files import FileStore
from linkerd_tcp.controller.memory import MemoryStore
from linkerd_tcp.controller.storage import (
    BadName,
    Exists,
    Full,
    Mismatch,
    Missing,
    Store,
    StoreError,
    TooLarge,
    Versioned,
    check_name,
)
from linkerd_tcp.errors import StartError
from linkerd_tcp.naming.dtab import Dtab
from tests.leaks import no_leaks

assert no_leaks
pytestmark = pytest.mark.usefixtures("no_leaks")

A, B, C = (Dtab.read(text) for text in ("/a => /1", "/b => 0.5*/1 & /2 | ! ; /* => ~", "/c => /3 ; /c => /4"))


def version_of(store: Store, ns: str) -> bytes:
    state = store.get(ns)
    assert isinstance(state, Versioned), state
    return state.version


def dtab_of(store: Store, ns: str) -> Dtab | None:
    state = store.get(ns)
    assert state is None or isinstance(state, Versioned), state
    return None if state is None else state.dtab


class StoreContract:
    """Over the fixture `store`: one that has been started and holds nothing."""

    def test_what_is_created_is_there_at_once(self, store: Store) -> None:
        assert (store.get("web"), store.namespaces().value) == (None, ())
        store.create("web", A)
        assert dtab_of(store, "web") == A
        assert store.namespaces().value == ("web",)

    def test_namespaces_are_sorted_and_may_be_below_each_other(self, store: Store) -> None:
        for ns in ("b", "a/b/c", "a", "a/b", "b-1", "Z", "a b", "a#b", "ü"):
            store.create(ns, A)
        assert store.namespaces().value == ("Z", "a", "a b", "a#b", "a/b", "a/b/c", "b", "b-1", "ü")
        assert all(dtab_of(store, ns) == A for ns in store.namespaces().value)

    def test_an_empty_dtab_is_a_dtab(self, store: Store) -> None:
        store.create("web", Dtab())
        assert dtab_of(store, "web") == Dtab()

    def test_create_refuses_what_is_there(self, store: Store) -> None:
        store.create("web", A)
        with pytest.raises(Exists, match="'web'"):
            store.create("web", B)
        assert dtab_of(store, "web") == A

    def test_put_creates_or_replaces(self, store: Store) -> None:
        store.put("web", A)
        store.put("web", B)
        assert dtab_of(store, "web") == B

    def test_put_with_the_version_that_was_read_replaces(self, store: Store) -> None:
        store.create("web", A)
        first = version_of(store, "web")
        store.put("web", B, first)
        assert dtab_of(store, "web") == B
        assert version_of(store, "web") != first

    @pytest.mark.parametrize("version", [b"", b"yolo", bytes(8), bytes(64)])
    def test_put_with_another_version_changes_nothing(self, store: Store, version: bytes) -> None:
        store.create("web", A)
        with pytest.raises(Mismatch, match="'web'"):
            store.put("web", B, version)
        assert dtab_of(store, "web") == A

    def test_put_with_a_version_never_creates(self, store: Store) -> None:
        store.create("gone", A)
        version = version_of(store, "gone")
        store.delete("gone")
        for ns in ("gone", "never", "never/below"):
            with pytest.raises(Missing, match=ns):
                store.put(ns, B, version)
        assert store.namespaces().value == ()

    def test_an_old_version_does_not_replace_what_came_after_it(self, store: Store) -> None:
        """namerd counts anew after a delete, and an old version then fits something that its holder never saw."""
        store.create("web", A)
        old = version_of(store, "web")
        store.delete("web")
        store.create("web", B)
        with pytest.raises(Mismatch):
            store.put("web", C, old)

    def test_delete_ends_it(self, store: Store) -> None:
        store.create("a/web", A)
        store.delete("a/web")
        assert (store.get("a/web"), store.namespaces().value) == (None, ())
        with pytest.raises(Missing, match="'a/web'"):
            store.delete("a/web")

    def test_a_watch_is_told_of_each_change_and_of_both_ends(self, store: Store) -> None:
        watch = store.watch("web")
        told: list[Dtab | None] = []
        watch.observe(lambda state: told.append(state.dtab if isinstance(state, Versioned) else None))
        assert watch.value is None
        store.create("web", A)
        store.put("web", B)
        store.create("other", C)
        store.delete("web")
        store.put("web", C)
        assert told == [A, B, None, C]
        assert isinstance(watch.value, Versioned)

    def test_a_watch_that_is_closed_is_told_nothing(self, store: Store) -> None:
        watch = store.watch("web")
        told: list[object] = []
        watch.observe(told.append)
        watch.close()
        watch.close()
        store.create("web", A)
        assert told == []

    def test_the_list_is_told_when_names_come_and_go_and_not_when_dtabs_change(self, store: Store) -> None:
        watch = store.namespaces()
        told: list[tuple[str, ...]] = []
        watch.observe(told.append)
        store.create("b", A)
        store.put("b", B)
        store.create("a", A)
        store.delete("b")
        assert told == [("b",), ("a", "b"), ("a",)]
        watch.close()
        store.delete("a")
        assert len(told) == 3

    def test_an_observer_that_fails_costs_the_others_nothing(self, store: Store) -> None:
        def fail(_state: object) -> None:
            raise RuntimeError("an observer's own trouble")

        told: list[object] = []
        store.watch("web").observe(fail)
        store.watch("web").observe(told.append)
        store.create("web", A)
        assert len(told) == 1

    def test_an_observer_may_close_its_watch_and_open_another(self, store: Store) -> None:
        watch = store.watch("web")
        told: list[object] = []

        def again(_state: object) -> None:
            watch.close()
            store.watch("web").observe(told.append)

        watch.observe(again)
        store.create("web", A)
        store.put("web", B)
        assert len(told) == 1

    @pytest.mark.parametrize(
        "ns", ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", ".a", "a/.b", "a\0b", "a\nb", "\ud800"]
    )
    def test_names_that_cannot_be_are_refused(self, store: Store, ns: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: check_name(ns),
            lambda: store.get(ns),
            lambda: store.watch(ns),
            lambda: store.create(ns, A),
            lambda: store.put(ns, A),
            lambda: store.put(ns, A, b"x"),
            lambda: store.delete(ns),
        ]
        for call in calls:
            with pytest.raises(BadName):
                call()

    @pytest.mark.parametrize("ns", ["x" * 250, "ü" * 125, "/".join("x" * 32), "/".join(["x" * 249] * 4)])
    def test_the_longest_names_are_good(self, store: Store, ns: str) -> None:
        store.create(ns, A)
        assert dtab_of(store, ns) == A
        store.delete(ns)

    @pytest.mark.parametrize("ns", ["x" * 251, "ü" * 126, "/".join("x" * 33), "/".join(["x" * 250] * 4)])
    def test_longer_names_are_refused(self, store: Store, ns: str) -> None:
        with pytest.raises(BadName, match="too long"):
            store.create(ns, A)

    def test_a_dtab_that_is_too_large_is_refused(self, store: Store) -> None:
        large = Dtab.read("/a" + "x" * 200_000 + " => /b") + Dtab.read("/c => /d")
        store.create("web", large)
        assert dtab_of(store, "web") == large
        with pytest.raises(TooLarge, match="1048576 bytes"):
            store.put("web", Dtab(tuple(large) * 6))
        assert dtab_of(store, "web") == large

    def test_there_is_a_bound_on_namespaces(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(table, "MAX_NAMESPACES", 2)
        store.create("a", A)
        store.create("b", A)
        with pytest.raises(Full, match="2 namespaces"):
            store.create("c", A)
        with pytest.raises(Full):
            store.put("c", A)
        store.put("b", B)
        store.delete("a")
        store.create("c", A)

    def test_there_is_a_bound_on_all_dtabs_together(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(table, "MAX_TOTAL_BYTES", 1000)
        half = Dtab.read("/" + "x" * 400 + " => /b")
        store.create("a", half)
        store.create("b", half)
        with pytest.raises(Full, match="1000 bytes"):
            store.create("c", half)
        store.put("b", half)
        store.delete("a")
        store.create("c", half)

    def test_there_is_a_bound_on_watches(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(table, "MAX_WATCHES", 2)
        first, _second = store.watch("a"), store.namespaces()
        for ask in (lambda: store.watch("b"), store.namespaces):
            with pytest.raises(Full, match="watched 2 times"):
                ask()
        first.close()
        first.close()
        store.watch("b")
        with pytest.raises(Full):
            store.watch("c")

    def test_of_all_who_compare_with_one_version_one_wins(self, store: Store) -> None:
        store.create("web", A)
        version = version_of(store, "web")
        won: list[int] = []

        def put(number: int) -> None:
            try:
                store.put("web", Dtab.read(f"/a => /{number}"), version)
                won.append(number)
            except Mismatch:
                pass

        gevent.joinall([gevent.spawn(put, number) for number in range(20)], raise_error=True)
        assert len(won) == 1
        assert dtab_of(store, "web") == Dtab.read(f"/a => /{won[0]}")

    def test_increments_by_many_are_all_counted(self, store: Store) -> None:
        store.create("n", Dtab.read("/n => /0"))

        def increment() -> None:
            for _ in range(5):
                while True:
                    state = store.get("n")
                    assert isinstance(state, Versioned)
                    number = int(str(state.dtab).rpartition("/")[2])
                    try:
                        store.put("n", Dtab.read(f"/n => /{number + 1}"), state.version)
                    except Mismatch:
                        continue
                    break

        gevent.joinall([gevent.spawn(increment) for _ in range(8)], raise_error=True)
        assert dtab_of(store, "n") == Dtab.read("/n => /40")

    def test_a_caller_that_is_killed_leaves_all_or_nothing(self, store: Store) -> None:
        callers = [gevent.spawn(store.put, f"ns{number}", A) for number in range(20)]
        gevent.sleep(0)
        gevent.killall(callers)
        store.put("last", B)
        assert {str(dtab_of(store, ns)) for ns in store.namespaces().value} <= {str(A), str(B)}
        assert dtab_of(store, "last") == B

    def test_rows_and_figures_say_what_there_is(self, store: Store) -> None:
        store.create("a/web", B)
        (row,) = store.watches()
        assert (row.name, row.state, row.value, row.error) == ("/a/web", "bound", "2 entries", None)
        assert row.last_good_at is not None
        assert (store.figures.updates, store.figures.errors) == (1, {})
        store.delete("a/web")
        assert list(store.watches()) == []
        assert store.figures.updates == 2

    def test_a_closed_store_refuses(self, store: Store) -> None:
        watch = store.watch("web")
        told: list[object] = []
        watch.observe(told.append)
        store.close()
        store.close()
        calls: list[Callable[[], object]] = [
            lambda: store.get("web"),
            lambda: store.watch("web"),
            store.namespaces,
            lambda: store.create("web", A),
            lambda: store.put("web", A),
            lambda: store.delete("web"),
        ]
        for call in calls:
            with pytest.raises(StoreError, match="is closed"):
                call()
        watch.close()
        assert (told, list(store.watches())) == ([], [])


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = MemoryStore({})
        store.start()
        yield store
        store.close()


class TestFiles(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: File) -> Iterator[Store]:
        store = FileStore(str(tmp_path))
        store.start()
        yield store
        store.close()


# -- a model


class Model(RuleBasedStateMachine):
    """A store against a dict. Versions are only compared: what they are is each store's own affair."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.store = self.make()
        self.store.start()
        self.model: dict[str, Dtab] = {}
        self.read: dict[str, tuple[bytes, Dtab]] = {}
        """What somebody has read, perhaps long ago."""
        self.list = self.store.namespaces()
        self.told: tuple[str, ...] = ()
        self.list.observe(self._listed)

    def make(self) -> Store:
        return MemoryStore({})

    def _listed(self, names: tuple[str, ...]) -> None:
        self.told = names

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(target=names, ns=st.sampled_from(["a", "b", "a/b", "a/b/c", "b.dtab", "b.dtab/x"]))
    def name(self, ns: str) -> str:
        return ns

    @rule(ns=names, dtab=st.sampled_from([A, B, C]))
    def create(self, ns: str, dtab: Dtab) -> None:
        if ns in self.model:
            with pytest.raises(Exists):
                self.store.create(ns, dtab)
        else:
            self.store.create(ns, dtab)
            self.model[ns] = dtab

    @rule(ns=names, dtab=st.sampled_from([A, B, C]))
    def put(self, ns: str, dtab: Dtab) -> None:
        self.store.put(ns, dtab)
        self.model[ns] = dtab

    @rule(ns=names)
    def look(self, ns: str) -> None:
        state = self.store.get(ns)
        if isinstance(state, Versioned):
            self.read[ns] = (state.version, state.dtab)

    @rule(ns=names, dtab=st.sampled_from([A, B, C]))
    def compare_and_set(self, ns: str, dtab: Dtab) -> None:
        version, seen = self.read.get(ns, (b"never", None))
        now = self.model.get(ns)
        try:
            self.store.put(ns, dtab, version)
        except Missing:
            assert now is None
        except Mismatch:
            assert now is not None
        else:
            assert now == seen, "what is replaced is what was read"
            self.model[ns] = dtab

    @rule(ns=names, dtab=st.sampled_from([A, B, C]))
    def compare_and_set_what_is_there(self, ns: str, dtab: Dtab) -> None:
        state = self.store.get(ns)
        if isinstance(state, Versioned):
            self.store.put(ns, dtab, state.version)
            self.model[ns] = dtab

    @rule(ns=names)
    def delete(self, ns: str) -> None:
        if ns in self.model:
            self.store.delete(ns)
            del self.model[ns]
        else:
            with pytest.raises(Missing):
                self.store.delete(ns)

    @invariant()
    def says_what_the_model_says(self) -> None:
        assert self.told == self.list.value == tuple(sorted(self.model))
        for ns, dtab in self.model.items():
            assert dtab_of(self.store, ns) == dtab


class FileModel(Model):
    def make(self) -> Store:
        return FileStore(self.folder.name)

    @rule()
    def restart(self) -> None:
        """Versions that were read before are as good as they were."""
        versions = {ns: version_of(self.store, ns) for ns in self.model}
        self.store.close()
        self.store = self.make()
        self.store.start()
        assert {ns: version_of(self.store, ns) for ns in self.model} == versions
        self.list = self.store.namespaces()
        self.told = self.list.value
        self.list.observe(self._listed)


@pytest.mark.parametrize(("machine", "examples"), [(Model, 100), (FileModel, 15)])
def test_whatever_is_done_the_store_says_what_a_dict_would(machine: type[Model], examples: int) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=30, deadline=None))


# -- memory


def in_memory(**texts: str) -> InMemoryStorage:
    return InMemoryStorage.model_validate({"kind": "io.l5d.inMemory", "namespaces": texts})


def started(**texts: str) -> MemoryStore:
    store = MemoryStore(in_memory(**texts).namespaces)
    store.start()
    return store


def test_memory_counts_versions_as_namerd_does() -> None:
    store = started(web="/a => /b")
    assert b64encode(version_of(store, "web")) == b"AAAAAAAAAAE="
    store.put("web", A)
    assert b64encode(version_of(store, "web")) == b"AAAAAAAAAAI="


def test_memory_uses_no_version_of_a_deleted_namespace_again() -> None:
    store = started(web="/a => /b", other="/c => /d")
    store.put("web", A)
    store.delete("web")
    store.create("web", A)
    assert version_of(store, "web") == (3).to_bytes(8, "big")
    store.delete("other")
    store.create("other", A)
    assert version_of(store, "other") == (3).to_bytes(8, "big")


def test_a_name_in_the_file_that_cannot_be_is_said_at_start_and_by_a_check() -> None:
    store = MemoryStore({"a//b": A})
    with pytest.raises(StartError, match=r"namerd\.storage\.namespaces: 'a//b'"):
        store.start()
    (line,) = MemoryStore({"a//b": A, "fine": A}).check()
    assert line.startswith("namerd.storage.namespaces: 'a//b' is no name")


def test_a_reload_sets_what_changed_in_the_file_and_nothing_else() -> None:
    store = started(same="/a => /b", changed="/a => /b", api="/a => /b")
    store.put("api", C)
    store.create("new", C)
    before = {ns: store.get(ns) for ns in ("same", "api", "new")}
    store.apply(in_memory(same="/a => /b", changed="/a => /1", api="/a => /b", added="/b => /c"))
    assert {ns: store.get(ns) for ns in ("same", "api", "new")} == before
    assert dtab_of(store, "changed") == A
    assert dtab_of(store, "added") == Dtab.read("/b => /c")


def test_a_reload_takes_away_what_only_the_file_had_said() -> None:
    store = started(file="/a => /b", api="/a => /b")
    store.put("api", C)
    store.apply(in_memory())
    assert store.namespaces().value == ("api",)
    store.apply(in_memory(file="/a => /b"))
    store.apply(in_memory())
    assert store.namespaces().value == ("api",)


def test_a_reload_that_cannot_be_applied_is_counted_and_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store = started(web="/a => /b")
    store.apply(
        InMemoryStorage.model_validate({"kind": "io.l5d.inMemory", "namespaces": {"a//b": "", "web": "/a => /1"}})
    )
    assert dtab_of(store, "web") == A
    assert store.figures.errors == {"file": 1}
    assert "'a//b'" in caplog.text


def test_the_bounds_are_those_of_the_docs() -> None:
    assert (storage.MAX_NAMESPACES, storage.MAX_DTAB_BYTES, storage.MAX_TOTAL_BYTES) == (10_000, 1 << 20, 64 << 20)
