"""`zoo tokenizer train`: a tokenizer of a config's text in a folder of its own, measured on text that it never saw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.arguments import ConfigName, Settings, examples, number
from zoo.cli.screen import note
from zoo.cli.tokenizer_inspect import show_quality, show_tokenizer
from zoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zoo.tokenizer.tokenizer import Tokenizer
    from zoo.training.config import RunConfig

EXAMPLES = examples(
    "zoo tokenizer train gpt-nano my-tokenizer",
    "zoo pretrain gpt-nano tokenizer.kind=file tokenizer.path=my-tokenizer name=gpt-mine  # how it is used",
    "zoo tokenizer train bert-nano byte-tokenizer tokenizer.kind=byte_level_bpe --held-out 0.1",
    "zoo tokenizer train t5-nano t5-tokenizer tokenizer.vocab_size=16000 tokenizer.byte_fallback=true",
    "zoo tokenizer train gpt-nano book-tokenizer data.source.kind=text data.source.path=books/  # needs text in books/",
)

MOST_HELD_OUT = 20_000_000
"""Characters that are held in memory until they are measured; what is held out beyond them is not looked at."""


def run(
    config: ConfigName,
    folder: Annotated[str, typer.Argument(help="where the tokenizer is written")],
    settings: Settings = None,
    held_out: Annotated[
        float,
        typer.Option(
            parser=number, metavar="share", help="share of the documents that it does not learn from and is measured on"
        ),
    ] = 0.05,
    fresh: Annotated[bool, typer.Option("--fresh", help="write over a tokenizer that is there already")] = False,
) -> None:
    """Train a tokenizer on the text of a config.

    What it is like is then measured on the held-out documents: tokens per word, how much of the text its vocabulary
    covers, whether text comes back. A run takes it with tokenizer.kind=file tokenizer.path=<folder>; a run without one
    trains its own, on all of its text.
    """
    from zoo.checkpoint.disk import ensure_writable
    from zoo.data.progress import progress_bar
    from zoo.training.shipped import load_run

    if not 0 <= held_out < 1:
        raise ConfigError(f"{held_out} must be at least 0 and below 1", "held_out")
    place = Path(folder).expanduser()
    _check_place(place, fresh)
    resolved: RunConfig = load_run(config, settings or ()).config
    if not resolved.tokenizer.learns:
        raise ConfigError(
            f"{resolved.tokenizer.kind!r} learns nothing from text: look at it with zoo tokenizer inspect, or choose "
            "another kind",
            "tokenizer.kind",
        )
    ensure_writable(place)  # before the work, not after it
    aside = HeldOut(held_out)
    with progress_bar("training the tokenizer", resolved.data.source.size(), True) as advance:
        try:
            trained = resolved.tokenizer.train(aside.others(resolved.data.source.kept_documents()), advance)
        except ConfigError as error:
            raise error.under("tokenizer") from None
    trained.save(place)
    show_tokenizer(str(place), trained)
    _measure(trained, aside)
    note(f"\nuse it: zoo pretrain {config} tokenizer.kind=file tokenizer.path={folder}")


def _check_place(place: Path, fresh: bool) -> None:
    """Refuses to write over what is there, unless it is a tokenizer and that is asked for."""
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if not (place / "tokenizer.json").is_file():
        raise DataError(f"{place} is there already and is no tokenizer folder; name another folder")
    if not fresh:
        raise DataError(f"{place} is there already; name another folder, or write over it with --fresh")


class HeldOut:
    """Documents that are kept from a tokenizer's training, by a hash of their text: the same ones each time.

    Args:
        share: of the documents, about.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.texts: list[str] = []
        self.characters = 0
        self.first: str | None = None

    def others(self, documents: Iterable[str]) -> Iterator[str]:
        """The documents to learn from."""
        for text in documents:
            digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
            if int.from_bytes(digest, "little") >= self.share * 2**64:
                self.first = self.first or text
                yield text
            elif self.characters < MOST_HELD_OUT:
                self.texts.append(text)
                self.characters += len(text)


def _measure(trained: Tokenizer, aside: HeldOut) -> None:
    print()
    if any(not text.isspace() for text in aside.texts):
        show_quality(f"on {len(aside.texts):,} held-out documents", trained, aside.texts)
    elif aside.first is not None:
        show_quality("nothing was held out: on the first document it learnt from", trained, [aside.first])
