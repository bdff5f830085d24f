"""Stop strings: the text is cut before the first, streamed or not, and nothing of it is ever shown."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.generation.vocabularies import LLAMA, VOCABULARIES, tokenizer_of
from zoo.generation.stop import BeamWatch, StoppingStream, StopWatch
from zoo.generation.stream import TextStream


def pieces_of(name: str, text: str, stops: list[str]) -> tuple[list[str], bool]:
    tokenizer = tokenizer_of(name)
    stream = StoppingStream(TextStream(tokenizer), stops)
    pieces = [stream.push(token) for token in tokenizer.encode(text).tolist()]
    return [*pieces, stream.finish()], stream.is_stopped


def test_what_may_begin_a_stop_string_is_held_back() -> None:
    pieces, stopped = pieces_of("bytes", "one\n\ntwo", ["\n\n"])
    assert pieces[:5] == ["o", "n", "e", "", ""]
    assert ("".join(pieces), stopped) == ("one", True)
    pieces, stopped = pieces_of("bytes", "one\ntwo\n", ["\n\n"])
    assert pieces[3:5] == ["", "\nt"]
    assert pieces[-1] == "\n"
    assert ("".join(pieces), stopped) == ("one\ntwo\n", False)


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_byte_by_byte_the_first_string_that_is_whole_cuts(text: str, stops: list[str]) -> None:
    pieces, stopped = pieces_of("bytes", text, stops)
    ends = [(text.find(stop) + len(stop), -len(stop)) for stop in stops if stop in text]
    expected = text if not ends else text[: min(ends)[0] + min(ends)[1]]
    assert ("".join(pieces), stopped) == (expected, bool(ends))


@pytest.mark.parametrize("name", [name for name in VOCABULARIES if name != "bert"])
def test_no_piece_shows_any_of_it(name: str) -> None:
    text = "The dog sees the cat in the park."
    for stop in ("the cat", "cat in", " park.", "sees"):
        pieces, stopped = pieces_of(name, text, [stop])
        assert stopped
        assert "".join(pieces) == text[: text.index(stop)]


@pytest.mark.parametrize("name", ["gpt", "bytes", LLAMA, "t5 with bytes"])
def test_a_character_in_bytes_stops_with_its_last_byte(name: str) -> None:
    text = "The dog sees 日本😀 in the park."
    tokenizer = tokenizer_of(name)
    for stop in ("本", "日本😀", "s 日", "😀 in", "本😀 in the"):
        pieces, stopped = pieces_of(name, text, [stop])
        assert stopped
        assert "".join(pieces) == text[: text.index(stop)]
        tokens = tokenizer.encode(text).tolist()
        first = next(n for n in range(len(tokens)) if stop in tokenizer.decode(tokens[:n]))
        assert pieces[first:] == [""] * (len(pieces) - first)
        stream = StoppingStream(TextStream(tokenizer), [stop])
        assert [bool(stream.push(token)) or stream.is_stopped for token in tokens[:first]][-1]
        assert stream.is_stopped
    assert pieces_of(name, text, ["zzz"]) == (pieces_of(name, text, [])[0], False)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_stop_string_cuts_any_tokens_and_changes_nothing_else(name: str) -> None:
    tokenizer, random = tokenizer_of(name), np.random.default_rng(1)
    known = [tokenizer.encode(text).tolist() for text in ("dog", "ï", "日本")]
    for _ in range(100):
        tokens = random.integers(tokenizer.vocab_size, size=8).tolist()
        for place in random.integers(9, size=3):
            tokens[place:place] = known[random.integers(3)]
        stops = ["日本", "og", "ï", "zzz"]
        stream = StoppingStream(TextStream(tokenizer), stops)
        text, read = "", list[int]()
        for token in tokens:
            text += stream.push(token)
            read.append(token)
            if stream.is_stopped:
                break
        text, whole = text + stream.finish(), tokenizer.decode(read)
        assert stream.is_stopped == any(stop in whole for stop in stops)
        assert whole.startswith(text)
        assert not any(stop in text for stop in stops)
        assert text == min((whole[: whole.index(stop)] for stop in stops if stop in whole), key=len, default=whole)


def test_rows_are_watched_each_by_itself() -> None:
    tokenizer = tokenizer_of("bytes")
    watch = StopWatch([StoppingStream(TextStream(tokenizer), ["b"]) for _ in range(3)], silent=[200])
    tokens = [tokenizer.encode(text).tolist() for text in ("abc", "aaa", "bbb")]
    live = torch.tensor([True, True, False])
    ended = [watch(torch.tensor(column), live).tolist() for column in zip(*tokens, strict=True)]
    assert ended == [[False] * 3, [True, False, False], [True, False, False]]
    watch(torch.tensor([200, 200, 200]), live)
    assert [watch.take(row) for row in range(3)] == [["a"], ["a", "a", "a"], []]
    assert watch.take(0) == []


def test_beams_branch_and_each_branch_is_a_text_of_its_own() -> None:
    tokenizer = tokenizer_of("bytes")
    a, b, c = (int(tokenizer.encode(one)[0]) for one in "abc")
    watch = BeamWatch([StoppingStream(TextStream(tokenizer), ["ab"])], silent=[c])
    first = watch.look(torch.tensor([[0, 0, 0]]), torch.tensor([[a, b, c]]))
    assert first.tolist() == [[False, False, False]]
    watch.select(torch.tensor([0, 1, 0]))
    again = watch.look(torch.tensor([[0, 0, 1, 2, 2]]), torch.tensor([[b, c, b, a, b]]))
    assert again.tolist() == [[True, False, False, False, True]]
    watch.select(torch.tensor([3]))  # "aa" goes on as if the others had never been
    assert watch.look(torch.tensor([[0, 0]]), torch.tensor([[b, a]])).tolist() == [[True, False]]
