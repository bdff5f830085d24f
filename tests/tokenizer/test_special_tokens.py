"""Special tokens by role: what each family has."""

from zoo.tokenizer.special_tokens import families_with, family_tokens


def test_families() -> None:
    assert family_tokens("bert").front == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert family_tokens("gpt").front == ["<|endoftext|>"]
    assert family_tokens("t5").front == ["<pad>", "</s>", "<unk>"]
    assert family_tokens("t5").sentinels[0] == "<extra_id_0>"
    assert len(family_tokens("t5").sentinels) == 100
    assert families_with("mask") == ["bert"]
