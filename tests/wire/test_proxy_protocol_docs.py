"""The table in docs/proxy-protocol.md is what the corpus says, no row missing."""

from pathlib import Path

from tests.wire.proxy_protocol_corpus import Case, cases, verdict

PAGE = Path(__file__).resolve().parents[2] / "docs" / "proxy-protocol.md"
TITLE = "| header | the text | here | "
OTHERS = ["HAProxy 2.6.12", "nginx 1.22.1", "aiosmtpd 1.4.6", "proxy-protocol 0.11.3", "Twisted 26.10.0"]


def row(case: Case) -> list[str]:
    """Bold is what a receiver does against the text."""
    text, _, unless = case.verdicts["The text"].partition(", ")
    right = verdict(case)
    cells = [case.name, f"{text} if read" if unless else text, right]
    for other in OTHERS:
        what = case.verdicts[other]
        wrong = (text == "accept" and what != right) or (text == "refuse" and not unless and what in ("accept", "real"))
        cells.append(f"**{what}**" if wrong else what)
    return cells


def test_the_table_shows_every_header_on_which_somebody_differs() -> None:
    lines = PAGE.read_text("utf-8").splitlines()
    start = lines.index(TITLE + " | ".join(OTHERS) + " |") + 2
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start : lines.index("", start)]]
    known = [*cases("valid"), *cases("invalid")]
    differing = [case for case in known if {case.verdicts[other] for other in OTHERS} != {verdict(case)}]
    assert shown == [row(case) for case in differing]
    assert f"has {len(known)} headers" in PAGE.read_text("utf-8")
    assert f"the {len(known) - len(differing)} on which all agree" in PAGE.read_text("utf-8")
