"""A row of a batch as text: its pieces, what is to be predicted, where documents and segments begin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table
from rich.text import Text

from zoo.batch import IGNORE_INDEX, PADDING_DOCUMENT
from zoo.cli.screen import cell_text
from zoo.data.split import counted

if TYPE_CHECKING:
    from zoo.objectives.mixture import Part
    from zoo.tokenizer.tokenizer import Tokenizer

ARROW, NOTHING = "→", "∅"
SPECIAL, HIDDEN, CHANGED, KEPT, TARGET, FAINT = "cyan", "bold red", "bold magenta", "bold yellow", "green", "dim"
CLASSES = {"next_sentence": ("B follows A", "B is from another document")}
"""What the classes of an objective with one label a row mean."""
SPACES = str.maketrans({"Ġ": "·", "▁": "·", "Ċ": "⏎", "\n": "⏎", "ĉ": "⇥", "\t": "⇥"})
"""How vocabularies spell spaces and line breaks → how they are shown."""

LEGENDS: dict[str, tuple[tuple[str, str], ...]] = {
    "in place": (
        (HIDDEN, f"[MASK]{ARROW}piece: hidden, to be named"),
        (CHANGED, f"other{ARROW}piece: another piece in its place, to be named"),
        (KEPT, f"piece{ARROW}piece: left as it is, to be named"),
        ("", "all else is seen only"),
    ),
    "next": (
        ("", "each piece is to be predicted from those before it in its document"),
        (TARGET, f"{ARROW}piece: to be predicted too, though it does not stand behind"),
        (FAINT, f"{ARROW}{NOTHING}: nothing is predicted here"),
    ),
    "seen": (("", "encoder: seen only"),),
}
"""What the signs mean, by the way in which a side's targets are shown: (style, words)."""


class Side(NamedTuple):
    """One side of a model's input, of one row.

    Attributes:
        title: "encoder", "decoder", or "" where the model has one stack.
        tokens, documents, segments: (T,) as in the batch; all 0 where they say nothing.
        labels: (T,) targets; all IGNORE_INDEX where nothing is scored.
        way: how targets are shown, a key of LEGENDS.
    """

    title: str
    tokens: list[int]
    documents: list[int]
    segments: list[int]
    labels: list[int]
    way: str


def sides_of(part: Part, family: str) -> list[Side]:
    """The sides of the only row of a part, for a model of this family."""
    if family == "encoder_decoder":
        return [_side(part, "encoder", "", "seen"), _side(part, "decoder", "decoder_", "next")]
    return [_side(part, "", "", "in place" if family == "encoder" else "next")]


def _side(part: Part, title: str, prefix: str, way: str) -> Side:
    inputs, labels = part.batch.inputs, [label for label in part.batch.labels.values() if label.dim() == 2]
    tokens = inputs[f"{prefix}tokens"][0].tolist()
    idle = [0] * len(tokens)
    documents, segments = (
        inputs[name][0].tolist() if name in inputs else idle for name in (f"{prefix}documents", f"{prefix}segments")
    )
    scored = labels[0][0].tolist() if labels and way != "seen" else [IGNORE_INDEX] * len(tokens)
    return Side(title, tokens, documents, segments, scored, way)


def row_table(part: Part, sides: Iterable[Side], tokenizer: Tokenizer) -> Table:
    """A line of pieces for each document and segment, and one for each label that the row has as a whole."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style=FAINT, no_wrap=True)
    table.add_column(overflow="fold")
    for side in sides:
        for name, pieces in _lines(side, tokenizer):
            table.add_row(name, pieces)
    for name, label in part.batch.labels.items():
        if label.dim() == 1:
            number = int(label[0])
            words = CLASSES.get(name, ())
            table.add_row(name, Text(words[number] if number < len(words) else str(number), style=TARGET))
    table.add_row("", "")
    return table


def legend(ways: Iterable[str]) -> Text:
    """What the signs of the shown rows mean, a line each."""
    signs = [("", "· is a space"), (SPECIAL, "special token"), *(sign for way in ways for sign in LEGENDS[way])]
    return Text("\n").join(Text(words, style=style) for style, words in signs)


def _lines(side: Side, tokenizer: Tokenizer) -> Iterator[tuple[str, Text]]:
    """(what it is, its pieces) of each stretch of one document and segment; of padding, how much there is."""
    special = set(tokenizer.special_ids.tolist())
    segmented = any(side.segments)
    place = 0
    for (document, segment), stretch in groupby(zip(side.documents, side.segments, strict=True)):
        count = sum(1 for _ in stretch)
        if document == PADDING_DOCUMENT:
            yield f"{side.title} padding".strip(), Text(counted(count, "place"), style=FAINT)
        else:
            name = f"{side.title} document {document + 1}".strip()
            pieces = (_piece(side, at, tokenizer, special) for at in range(place, place + count))
            yield name + (f" {'AB'[segment]}" if segmented else ""), Text(" ").join(pieces)
        place += count


def _piece(side: Side, at: int, tokenizer: Tokenizer, special: set[int]) -> Text:
    """The piece at a place, with its target where that is not plain from what stands beside it."""
    token, target = side.tokens[at], side.labels[at]
    text = Text(_spelt(token, tokenizer), style=SPECIAL if token in special else "")
    if side.way == "in place" and target != IGNORE_INDEX:
        style = KEPT if token == target else HIDDEN if token in special else CHANGED
        return Text.assemble((text.plain, style), ARROW, (_spelt(target, tokenizer), TARGET))
    if side.way == "next":
        if target == IGNORE_INDEX:
            return text.append(f"{ARROW}{NOTHING}", style=FAINT)
        last = at + 1 == len(side.tokens) or side.documents[at + 1] != side.documents[at]
        if last or side.tokens[at + 1] != target:
            return text.append(f"{ARROW}{_spelt(target, tokenizer)}", style=TARGET)
    return text


def _spelt(token: int, tokenizer: Tokenizer) -> str:
    """How the vocabulary spells a token; its text where that is spelt in signs for bytes."""
    spelling = tokenizer.token(token).translate(SPACES)
    if not spelling.strip("·⏎⇥").isascii():
        text = tokenizer.decode([token], skip_special=False)
        if text.strip() and "\N{REPLACEMENT CHARACTER}" not in text:
            border = "·" if spelling.startswith("·") and not text.startswith(" ") else ""
            spelling = border + text.replace(" ", "·").translate(SPACES)
    return cell_text(spelling) or "''"
