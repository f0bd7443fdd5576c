"""What load generators print, as numbers. Pure; ParseError shows the output that makes no sense."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class ParseError(ValueError):
    """The output of a load generator is not what was expected."""


def wrk(text: str) -> dict[str, float]:
    """Of `wrk --latency`: requests, per_second, failed, p50_ms, p90_ms, p99_ms."""
    found = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", text)
    if found is None or int(found[1]) == 0:
        raise ParseError(f"wrk measured nothing: {_end_of(text)}")
    requests = int(found[1])
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failed = sum(int(number) for number in errors.groups()) if errors else 0
    figures = {
        "requests": requests,
        "per_second": requests / (float(found[2]) * _MS[found[3]] / 1000),
        "failed": failed + (int(refused[1]) if refused else 0),
    }
    for percentile, value, unit in re.findall(r"^\s+(50|90|99)%\s+([\d.]+)(us|ms|s|m)\b", text, re.MULTILINE):
        figures[f"p{percentile}_ms"] = float(value) * _MS[unit]
    return figures


def h2load(text: str, log: Iterable[str], seconds: float) -> dict[str, float]:
    """Of h2load and the lines of its `--log-file`: requests, per_second, failed, lasted_secs, p50_ms, p99_ms, p999_ms.

    All but `lasted_secs` is of the `seconds` after the warm-up. A request that was not answered is in no percentile,
    but in `failed`; those that a dead connection would have made are in neither, and missing from `per_second`.
    """
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    lasted = re.search(r"finished in ([\d.]+)(us|ms|s|m)\b", text)
    if found is None or lasted is None or int(found[1]) == 0:
        raise ParseError(f"h2load measured nothing: {_end_of(text)}")
    succeeded, *bad = (int(number) for number in found.groups())
    return {
        "requests": succeeded,
        "per_second": succeeded / seconds,
        "failed": sum(bad),
        "lasted_secs": float(lasted[1]) * _MS[lasted[2]] / 1000,
        **percentiles([int(line.split("\t")[2]) / 1000 for line in log]),
    }


def percentiles(values_ms: Sequence[float]) -> dict[str, float]:
    """p50_ms, p99_ms, p999_ms: the value that so many are not above (nearest rank). ParseError of none."""
    if not values_ms:
        raise ParseError("there are no latencies")
    ranked = sorted(values_ms)
    names = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    return {name: ranked[max(0, -int(-share * len(ranked) // 1) - 1)] for name, share in names.items()}


def metrics(text: str) -> dict[str, float]:
    """Prometheus text: the sum over all label sets of each name, without histogram buckets."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        found = re.match(r"([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)", line)
        if found and not found[1].endswith("_bucket"):
            sums[found[1]] = sums.get(found[1], 0.0) + float(found[2])
    return sums


def _end_of(text: str) -> str:
    return text.strip()[-500:] or "(it printed nothing)"
