import errno
import os
from pathlib import Path

import pytest

from linkerd_tcp.net.files import MAX_FILE_BYTES, Outside, Sighting, State, is_file_name, look, read, resolve


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "root"
    folder.mkdir()
    return folder


def seen_by(root: Path, *names: str) -> tuple[Sighting, list[tuple[str, str]]]:
    trail: list[tuple[str, str]] = []
    sighting = look(str(root), "disco", names, lambda folder, name: trail.append((os.path.relpath(folder, root), name)))
    return sighting, trail


def test_a_file_is_read(root: Path) -> None:
    (root / "web").write_bytes(b"x" * MAX_FILE_BYTES)
    assert len(read(str(root), str(root / "web"))) == MAX_FILE_BYTES


def test_a_file_above_the_bound_is_not(root: Path) -> None:
    (root / "web").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(OSError, match="larger than") as caught:
        read(str(root), str(root / "web"))
    assert caught.value.errno == errno.EFBIG


def test_a_fifo_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "web")
    with pytest.raises(OSError, match="not a regular file"):
        read(str(root), str(root / "web"))


def test_a_link_put_in_the_place_of_the_file_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (root / "web").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        read(str(root), str(root / "web"))


def test_a_link_put_in_the_place_of_a_folder_on_the_way_leads_nowhere(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "web").write_text("secret")
    (root / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(Outside):
        read(str(root), str(root / "sub" / "web"))


def test_descriptors_are_given_back_whatever_happens(root: Path) -> None:
    (root / "web").write_bytes(b"x")
    (root / "large").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    before = len(os.listdir("/dev/fd"))
    read(str(root), str(root / "web"))
    with pytest.raises(OSError, match="larger"):
        read(str(root), str(root / "large"))
    assert len(os.listdir("/dev/fd")) == before


def test_the_trail_is_everything_the_answer_depends_on(root: Path) -> None:
    (root / "..v1").mkdir()
    (root / "..v1" / "web.yml").touch()
    (root / "..data").symlink_to("..v1")
    (root / "web.yml").symlink_to("..data/web.yml")
    sighting, trail = seen_by(root, "web")
    assert (sighting.state, sighting.path, sighting.shown) == (
        State.FILE,
        str(root / "..v1" / "web.yml"),
        "disco/web.yml",
    )
    assert trail == [
        (".", "web"),
        (".", "web.yml"),
        (".", "..data"),
        (".", "..v1"),
        ("..v1", "web.yml"),
        (".", "web.yaml"),
    ]


def test_a_name_below_one_that_is_not_there_depends_on_that_alone(root: Path) -> None:
    sighting, trail = seen_by(root, "a", "b", "c")
    assert (sighting.state, trail) == (State.ABSENT, [(".", "a")])
    (root / "a").touch()
    assert seen_by(root, "a", "b")[0].state is State.ABSENT


def test_what_cannot_be_looked_at_is_a_problem_and_not_gone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.lstat

    def fail(path: str) -> os.stat_result:
        if path.endswith("/web"):
            raise OSError(errno.EIO, "Input/output error", path)
        return real(path)

    monkeypatch.setattr(os, "lstat", fail)
    sighting, _ = seen_by(root, "web")
    assert sighting.state is State.PROBLEM
    assert sighting.problem == "disco/web: Input/output error"


def test_links_without_end_end(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    (root / "web0").touch()
    for number in range(1, 50):
        (root / f"web{number}").symlink_to(f"web{number - 1}")
    assert resolve(str(root), str(root), ["web40"], lambda *_: None)[0] == str(root / "web0")
    for name in ("loop", "web41"):
        with pytest.raises(OSError, match="symbolic links") as caught:
            resolve(str(root), str(root), [name], lambda *_: None)
        assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "a\0", "\ud800"])
def test_what_is_no_file_name(name: str) -> None:
    assert not is_file_name(name)


def test_what_is_a_file_name() -> None:
    assert all(map(is_file_name, ["a", "a.b", "..."[3:] + "x", "ä", "\udcff", "a b", "-", "~"]))
