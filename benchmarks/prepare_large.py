"""A large corpus is prepared in little memory, killed twice on the way, and equals that of an unbroken run.

    python -m benchmarks.prepare_large --folder /data/large [--megabytes 2000] [--limit 1000] [--workers 2]

Generates JSON lines of made-up words (Zipf's law; some documents twice, some empty), the same for the same size.
Then runs `zoo data prepare` with normalization and deduplication on: unbroken in one cache; in another one it is sent
SIGKILL when a third and two thirds of the shards are finished, and the command is given a third time. Compares all
files of both stores byte by byte.

Memory is the sum over all processes of the command of their proportional set sizes (/proc/…/smaps_rollup), looked at
ten times a second; besides, each process may have no more data of its own than the limit (RLIMIT_DATA). Linux only.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

WORDS = 50_000
CHUNK_WORDS = 1_000_000
LEAST_SHARDS = 3
LETTERS = np.array(list("etaoinshrdlucmfwypvbgkjqxz\u00e9"))


class Outcome(NamedTuple):
    """How a command went: its exit status, seconds, and the largest memory of all its processes together, in MB."""

    status: int
    seconds: float
    peak: float


def vocabulary() -> np.ndarray:
    """Made-up words, the frequent ones short."""
    draw = np.random.default_rng(1)
    lengths = np.minimum(2 + draw.poisson(np.linspace(1, 7, WORDS)), 15)
    letters = draw.choice(LETTERS, size=lengths.sum(), p=_zipf(len(LETTERS)))
    return np.array(["".join(part) for part in np.split(letters, np.cumsum(lengths)[:-1])])


def _zipf(count: int) -> np.ndarray:
    weights = 1 / (np.arange(count) + 2.7)
    return weights / weights.sum()


def documents(characters: int) -> Iterator[str]:
    """Documents of some 300 words until there are so many characters; every 20th comes twice, every 50th is empty."""
    words, shares = vocabulary(), _zipf(WORDS)
    written = number = 0
    for chunk in range(1 << 30):
        drawn = words[np.random.default_rng([2, chunk]).choice(WORDS, CHUNK_WORDS, p=shares)]
        for part in np.split(drawn, range(300, CHUNK_WORDS, 300)):
            text = ". ".join((" ".join(part[:150]), " ".join(part[150:])))
            for copy in [text] * (2 if number % 20 == 0 else 1) + [""] * (number % 50 == 0):
                yield copy
                written += len(copy)
            number += 1
            if written >= characters:
                return


def generate(path: Path, megabytes: int) -> None:
    """Writes the corpus, unless it is there."""
    if path.exists():
        return
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8") as file:
        for text in documents(megabytes * 1_000_000):
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    temporary.rename(path)


def prepare(corpus: Path, cache: Path, workers: int, limit: int, kill_after: int | None = None) -> Outcome:
    """Runs `zoo data prepare`; kills it once so many shards are finished."""
    settings = [
        "data.source.kind=jsonl",
        f"data.source.path={corpus}",
        "data.source.filter.normalization=NFC",
        "data.source.filter.deduplicate=true",
        "tokenizer.training_characters=20000000",
        f"data.num_workers={workers}",
        f"data.cache={cache}",
    ]
    command = [sys.executable, "-m", "zoo", "data", "prepare", "gpt-nano", *settings]
    data = limit * 1_000_000
    start = time.monotonic()
    process = subprocess.Popen(command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (data, data)))
    watch = Watch(process.pid)
    while process.poll() is None:
        time.sleep(0.05)
        if kill_after is not None and shards(cache) >= kill_after:
            process.send_signal(signal.SIGKILL)
            kill_after = None
    return Outcome(process.returncode, time.monotonic() - start, watch.stop())


def shards(cache: Path) -> int:
    """Finished shards of the store that is being built, or was built, in a cache."""
    journals = [*cache.glob("store/.*.building-kept/journal.jsonl"), *cache.glob("store/*/journal.jsonl")]
    return sum(journal.read_bytes().count(b"\n") for journal in journals)


class Watch:
    """Looks at the memory of a process and all below it until it is told to stop."""

    def __init__(self, process: int) -> None:
        self.peak, self._process, self._done = 0.0, process, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> float:
        """The peak in MB."""
        self._done.set()
        self._thread.join()
        return self.peak

    def _look(self) -> None:
        while not self._done.wait(0.1):
            self.peak = max(self.peak, sum(map(_proportional, _family(self._process))))


def _family(process: int) -> list[int]:
    try:
        below = Path(f"/proc/{process}/task").glob("*/children")
        children = [int(child) for file in below for child in file.read_text().split()]
    except OSError:
        return []
    return [process, *(member for child in children for member in _family(child))]


def _proportional(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0  # it has just ended
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))


def differences(one: Path, other: Path) -> list[str]:
    """Files of two caches' stores that are not the same, byte by byte."""
    (left,), (right,) = ([path.parent for path in cache.glob("store/*/store.json")] for cache in (one, other))
    names = sorted({path.name for folder in (left, right) for path in folder.iterdir()})
    same, _, _ = filecmp.cmpfiles(left, right, names, shallow=False)
    return [left.name, *sorted(set(names) - set(same))][left.name == right.name :]


def main() -> None:
    """Prints time, peak memory and whether the stores are the same; fails where they are not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, default=2_000)
    parser.add_argument("--limit", type=int, default=1_000, help="megabytes of memory")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    corpus = arguments.folder / f"{arguments.megabytes}.jsonl"
    generate(corpus, arguments.megabytes)
    print(f"{corpus}: {os.stat(corpus).st_size:,} bytes", flush=True)
    caches = [arguments.folder / name for name in ("unbroken", "killed")]
    common = (arguments.workers, arguments.limit)
    outcomes = {"unbroken": prepare(corpus, caches[0], *common)}
    total = shards(caches[0])
    if total < LEAST_SHARDS:
        sys.exit(
            f"--megabytes {arguments.megabytes} makes {total} shards; {LEAST_SHARDS} are needed, to be killed at "
            "a third and two thirds of them: a shard takes 17 megabytes or so"
        )
    outcomes["killed at a third"] = prepare(corpus, caches[1], *common, kill_after=max(1, total // 3))
    outcomes["killed at two thirds"] = prepare(corpus, caches[1], *common, kill_after=max(2, 2 * total // 3))
    outcomes["finished"] = prepare(corpus, caches[1], *common)
    for name, outcome in outcomes.items():
        print(f"{name:21} status {outcome.status:3}  {outcome.seconds:7.1f} s  peak {outcome.peak:6.0f} MB")
    different = differences(*caches)
    print(f"{total} shards; files that differ: {different or 'none'}")
    statuses = [outcome.status for outcome in outcomes.values()]
    too_much = max(outcome.peak for outcome in outcomes.values()) > arguments.limit
    if different or too_much or statuses != [0, -signal.SIGKILL, -signal.SIGKILL, 0]:
        sys.exit("not as it should be")


if __name__ == "__main__":
    main()
