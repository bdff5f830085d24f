"""What both sides write behind the same prompts, with their caches: the tokens must be the same."""

from collections.abc import Sequence

import torch

from tests.interop.cases import CASES, PADDING
from tests.interop.parity import oracle, our_config, our_model
from tests.oracle import lifted
from zoo.generation.decoding import DecodingConfig, decode
from zoo.generation.roles import TokenRoles

LENGTHS = (8, 5, 3)
NEW_TOKENS = 9
CHANGES_IN_THE_MIDST = {"llama with longrope"}
"""Where a text passes the original length, transformers goes on with other frequencies, and the keys of the old."""

WRITERS = [name for name in CASES if "language_model" in our_config(name).heads and our_config(name).kind != "encoder"]
"""The cases that write texts."""


def prompts_of(name: str) -> list[list[int]]:
    """Prompts of three lengths; the padding token is met in each, as it is in all that is padded."""
    vocab_size = our_config(name).vocab_size
    assert vocab_size is not None
    generator = torch.Generator().manual_seed(2)
    rows = [torch.randint(0, vocab_size, (length,), generator=generator) for length in LENGTHS]
    for row in rows:
        row[1] = PADDING
    return [row.tolist() for row in rows]


def theirs(name: str, prompts: Sequence[Sequence[int]], num_beams: int) -> list[list[int]]:
    """What transformers writes, a batch padded on the side that its families pad prompts on."""
    left, longest = our_config(name).kind == "decoder", max(map(len, prompts))
    padding = [[PADDING] * (longest - len(row)) for row in prompts]
    rows = [(*fill, *row) if left else (*row, *fill) for row, fill in zip(prompts, padding, strict=True)]
    ones = [[1] * len(row) for row in prompts]
    zeros = [[0] * len(fill) for fill in padding]
    mask = [(*no, *yes) if left else (*yes, *no) for yes, no in zip(ones, zeros, strict=True)]
    model = oracle(name)
    model.set_attn_implementation("eager" if CASES[name].eager else "sdpa")  # type: ignore[operator]
    with lifted(), torch.no_grad():
        written = model.generate(  # type: ignore[operator]
            torch.tensor(rows),
            attention_mask=torch.tensor(mask),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            num_beams=num_beams,
            no_repeat_ngram_size=1,
            eos_token_id=None,
            forced_eos_token_id=None,
            pad_token_id=PADDING,
            use_cache=True,
        )
    return [row[-NEW_TOKENS:] for row in written.tolist()]


def ours(name: str, prompts: Sequence[Sequence[int]], num_beams: int) -> list[list[int]]:
    """What we write."""
    vocab_size = our_config(name).vocab_size
    assert vocab_size is not None
    start = getattr(CASES[name].config, "decoder_start_token_id", None)
    roles = TokenRoles(vocab_size, PADDING, start=start)
    config = DecodingConfig(num_beams=num_beams, no_repeat_ngram_size=1)
    written = decode(our_model(name, "auto"), prompts, roles, config, max_new_tokens=NEW_TOKENS)
    return [text.row.tokens for (text,) in written]


def writes_the_same(name: str, num_beams: int) -> bool:
    """Whether both write the same tokens; none comes twice, or models of random weights would repeat one."""
    prompts = prompts_of(name)
    return ours(name, prompts, num_beams) == theirs(name, prompts, num_beams)
