"""Building a token store beside the `tokenizers` library alone, on the same texts: characters per second.

    python -m benchmarks.tokenizing [--path books.jsonl --field text] [--megabytes 60] [--rounds 7] [--short 30]

Expected before it was run: 0.85 or more of the library's rate, for each kind of tokenizer. What we do beyond it per
token (ids out of the library, into an array, to disk) takes a tenth of its time or so in each process, and is shared
out over the processes; finding out where sentences start takes another tenth. With `--short` a document is a line of
so many characters at most, and what has to be done for each document counts for more.

The library's side is its `encode_batch`, which uses all cores, on lists of texts that are in memory already, in batches
of a million characters; the ids are not asked for. Ours is the whole of `build_store`: reading JSON lines, the filter,
tokens, files, checksums; once with processes (as many as cores), once in one process with the library's threads; each
also with the places where sentences start, which next-sentence pairs need. For information also the library's
`encode_batch_fast`, which leaves out where in the text a token was. The sides take turns; medians, and the ratios of
neighbours to the library with their smallest and largest: by the clock, and by the processors' time, which others on
the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import tokenizers

from zoo.data.filter import batches
from zoo.data.sources import JsonLinesConfig, SourceConfig
from zoo.data.stdlib import StdlibConfig
from zoo.data.store import build_store
from zoo.data.workers import available_cores
from zoo.tokenizer.tokenizer import LIBRARY_FILE_NAME, Tokenizer
from zoo.tokenizer.train import ByteLevelBPEConfig, TokenizerConfig, UnigramConfig, WordPieceConfig

KINDS: dict[str, type[TokenizerConfig]] = {
    "byte_level_bpe": ByteLevelBPEConfig,
    "wordpiece": WordPieceConfig,
    "unigram": UnigramConfig,
}


def texts_of(source: SourceConfig, characters: int) -> Iterator[str]:
    """The source's documents, over and over, until there are so many characters."""
    seen = 0
    while seen < characters:
        for text in source.documents():
            yield text
            seen += len(text)
            if seen >= characters:
                return


def short_lines(texts: list[str], characters: int) -> list[str]:
    """The texts in lines of whole words, up to so many characters each."""
    line = re.compile(rf"\S.{{0,{characters - 2}}}\S(?=\s|\Z)")
    return [found for text in texts for found in line.findall(text)]


def measure(folder: Path, texts: list[str], kind: str, rounds: int) -> None:
    """Prints rates and ratios of one kind of tokenizer."""
    trained = KINDS[kind](training_characters=5_000_000).train(texts)
    trained.save(folder / kind)
    library = tokenizers.Tokenizer.from_file(str(folder / kind / LIBRARY_FILE_NAME))
    listed = list(batches(texts))
    ours = Tokenizer.load(folder / kind)
    source = JsonLinesConfig(path=str(folder / "corpus.jsonl"))

    def build(num_workers: int, sentences: bool) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            build_store(source, ours, Path(cache), sentences, False, num_workers)

    def encode(name: str) -> None:
        for batch in listed:
            getattr(library, name)(batch, add_special_tokens=False)

    sides: dict[str, Callable[[], None]] = {
        "library": lambda: encode("encode_batch"),
        "processes": lambda: build(available_cores(), False),
        "threads": lambda: build(0, False),
        "processes, sentences": lambda: build(available_cores(), True),
        "threads, sentences": lambda: build(0, True),
        "library, fast": lambda: encode("encode_batch_fast"),
    }
    characters = sum(map(len, texts))
    rates: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, run in sides.items():
            wall, work = time.perf_counter(), _cpu_seconds()
            run()
            wall, work = time.perf_counter() - wall, _cpu_seconds() - work
            rates[side].append((characters / wall / 1e6, characters / work / 1e6))
    for side, found in rates.items():
        words = [f"{kind:15} {side:20}"]
        for name, mine, theirs in zip(
            ("s", "CPU s"), zip(*found, strict=True), zip(*rates["library"], strict=True), strict=True
        ):
            ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
            spread = f"{statistics.median(ratios):.3f} [{min(ratios):.3f} to {max(ratios):.3f}]"
            words.append(f"{statistics.median(mine):6.2f} M/{name}, ratio {spread}")
        print("  ".join(words), flush=True)


def _cpu_seconds() -> float:
    """Of this process and of those below it that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Prints the rates for each kind of tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", help="JSON lines; without it: the standard library's docs and code")
    parser.add_argument("--field", default="text")
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--short", type=int, help="cut the documents into lines of at most so many characters")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    arguments = parser.parse_args()
    source: SourceConfig = StdlibConfig(parts=("docs", "code"))
    if arguments.path:
        source = JsonLinesConfig(path=arguments.path, field=arguments.field)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        texts = [text for text in texts_of(source, arguments.megabytes * 1_000_000) if text.strip()]
        if arguments.short:
            texts = short_lines(texts, arguments.short)
        with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
        print(f"{sum(map(len, texts)):,} characters in {len(texts):,} documents, {available_cores()} cores")
        for kind in arguments.kinds:
            measure(folder, texts, kind, arguments.rounds)


if __name__ == "__main__":
    main()
