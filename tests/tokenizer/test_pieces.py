"""Cutting a text changes none of its ids."""

import itertools
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.tokenizer import pieces as module
from zoo.tokenizer.pieces import AT_ITS_START, BEHIND_ITS_SPACE, PIECE_CHARACTERS, pieces, pieces_around, words
from zoo.tokenizer.train import ByteLevelBPEConfig, BytesConfig, CharactersConfig, UnigramConfig, WordPieceConfig

TEXT = (
    "The cat sat,\n\n  on   the\u00a0mat. It's 42 degrees!\tNo\u2003really: caf\u00e9s don't \r\n count \u4f60\u597d. "
    * 4
)
AWKWARD = st.text(alphabet=st.sampled_from(" \n\t\x1c\u00a0ab'.\u00e91\u4f60\u2581"), max_size=60)


@given(st.text(max_size=200))
def test_words_partition_the_text(text: str) -> None:
    assert "".join(words(text)) == text


@pytest.mark.parametrize("boundaries", ["spaces", "anywhere", "none"])
def test_pieces_partition_the_text_and_stay_short(boundaries: str) -> None:
    text = TEXT * 2_000
    parts = pieces(text, boundaries)
    assert "".join(parts) == text
    assert pieces("", boundaries) == [""]
    if boundaries == "none":
        assert parts == [text]
    else:
        assert max(map(len, parts)) <= 2 * PIECE_CHARACTERS


KINDS = pytest.mark.parametrize(
    "config",
    [
        ByteLevelBPEConfig(vocab_size=320),
        WordPieceConfig(vocab_size=200),
        UnigramConfig(vocab_size=200),
        CharactersConfig(special_tokens="bert"),
        BytesConfig(),
    ],
    ids=lambda config: config.kind,
)


@KINDS
def test_the_ids_of_the_pieces_are_those_of_the_whole(config, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = config.train([TEXT])

    @given(AWKWARD)
    def check(text: str) -> None:
        monkeypatch.setattr(module, "PIECE_CHARACTERS", 10**6)
        whole = tokenizer.encode(text).tolist()
        for size in (1, 3):
            monkeypatch.setattr(module, "PIECE_CHARACTERS", size)
            assert tokenizer.encode(text).tolist() == whole

    check()


@st.composite
def marked_texts(draw: st.DrawFn) -> tuple[str, list[int]]:
    """An awkward text and some places in it."""
    text = draw(AWKWARD)
    return text, sorted(draw(st.sets(st.integers(0, max(0, len(text) - 1)), max_size=5))) if text else []


@pytest.mark.parametrize("boundaries", ["spaces", "anywhere", "none"])
@given(marked_texts())
def test_pieces_around_places_partition_the_text_and_say_where_each_is(
    boundaries: str, marked: tuple[str, list[int]]
) -> None:
    text, offsets = marked
    parts, inside = pieces_around(text, offsets, boundaries)
    starts = list(itertools.accumulate(map(len, parts[:-1]), initial=0))
    assert "".join(parts) == text
    assert [start + place for start, places in zip(starts, inside, strict=True) for place in places] == offsets
    assert all(0 <= place < len(part) for part, places in zip(parts, inside, strict=True) for place in places)
    for part, places in zip(parts, inside, strict=True):
        if places is BEHIND_ITS_SPACE:
            assert part.startswith(" ")
        elif boundaries == "spaces" and places and places is not AT_ITS_START:  # as short as can be
            assert len(words(part)) == 1
    if boundaries == "anywhere":
        assert all(places is AT_ITS_START for places in inside if places)


@given(marked_texts())
def test_pieces_around_places_are_cut_short_too(marked: tuple[str, list[int]]) -> None:
    text, offsets = marked
    long, inside = pieces_around(text, offsets, "spaces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE_CHARACTERS", 1)
        short, inside_short = pieces_around(text, offsets, "spaces")
        assert short == [part for one in long for part in pieces(one, "spaces")]
    assert [places for places in inside_short if places] == [places for places in inside if places]


@KINDS
def test_places_found_piece_by_piece_are_those_in_the_whole(config) -> None:
    tokenizer = config.train([TEXT])

    @given(marked_texts())
    def check(marked: tuple[str, list[int]]) -> None:
        text, offsets = marked
        whole = tokenizer._library.encode(text, add_special_tokens=False)
        ids, _, indices = tokenizer.encode_flat([text], [offsets])
        assert ids.tolist() == whole.ids
        assert indices.tolist() == [sum(end <= offset for _, end in whole.offsets) for offset in offsets]

    check()


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, for what is done the faster of two times."""
    times = []
    for _ in range(2):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("unit", ["^", " ", "a", "\n", " \n", "'", "a ", "\u4f60"])
def test_a_long_text_takes_time_in_proportion(unit: str) -> None:
    tokenizer = ByteLevelBPEConfig(vocab_size=300).train(["a b c"])

    short, long = (seconds(lambda n=n: tokenizer.encode(unit * (n // len(unit)))) for n in (50_000, 200_000))
    # on a machine of any speed; linear: 4 times, quadratic: 16 times, and minutes at this length
    assert long < 12 * short + 1


@pytest.mark.parametrize("unit", [" ", "a", ". ", "a.\n", " \n"])
def test_looking_for_places_takes_time_in_proportion(unit: str) -> None:
    def look(length: int) -> None:
        text = unit * (length // len(unit))
        pieces_around(text, range(0, len(text), len(unit)), "spaces")

    # as above
    assert seconds(lambda: look(300_000)) < 10 * seconds(lambda: look(75_000)) + 1


def test_pieces_stop_where_there_is_no_boundary() -> None:
    assert pieces("a" * 200_000, "spaces") == ["a" * 200_000]
