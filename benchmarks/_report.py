"""What a benchmark's rounds are, and how they are told: a Markdown table with the machine and the versions."""

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS, HAPROXY = "linkerd-tcp", "haproxy"


@dataclass(frozen=True)
class Round:
    """One measurement. `cpu_us` is microseconds of the proxy's cpu for each request; None where there is no proxy."""

    kind: str
    target: str
    requests: int
    failed: int
    per_second: float
    cpu_us: float | None
    p50_ms: float | None = None
    p99_ms: float | None = None


def find(name: str) -> str:
    """The path of a program; ends the run with what to install when it is not there."""
    path = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        sys.exit(f"{name} is not installed; on Debian: apt-get install nginx haproxy wrk nghttp2-client")
    return path


def ratio_row(kind: str, rounds: list[Round]) -> str:
    """One line of the table: the median of the rounds' ratios, and how far they spread."""
    ours = [each for each in rounds if each.kind == kind and each.target == OURS]
    theirs = [each for each in rounds if each.kind == kind and each.target == HAPROXY]
    ratios = [(a.cpu_us or 0) / (b.cpu_us or 1) for a, b in zip(ours, theirs, strict=True)]
    cells = [
        kind,
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})",
        *(f"{statistics.median(each.cpu_us or 0 for each in of):.1f}" for of in (ours, theirs)),
        *(f"{statistics.median(each.per_second for each in of):,.0f}" for of in (ours, theirs)),
        f"{sum(each.failed for each in ours)}, {sum(each.failed for each in theirs)}",
    ]
    return f"| {' | '.join(cells)} |"


def rate_row(each: Round) -> str:
    cpu = "" if each.cpu_us is None else f"{each.cpu_us:.1f}"
    return f"| {each.target} | {each.per_second:,.0f} | {each.failed} | {each.p50_ms:.2f} | {each.p99_ms:.2f} | {cpu} |"


def table(rounds: list[Round], about: dict[str, str]) -> str:
    """The whole result as Markdown."""
    lines = [f"{name}: {value}  " for name, value in about.items()]
    kinds = [kind for kind in dict.fromkeys(each.kind for each in rounds) if kind != "20 000/s"]
    if kinds:
        head = [
            "load",
            "cpu ours / HAProxy",
            "us ours",
            "us HAProxy",
            "per second ours",
            "HAProxy",
            "failed (ours, HAProxy)",
        ]
        lines += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(ratio_row(kind, rounds) for kind in kinds)]
    rates = [each for each in rounds if each.kind == "20 000/s"]
    if rates:
        head = ["20 000 requests/s asked of", "achieved/s", "failed", "p50 ms", "p99 ms", "cpu us"]
        lines += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(rate_row(each) for each in rates)]
    return "\n".join(lines)


def said_by(*command: str) -> str:
    """The first line that a program prints, or nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parent)
    return ((done.stdout + done.stderr).strip().splitlines() or [""])[0]


def surroundings() -> dict[str, str]:
    """What a number is worth nothing without."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    processor = found[1] if found else platform.processor()
    dirty = "" if not said_by("git", "status", "--porcelain", "--untracked-files=no") else " (with changes)"
    return {
        "commit": said_by("git", "rev-parse", "--short", "HEAD") + dirty,
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {processor}, {platform.platform()}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", said_by(find("haproxy"), "-v"), said_by(find("nginx"), "-v")]
        ),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }
