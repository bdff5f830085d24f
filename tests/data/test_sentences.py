"""Sentences partition a text, at the places where a reader would cut."""

import itertools
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data import sentences as module
from zoo.data.sentences import sentence_starts


def sentences(text: str) -> list[str]:
    starts = sentence_starts(text)
    return [text[start:stop] for start, stop in itertools.pairwise([*starts, len(text)])]


@given(st.text(alphabet=st.sampled_from("aA.?! \n\"')…。」I1"), max_size=60))
def test_pieces_partition_the_text(text: str) -> None:
    starts = sentence_starts(text)
    assert "".join(sentences(text)) == text
    assert starts == sorted(set(starts))
    assert bool(starts) == bool(text)
    assert all(sentence.strip() for sentence in sentences(text)[1:])


@pytest.mark.parametrize(
    "expected",
    [
        ["One. ", "Two! ", "Three? ", "Four"],
        ["He said, “Stop.” ", "Then he left. ", "(All of them.) ", "Done."],
        ["Mr. Smith met Dr. J. Doe, e.g. at 5 p.m. Today, no less. ", "So did I. ", "We know."],
        ["It costs 3.50 dollars at example.com. ", "Cheap… ", "Right?! ", "Yes."],
        ["A heading without a stop\n\n", "A paragraph\nof two lines. ", "End"],
        ["A question?\n", "An answer."],
        ["Wait... what? ", "Nothing."],
        ["\u4f60\u597d\u3002", "\u4f60\u597d\u5417\uff1f", "\u597d\u3002"],
        ["  leading. ", "Next"],
        [" \n "],
    ],
)
def test_where_a_reader_would_cut(expected: list[str]) -> None:
    assert sentences("".join(expected)) == expected


@pytest.mark.parametrize("unit", [". ", ".", "\n", " ", "\n ", '"', "a.\n\n", "\n\t\n", "\u3002", "A. "])
def test_time_grows_in_proportion(unit: str) -> None:
    def seconds(length: int) -> float:
        text, times = unit * (length // len(unit)), []
        for _ in range(2):
            start = time.process_time()
            sentence_starts(text)
            times.append(time.process_time() - start)
        return min(times)

    # on a machine of any speed; linear: 4 times, quadratic: 16 times, and many minutes at this length
    assert seconds(300_000) < 10 * seconds(75_000) + 1


# White space behind a stop or what closes behind it; behind full-width stops; at a blank line.
PLAINLY = r"""(?<=[.!?…"'”’)\]»])\s+|(?<=[\u3002\uff01\uff1f])(?![\u3002\uff01\uff1f\u300d\u300f”])|\n[^\S\n]*\n\s*"""


@given(st.text(alphabet=st.sampled_from("aA.!\"' \t\n\u3002\uff01\u300d”"), max_size=20))
def test_candidates_are_those_of_the_plain_pattern(text: str) -> None:
    plain = [match.span() for match in re.finditer(PLAINLY, text)]
    found = [match.span() for match in module._CANDIDATE.finditer(text)]
    assert [(start + (text[start] != "\n"), stop) for start, stop in found] == plain


def test_real_text(shared_data: Path) -> None:
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text()
    pieces = sentences(text)
    assert "".join(pieces) == text
    assert 10_000 < len(pieces) < 30_000
