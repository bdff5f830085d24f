"""What a tokenizer's ids mean reaches the choice of tokens."""

import torch

from zoo.generation.history import begin
from zoo.generation.roles import TokenRoles


def test_a_history_knows_all_that_the_choice_of_tokens_heeds() -> None:
    roles = TokenRoles(9, 0, stop=(1,), start=2, last=(3,), barred=((4, 5),), barred_first=(6,), num_forced=2)
    found = roles.begin([[7, 8], [7]], torch.device("cpu"))._asdict()
    bare = begin([[7, 8], [7]], (), torch.device("cpu"))._asdict()
    assert found["tokens_BS"].tolist() == [[7, 8], [-1, 7]]
    known = {name: value for name, value in roles._asdict().items() if name in found}
    assert {name: found[name] for name in known} == known
    assert all(bare[name] != value for name, value in known.items())  # each is told apart from what nobody said
