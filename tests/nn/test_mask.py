"""The mask equals its definition, pair by pair, for every combination of restrictions."""

import itertools

import pytest
import torch
from torch import Tensor

from zoo.nn.mask import AttentionMask

CPU = torch.device("cpu")
NUM_KEYS = 7
DOCUMENTS = torch.tensor([[-1, 0, 0, 0, 2, 2, 2], [5, 5, 3, 3, 3, -1, -1]])
PREFIX = torch.tensor([[0, 1, 1, 0, 1, 0, 0], [1, 0, 1, 1, 0, 0, 0]]).bool()
WINDOWS = [(None, None), (2, None), (None, 1), (1, 0), (0, 0), (2, 2), (9, 9)]


def visible(mask: AttentionMask, row: int, query: int, key: int) -> bool:
    """The definition."""
    place = query + mask.offset
    if (
        mask.causal
        and key > place
        and not (mask.prefix is not None and mask.prefix[row, place] & mask.prefix[row, key])
    ):
        return False
    if mask.query_documents is not None and mask.key_documents is not None:
        document = mask.query_documents[row, query]
        if document < 0 or document != mask.key_documents[row, key]:
            return False
    left, right = mask.window
    return not (left is not None and place - key > left) and not (right is not None and key - place > right)


def spelled_out(mask: AttentionMask, num_queries: int, num_keys: int = NUM_KEYS) -> Tensor:
    return torch.tensor(
        [
            [[visible(mask, row, query, key) for key in range(num_keys)] for query in range(num_queries)]
            for row in range(2)
        ]
    )[:, None]


@pytest.mark.parametrize("offset", [0, 3])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("causal, prefix", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("documents", [False, True])
def test_dense(causal: bool, prefix: bool, documents: bool, window: tuple[int | None, int | None], offset: int) -> None:
    mask = AttentionMask(
        causal,
        PREFIX if prefix else None,
        DOCUMENTS[:, offset:] if documents else None,
        DOCUMENTS if documents else None,
        window,
        offset,
    )
    num_queries = NUM_KEYS - offset
    dense = mask.dense(num_queries, NUM_KEYS, CPU)
    expected = spelled_out(mask, num_queries)
    if dense is None:
        assert expected.all()
        return
    assert dense.dtype == torch.bool
    assert torch.equal(dense.expand(2, 1, -1, -1), expected)


def test_cross_attention_has_documents_of_two_lengths() -> None:
    mask = AttentionMask(query_documents=torch.tensor([[0, 4, -1], [3, 3, 1]]), key_documents=DOCUMENTS)
    dense = mask.dense(3, NUM_KEYS, CPU)
    assert dense is not None
    assert torch.equal(dense, spelled_out(mask, 3))


@pytest.mark.parametrize(
    "mask",
    [
        AttentionMask(),
        AttentionMask(causal=True, offset=6),
        AttentionMask(causal=True, window=(6, 6), offset=6),
        AttentionMask(causal=True, prefix=PREFIX, offset=6),
        AttentionMask(window=(9, 9)),
    ],
    ids=str,
)
def test_nothing_is_made_where_everything_is_seen(mask: AttentionMask) -> None:
    num_queries = 1 if mask.offset else NUM_KEYS
    assert mask.dense(num_queries, NUM_KEYS, CPU) is None
    assert spelled_out(mask, num_queries).all()


@pytest.mark.parametrize("causal, window", [(True, (None, None)), (True, (2, 2)), (False, (2, 1))])
@pytest.mark.parametrize("offset", [0, 3, 6])
def test_an_offset_told_by_a_tensor(causal: bool, window: tuple[int | None, int | None], offset: int) -> None:
    mask = AttentionMask(causal, window=window, offset=torch.tensor(offset))
    dense = mask.dense(NUM_KEYS - offset, NUM_KEYS, CPU)
    assert dense is not None
    expected = spelled_out(AttentionMask(causal, window=window, offset=offset), NUM_KEYS - offset)
    assert torch.equal(dense.expand(2, 1, -1, -1), expected)
    assert not mask.is_plain_causal


def test_plain_causal() -> None:
    assert AttentionMask(causal=True).is_plain_causal
    others = {
        "prefix": PREFIX,
        "window": (3, None),
        "offset": 1,
    }
    for name, value in others.items():
        assert not AttentionMask(**{"causal": True, name: value}).is_plain_causal
    assert not AttentionMask().is_plain_causal
    assert not AttentionMask(True, None, DOCUMENTS, DOCUMENTS).is_plain_causal


PARTS = [
    AttentionMask(),
    AttentionMask(causal=True),
    AttentionMask(causal=True, prefix=PREFIX),
    AttentionMask(query_documents=DOCUMENTS, key_documents=DOCUMENTS),
    AttentionMask(window=(2, None)),
    AttentionMask(window=(3, 1)),
    AttentionMask(causal=True, window=(1, 0)),
]


@pytest.mark.parametrize("one, other", [*itertools.product(range(len(PARTS)), repeat=2)])
def test_both_allow(one: int, other: int) -> None:
    left, right = PARTS[one], PARTS[other]
    try:
        both = left & right
    except ValueError:
        assert "documents" in str(left) + str(right) or "prefix" in str(left) + str(right)
        return
    dense = both.dense(NUM_KEYS, NUM_KEYS, CPU)
    expected = spelled_out(left, NUM_KEYS) & spelled_out(right, NUM_KEYS)
    assert expected.all() if dense is None else torch.equal(dense.expand(2, 1, -1, -1), expected)


@pytest.mark.parametrize(
    "one, other, message",
    [
        (PARTS[3], PARTS[3], "only one of two combined masks may describe documents"),
        (PARTS[1], PARTS[2], "only one of two combined masks may be causal where one has a prefix"),
        (PARTS[2], PARTS[2], "only one of two combined masks may be causal"),
        (PARTS[1], AttentionMask(offset=2), "offsets 0 and 2"),
    ],
)
def test_what_cannot_be_combined(one: AttentionMask, other: AttentionMask, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        one & other


def test_parts_that_would_go_unheard() -> None:
    with pytest.raises(ValueError, match="documents of queries and of keys go together"):
        AttentionMask(query_documents=DOCUMENTS)
    with pytest.raises(ValueError, match="documents of queries and of keys go together"):
        AttentionMask(key_documents=DOCUMENTS)
    with pytest.raises(ValueError, match="a prefix sees both ways in a causal mask"):
        AttentionMask(prefix=PREFIX)
    with pytest.raises(ValueError, match="the prefix is 7 places long, the row 9"):
        AttentionMask(causal=True, prefix=PREFIX).dense(9, 9, CPU)
