"""Writers of dtab files in processes of their own: some are killed at any moment, some count together with others.

python -m tests.controller.writers killed FOLDER ROUNDS SEED
python -m tests.controller.writers count FOLDER TIMES
"""

import os
import random
import re
import signal
import sys
from pathlib import Path as File
from select import select
from time import sleep

from linkerd_tcp.controller import disk, replace
from linkerd_tcp.controller.disk import Place
from linkerd_tcp.controller.storage import Exists, Mismatch, Missing

NAMES = ("a", "b/c", "b/d/e")
TEXT = re.compile(rb"/n => /(\d+) ;\n(?:/filler => /[x]+ ;\n)?")


def text(number: int, filler: int) -> bytes:
    return b"/n => /%d ;\n" % number + (b"/filler => /" + b"x" * filler + b" ;\n" if filler else b"")


def write_until_killed(folder: str, ns: str, number: int, filler: int, acknowledged: int) -> None:
    """Create, compare and set, delete, and create again; each outcome is acknowledged in 8 bytes, 0 for a delete."""
    place = Place(folder, folder, ns)
    version = disk.read_text(place).version
    while True:
        number += 1
        data = text(number, filler)
        try:
            if not version:
                version = replace.create(place, data)
            elif number % 7:
                version = replace.put_if(place, data, version)
            else:
                version, number = replace.delete(place), number + 1
        except (Exists, Missing, Mismatch) as error:
            os.write(2, f"nobody else writes {ns}: {error}\n".encode())
            os._exit(1)
        os.write(acknowledged, (number if version else 0).to_bytes(8, "big"))


def number_in(folder: str, ns: str) -> int:
    """What the file of `ns` says, 0 where there is none."""
    try:
        data = File(folder, f"{ns}.dtab").read_bytes()
    except FileNotFoundError:
        return 0
    match = TEXT.fullmatch(data)
    assert match is not None, f"{ns} is torn: {data[:100]!r}... of {len(data)} bytes"
    return int(match[1])


def one_round(folder: str, chance: random.Random, last: dict[str, int]) -> int:
    """Three writers, killed at once; how many changes they were told are made. `last` is what each file says."""
    children = {}
    for ns in NAMES:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            write_until_killed(folder, ns, last[ns] or max(last.values()), chance.choice((0, 0, 100_000)), writer)
        os.close(writer)
        children[ns] = (pid, reader)
    if chance.random() < 0.5:  # the others may be killed before anything was written
        select([reader for _, reader in children.values()], [], [], 10.0)
    sleep(chance.uniform(0, 0.008))
    for pid, _ in children.values():
        os.kill(pid, signal.SIGKILL)
    count = 0
    for ns, (pid, reader) in children.items():
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), f"the writer of {ns} ended by itself"
        acknowledged = []
        while data := os.read(reader, 65536):
            acknowledged += [int.from_bytes(data[at : at + 8], "big") for at in range(0, len(data), 8)]
        os.close(reader)
        check(folder, ns, [last[ns], *acknowledged])
        last[ns] = number_in(folder, ns)
        count += len(acknowledged)
    return count


def check(folder: str, ns: str, acknowledged: list[int]) -> None:
    """The last change that was acknowledged is there, or the one after it, which nobody was told of."""
    now, last = number_in(folder, ns), acknowledged[-1]
    highest = max(acknowledged)
    assert now == last or now == 0 or now > highest, f"{ns}: {last} was acknowledged, and {now} is there"
    if now == 0 and last:
        # A delete that was not acknowledged: the next number in turn would have been a delete.
        assert (last + 1) % 7 == 0, f"{ns}: {last} was acknowledged, and nothing is there"


def killed(folder: str, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    last = dict.fromkeys(NAMES, 0)
    count = leftovers = 0
    for _ in range(rounds):
        count += one_round(folder, chance, last)
        leftovers += sum(name.name.endswith(".tmp") for name in File(folder).rglob(".*"))
    print(count, leftovers)


def count_up(folder: str, times: int) -> None:
    """Add `times` to the number in the namespace `n`, by compare and set."""
    place = Place(folder, folder, "n")
    for _ in range(times):
        while True:
            read = disk.read_text(place)
            assert read.data is not None
            match = TEXT.fullmatch(read.data)
            assert match is not None
            try:
                replace.put_if(place, text(int(match[1]) + 1, 0), read.version)
            except Mismatch:
                continue
            break


if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    {"killed": killed, "count": count_up}[command](folder, *map(int, rest))
