"""The plan: every row once an epoch, the same for any number of ranks and microbatches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.plan import Plan, check_shares, evaluation_batches
from zoo.errors import ConfigError


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(1, 120), st.integers(0, 3))
def test_each_row_once_an_epoch(num_rows: int, rows_per_step: int, seed: int) -> None:
    plan = Plan(num_rows, rows_per_step, seed)
    steps = [plan.step(step) for step in range(-(-3 * num_rows // rows_per_step))]
    epochs = np.concatenate([draw.epochs for draw in steps])
    samples = np.concatenate([draw.samples for draw in steps])
    for epoch in range(3):
        assert sorted(samples[epochs == epoch]) == list(range(num_rows))
    assert (np.diff(epochs) >= 0).all()


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(Plan(20, 20, seed).step(epoch).samples.tolist()) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_ranks_and_microbatches_make_up_the_step() -> None:
    plan = Plan(30, 24, 1)
    whole = plan.step(5)
    for num_ranks, num_microbatches in ((1, 1), (1, 24), (2, 3), (4, 2), (24, 1)):
        parts = [
            draw
            for rank in range(num_ranks)
            for draw in plan.microbatches(5, num_microbatches, rank=rank, num_ranks=num_ranks)
        ]
        assert len(parts) == num_ranks * num_microbatches
        assert np.array_equal(np.concatenate([draw.epochs for draw in parts]), whole.epochs)
        assert np.array_equal(np.concatenate([draw.samples for draw in parts]), whole.samples)


def test_far_steps_need_no_history() -> None:
    draw = Plan(1000, 512, 0).step(10**12)
    assert draw.epochs[0] == 512 * 10**12 // 1000
    assert draw.samples.max() < 1000


def test_what_cannot_be_shared_out() -> None:
    check_shares(12, 3, 4)
    with pytest.raises(ConfigError, match=r"trainer.batch: 10 rows.*2 ranks.*3 microbatches.*multiple of 6.*6, 12, 18"):
        check_shares(10, 3, 2, "trainer.batch")
    with pytest.raises(ConfigError, match=r"4 rows .*for example 8, 16"):
        Plan(100, 4, 0).microbatches(0, 8)


@pytest.mark.parametrize("num_rows, size, num_ranks", [(10, 4, 1), (10, 4, 2), (3, 8, 2), (12, 4, 3)])
def test_evaluation_goes_over_everything_once(num_rows: int, size: int, num_ranks: int) -> None:
    batches = [draw for rank in range(num_ranks) for draw in evaluation_batches(num_rows, size, rank, num_ranks)]
    assert all((draw.epochs == 0).all() and 1 <= len(draw.samples) <= size for draw in batches)
    assert sorted(np.concatenate([draw.samples for draw in batches])) == list(range(num_rows))
