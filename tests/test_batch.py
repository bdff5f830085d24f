"""The batch survives what loaders and device transfers do to it, and its constants are torch's."""

import pickle

import torch
from torch.nn import functional
from torch.utils._pytree import tree_map

from zoo.batch import IGNORE_INDEX, PADDING_DOCUMENT, Batch


def batch() -> Batch:
    return Batch({"tokens": torch.tensor([[1, 2]])}, {"causal_lm": torch.tensor([[2, IGNORE_INDEX]])})


def test_ignored_label_is_torchs_default() -> None:
    logits = torch.randn(2, 3)
    labels = torch.tensor([1, IGNORE_INDEX])
    assert torch.equal(functional.cross_entropy(logits, labels), functional.cross_entropy(logits[:1], labels[:1]))


def test_padding_is_no_document() -> None:
    assert PADDING_DOCUMENT < 0


def test_it_can_be_mapped() -> None:
    """Device transfers and pinning rebuild the batch tensor by tensor."""
    moved = tree_map(lambda tensor: tensor + 1, batch())
    assert isinstance(moved, Batch)
    assert moved.inputs["tokens"].tolist() == [[2, 3]]
    assert moved.labels["causal_lm"].tolist() == [[3, IGNORE_INDEX + 1]]


def test_it_crosses_processes() -> None:
    copy = pickle.loads(pickle.dumps(batch()))
    assert isinstance(copy, Batch)
    assert torch.equal(copy.inputs["tokens"], batch().inputs["tokens"])
