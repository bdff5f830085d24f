"""What rows hold so far."""

import torch

from zoo.generation.history import NO_TOKEN, begin, counts


def test_shorter_prompts_hold_nothing_on_the_left() -> None:
    history = begin([[5, 6, 7], [8]], (2,), torch.device("cpu"))
    assert history.tokens_BS.tolist() == [[5, 6, 7], [NO_TOKEN, NO_TOKEN, 8]]
    assert history.written.shape == (2, 0)
    assert history.live_B.all()


def test_it_grows_and_rows_are_selected() -> None:
    history = begin([[5, 6, 7], [8]], (), torch.device("cpu"))
    history = history.extended(torch.tensor([1, 2]), torch.tensor([True, False]))
    history = history.extended(torch.tensor([3, 4]), torch.tensor([True, False]))
    assert history.written.tolist() == [[1, 3], [2, 4]]
    both = history.selected(torch.tensor([1, 1, 0]))
    assert both.written.tolist() == [[2, 4], [2, 4], [1, 3]]
    assert both.live_B.tolist() == [False, False, True]


def test_counts_leave_padding_and_foreign_ids_out() -> None:
    tokens = torch.tensor([[NO_TOKEN, 2, 2, 0], [9, 1, NO_TOKEN, 1]])
    assert counts(tokens, 4, torch.float32).tolist() == [[1, 0, 2, 0], [0, 2, 0, 0]]
    assert counts(tokens[:, :0], 4, torch.float32).tolist() == [[0] * 4] * 2
