"""Every row in one batch, and no batch larger than it may be."""

from hypothesis import given
from hypothesis import strategies as st

from zoo.generation.batching import batches_by_length


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 200))
def test_each_row_comes_once_and_batches_fit(lengths: list[int], budget: int) -> None:
    batches = list(batches_by_length(lengths, budget))
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[number] for number in batch) <= max(budget, len(batch))
    longest = [max(lengths[number] for number in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)
