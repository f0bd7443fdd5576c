"""What is told of a run, and that all of it can be told again from raw.json."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.model import Options, Run
from benchmarks.workloads import Workload, by_options

OPTIONS = Options()
ABOUT = {"commit": "abc123 (with changes)", "machine": "2 cpus"}


def workloads(*names: str) -> list[Workload]:
    return [each for each in by_options(OPTIONS) if not names or each.name in names]


def made_up(chosen: list[Workload], absent: str = "linkerd-tcp-2-workers") -> list[Run]:
    """Every figure of every contestant, ours twice HAProxy's; `absent` could not be started."""
    found = []
    for workload in chosen:
        names = {row.figure for row in workload.rows}
        for contestant in workload.contestants:
            if contestant.name == absent:
                found.append(Run(workload.name, absent, 0, 0, 1.0, 2.0, error="no | such thing"))
                continue
            factor = 2.0 if contestant.name.startswith("linkerd-tcp") else 1.0
            figures = dict.fromkeys(names, factor)
            series = {"at": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], **{name: [factor] * 7 for name in names}}
            found += [Run(workload.name, contestant.name, at, 0, 1.0, 2.0, figures, series) for at in (0, 1)]
    return found


def test_a_run_that_is_written_is_read_the_same(tmp_path: Path) -> None:
    runs = made_up(workloads())
    path = tmp_path / "raw.json"
    path.write_text(report.raw(ABOUT, OPTIONS, ["keep-alive"], runs))
    assert report.read_raw(path) == (ABOUT, OPTIONS, ["keep-alive"], runs)


def test_a_run_with_nothing_measured_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "raw.json"
    path.write_text(report.raw(ABOUT, OPTIONS, [], []))
    assert report.read_raw(path) == (ABOUT, OPTIONS, [], [])


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"not a raw\.json"):
        report.read_raw(path)


def test_a_report_tells_commit_machine_rows_everyone_and_what_failed() -> None:
    chosen = workloads("keep-alive")
    text = report.report(ABOUT, OPTIONS, chosen, made_up(chosen), [("cpu.svg", "What it costs")])
    assert "* commit: abc123 (with changes)" in text
    assert "| keep-alive requests: cpu each | 2.00 (2.00 - 2.00; 2.00 - 2.00) | 2 us | 1 us | ≤ 1.15 | ≤ 0.95 |" in text
    assert "| keep-alive requests: rate | 2.00 (2.00 - 2.00; 2.00 - 2.00) | 2 /s | 1 /s |  |  | shown |" in text
    assert "not available: linkerd-tcp-2-workers: no / such thing" in text
    assert "* keep-alive, round 1, linkerd-tcp-2-workers: no | such thing" in text
    assert "![What it costs](cpu.svg)" in text
    assert all(f"| {each.name} |" in text for each in chosen[0].contestants)


def test_every_row_of_the_table_has_as_many_cells_as_its_head() -> None:
    chosen = workloads()
    table, _, said = report.table(report.judged_rows(chosen, made_up(chosen))).rpartition("\n\n")
    assert {line.count("|") for line in table.splitlines()} == {len(report.HEAD) + 1}
    assert len(table.splitlines()) == 2 + sum(len(each.rows) for each in chosen)
    assert said.startswith("Rows: misses first: ")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (3.0, "3"), (0.0336, "0.0336"), (61.14, "61.1"), (70_123.4, "70 123"), (2.5e-5, "2.5e-05")],
)
def test_a_number_has_three_digits_that_say_something(value: float, shown: str) -> None:
    assert report.number(value) == shown


def test_every_contestant_has_a_name_of_its_own_and_every_row_names_those_that_take_part() -> None:
    for workload in workloads():
        names = [each.name for each in workload.contestants]
        assert len(set(names)) == len(names)
        for row in workload.rows:
            assert row.workload == workload.name
            assert {row.ours, row.theirs or row.ours, *(row.beside or ())} <= set(names)


def test_no_two_rows_are_of_one_name() -> None:
    titles = [row.title for workload in workloads() for row in workload.rows]
    assert len(set(titles)) == len(titles)


def test_plots_are_drawn_of_what_there_is_and_follow_the_reader(tmp_path: Path) -> None:
    plots = pytest.importorskip("benchmarks.plots", reason="needs matplotlib", exc_type=ImportError)
    chosen = workloads("download", "churn")
    drawn = [name for name, _ in plots.draw(chosen, made_up(chosen), tmp_path)]
    assert drawn == ["ratios.svg", "bulk.svg", "churn.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(drawn)
    for name in drawn:
        text = (tmp_path / name).read_text()
        assert "prefers-color-scheme: dark" in text
        assert plots.COLOURS["linkerd-tcp"] in text
        ElementTree.fromstring(text)
    assert plots.draw(chosen, [], tmp_path) == []
