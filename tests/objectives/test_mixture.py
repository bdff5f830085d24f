"""Objectives together: on the same rows, or each on a share of them."""

from collections import Counter

import numpy as np
import pytest
import torch

from tests.data.synthetic import SyntheticTokenizer, all_rows, documents_of, numbers, random_documents
from zoo.batch import IGNORE_INDEX
from zoo.data.blend import Blend, Portion
from zoo.data.plan import Plan
from zoo.errors import ConfigError, DataError
from zoo.objectives.base import ObjectiveConfig, Setup
from zoo.objectives.causal_lm import CausalLMConfig
from zoo.objectives.masked_lm import MaskedLMConfig
from zoo.objectives.mixture import (
    BLOCK,
    MixedRows,
    Mixture,
    Part,
    check_family,
    check_objectives,
    source_seed,
)
from zoo.objectives.next_sentence import NextSentenceConfig
from zoo.objectives.span_corruption import SpanCorruptionConfig
from zoo.training.datamodule import count_tokens

BERT, GPT, T5 = (Setup(SyntheticTokenizer(family), 32, 0) for family in ("bert", "gpt", "t5"))
DOCUMENTS = random_documents(80, 30)


def test_joint_objectives_see_the_same_rows() -> None:
    joint = Mixture({"mlm": MaskedLMConfig(), "nsp": NextSentenceConfig()}, BERT).over(DOCUMENTS)
    alone = Mixture({"nsp": NextSentenceConfig()}, BERT).over(DOCUMENTS)
    assert joint.num_rows == alone.num_rows
    (part,) = joint.collate(*all_rows(joint.num_rows))
    (plain,) = alone.collate(*all_rows(joint.num_rows))
    assert part.names == ("mlm", "nsp")
    assert torch.equal(part.batch.labels["nsp"], plain.batch.labels["nsp"])
    assert set(part.batch.inputs) == {"tokens", "documents", "positions", "segments"}
    assert torch.equal(part.batch.inputs["segments"], plain.batch.inputs["segments"])
    chosen = part.batch.labels["mlm"] != IGNORE_INDEX
    assert torch.equal(part.batch.labels["mlm"][chosen], plain.batch.inputs["tokens"][chosen])
    assert torch.equal(part.batch.inputs["tokens"][~chosen], plain.batch.inputs["tokens"][~chosen])
    swapped = Mixture({"nsp": NextSentenceConfig(), "mlm": MaskedLMConfig()}, BERT).over(DOCUMENTS)
    (other,) = swapped.collate(*all_rows(joint.num_rows))
    assert torch.equal(other.batch.inputs["tokens"], part.batch.inputs["tokens"])


TWO = {"short": SpanCorruptionConfig(share=0.75), "long": SpanCorruptionConfig(share=0.25, mean_span_length=8.0)}


def test_shares_are_exact_in_each_block() -> None:
    rows = Mixture(TWO, T5).over(DOCUMENTS)
    assert rows.num_rows == BLOCK
    parts = rows.collate(*all_rows(BLOCK))
    assert {part.names: len(part.batch.inputs["tokens"]) for part in parts} == {("short",): 7500, ("long",): 2500}
    thirds = Mixture({name: SpanCorruptionConfig(share=1.0) for name in "abc"}, T5)
    assert sorted(thirds.slots) == [3333, 3333, 3334]
    early = {part.names: len(part.batch.inputs["tokens"]) for part in rows.collate(*Plan(BLOCK, 400, 0).step(0))}
    assert abs(early[("short",)] - 300) < 50, "the plan's order mixes them"


def test_each_objective_goes_through_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Mixture(TWO, T5).over(DOCUMENTS)
    plan = Plan(rows.num_rows, 100, 0)
    for index, draws in ((0, 7500), (1, 2500)):
        group, seen = rows.groups[index], []
        with monkeypatch.context() as patch:
            patch.setattr(
                group, "collate", lambda epochs, samples, to=seen: to.extend(zip(epochs, samples, strict=True))
            )
            for step in range(2 * BLOCK // 100):
                rows.collate(*plan.step(step))
        assert len(seen) == len(set(seen)) == 2 * draws, "no row comes up twice in an epoch of the objective"
        whole = 2 * draws // group.num_rows
        assert {(epoch, sample) for epoch in range(whole) for sample in range(group.num_rows)} <= set(seen)
        first = Counter(epoch for epoch, _ in seen[: draws // 10])
        assert max(first) <= draws // group.num_rows, "epochs come in order but for the shuffle within a block"


def test_any_split_into_calls_gives_the_same_rows() -> None:
    rows = Mixture(TWO, T5).over(DOCUMENTS)
    epochs, samples = Plan(rows.num_rows, 60, 5).step(400)
    whole = {part.names: part.batch for part in rows.collate(epochs, samples)}
    pieces: dict[tuple[str, ...], list[torch.Tensor]] = {names: [] for names in whole}
    for index in range(60):
        for part in rows.collate(epochs[index : index + 1], samples[index : index + 1]):
            pieces[part.names].append(part.batch.inputs["tokens"])
    for names, tokens in pieces.items():
        assert torch.equal(torch.cat(tokens), whole[names].inputs["tokens"])


def test_inputs_are_lean() -> None:
    stream = Mixture({"clm": CausalLMConfig()}, GPT).over(documents_of([list(range(5, 300))]))
    (part,) = stream.collate(numbers(0, 0), numbers(0, 1))
    assert set(part.batch.inputs) == {"tokens"}, "one whole document a row"
    (part,) = stream.collate(numbers(0, 0), numbers(0, stream.num_rows - 1))
    assert set(part.batch.inputs) == {"tokens", "documents", "positions"}, "the last row ends in padding"
    several = Mixture({"clm": CausalLMConfig()}, GPT).over(DOCUMENTS)
    (part,) = several.collate(*all_rows(several.num_rows))
    assert set(part.batch.inputs) == {"tokens", "documents", "positions"}
    single = Mixture({"mlm": MaskedLMConfig(packing="none")}, BERT).over(documents_of([list(range(5, 35))]))
    (part,) = single.collate(numbers(0), numbers(0))
    assert set(part.batch.inputs) == {"tokens"}


def test_cross_attention_gets_documents_of_both_sides_or_of_none() -> None:
    setup = T5._replace(max_length=20)
    for length, padded in ((20, False), (30, True)):
        config = SpanCorruptionConfig(packing="none", target_length=None if not padded else 12)
        rows = Mixture({"spans": config}, setup).over(documents_of([list(range(5, 5 + 21))] * 2))
        (part,) = rows.collate(*all_rows(rows.num_rows))
        assert ("documents" in part.batch.inputs) == ("decoder_documents" in part.batch.inputs), length
        assert ("documents" in part.batch.inputs) == padded


@pytest.mark.parametrize("configs, words", [
    ({}, "a run needs an objective"),
    ({"a": MaskedLMConfig(share=1.0), "b": MaskedLMConfig()}, "b.share: a has a share and b has none"),
    ({"a": MaskedLMConfig(share=1.0)}, "a.share: a share has no effect"),
    ({"a": MaskedLMConfig(), "b": MaskedLMConfig(rate=0.4)}, "a .masked_lm. and b .masked_lm. .* changes the tokens"),
    ({"a": CausalLMConfig(), "b": NextSentenceConfig()}, "a .causal_lm. and b .next_sentence. .* rows of its own"),
    ({"a": MaskedLMConfig(packing="none"), "b": NextSentenceConfig()}, "a.packing: 'none' has no effect: .* rows of b"),
    ({"a": MaskedLMConfig(share=1.0), "b": MaskedLMConfig(share=1e-9)}, "b.share: 1e-09 is less than one row in 10000"),
])  # fmt: skip
def test_what_does_not_go_together(configs: dict[str, ObjectiveConfig], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_objectives(configs)


def test_family_and_head() -> None:
    heads = {"language_model": "language_model"}
    check_family({"clm": CausalLMConfig()}, "decoder", heads)
    with pytest.raises(ConfigError, match=r"mlm: objective masked_lm does not fit the family decoder: it fits encoder; "
                                          r"decoder models take causal_lm"):  # fmt: skip
        check_family({"mlm": MaskedLMConfig()}, "decoder", heads)
    with pytest.raises(ConfigError, match=r"nsp: .* the head next_sentence, .* \(it has language_model\)"):
        check_family({"nsp": NextSentenceConfig()}, "encoder", heads)
    with pytest.raises(ConfigError, match=r"clm: .* a head of kind language_model, .* of kind next_sentence"):
        check_family({"clm": CausalLMConfig()}, "decoder", {"language_model": "next_sentence"})


def test_documents_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="one row needs 32"):
        Mixture({"mlm": MaskedLMConfig()}, BERT).over(documents_of([[7] * 8]))


def test_shared_objectives_draw_their_noise_from_their_own_epochs() -> None:
    rows = Mixture(TWO, T5).over(DOCUMENTS)
    slots = numbers(0, 1, 2)
    first, later = rows.collate(np.zeros(3, np.int64), slots)[0], rows.collate(np.ones(3, np.int64), slots)[0]
    assert not torch.equal(first.batch.inputs["tokens"], later.batch.inputs["tokens"])


# ------------------------------------------------------------------------------------------------------ several sources

RUNS = {
    "bert": (BERT, {"mlm": MaskedLMConfig(), "nsp": NextSentenceConfig()}),
    "bert in turn": (BERT, {"mlm": MaskedLMConfig(share=2), "nsp": NextSentenceConfig(share=1)}),
    "gpt": (GPT, {"clm": CausalLMConfig()}),
    "gpt unpacked": (GPT, {"clm": CausalLMConfig(packing="none")}),
    "t5": (T5, TWO),
}
BLEND = Blend(
    (
        Portion("tiny", 3.0, random_documents(25, 30, seed=1)),
        Portion("short", 5.0, random_documents(600, 12, seed=2)),
        Portion("long", 2.0, random_documents(60, 250, seed=3)),
    )
)


def drawn(rows: MixedRows, steps: range, size: int = 32) -> list[Part]:
    plan = Plan(rows.num_rows, size, 4, shuffle=rows.shuffled)
    return [part for step in steps for part in rows.collate(*plan.step(step))]


@pytest.mark.parametrize("run", RUNS)
def test_each_source_gives_its_share_of_the_tokens_whatever_its_size(run: str) -> None:
    setup, configs = RUNS[run]
    parts = drawn(Mixture(configs, setup).over(BLEND), range(80))
    tokens = np.sum([part.source_tokens for part in parts], axis=0)
    assert tokens.sum() == sum(count_tokens(part.batch) for part in parts)
    assert tokens / tokens.sum() == pytest.approx([0.3, 0.5, 0.2], rel=0.02)


@pytest.mark.parametrize("run", ["bert", "gpt"])
def test_every_step_has_the_shares_of_rows(run: str) -> None:
    setup, configs = RUNS[run]
    rows = Mixture(configs, setup).over(BLEND)
    wanted = 32 * rows.cycle.counts / rows.cycle.counts.sum()
    for step in range(0, 9000, 97):
        _, samples = Plan(rows.num_rows, 32, 4, shuffle=rows.shuffled).step(step)
        assert np.abs(np.bincount(rows.cycle.chosen[samples], minlength=3) - wanted).max() <= 3


@pytest.mark.parametrize("run", RUNS)
def test_a_row_of_several_sources_is_a_function_of_its_number(run: str) -> None:
    setup, configs = RUNS[run]
    rows = Mixture(configs, setup).over(BLEND)
    epochs, samples = Plan(rows.num_rows, 24, 4, shuffle=rows.shuffled).step(5)
    together = {part.names: part for part in rows.collate(epochs, samples)}
    alone: dict[tuple[str, ...], list[Part]] = {names: [] for names in together}
    for index in range(24):
        (part,) = rows.collate(epochs[index : index + 1], samples[index : index + 1])
        alone[part.names].append(part)
    for names, part in together.items():
        for name, tensor in part.batch.labels.items():
            assert torch.equal(tensor, torch.cat([one.batch.labels[name] for one in alone[names]]))
        assert torch.equal(part.batch.inputs["tokens"], torch.cat([one.batch.inputs["tokens"] for one in alone[names]]))
        assert part.source_tokens == tuple(np.sum([one.source_tokens for one in alone[names]], axis=0))


def test_a_source_is_gone_through_once_before_it_comes_again() -> None:
    setup, configs = RUNS["gpt unpacked"]
    rows = Mixture(configs, setup).over(BLEND)
    asked: dict[str, list[tuple[int, int]]] = {group.source: [] for group in rows.groups}
    for group in rows.groups:
        arrays = group.arrays

        def record(epochs: np.ndarray, samples: np.ndarray, group=group, arrays=arrays) -> tuple[dict, dict]:
            asked[group.source] += zip(epochs.tolist(), samples.tolist(), strict=True)
            return arrays(epochs, samples)

        group.arrays = record
    drawn(rows, range(40))
    for group in rows.groups:
        seen, whole = asked[group.source], len(asked[group.source]) // group.num_rows
        assert len(set(seen)) == len(seen)
        assert [epoch for epoch, _ in seen] == sorted(epoch for epoch, _ in seen)
        assert set(seen) >= {(epoch, sample) for epoch in range(whole) for sample in range(group.num_rows)}
        assert rows.epochs(40 * 32)[group.source] == pytest.approx(len(seen) / group.num_rows, abs=3 / group.num_rows)


def test_rows_of_the_same_number_are_noised_differently_in_each_source() -> None:
    text = random_documents(40, 60)
    blend = Blend((Portion("a", 1.0, text), Portion("b", 1.0, text)))
    one, other = Mixture({"mlm": MaskedLMConfig()}, BERT).over(blend).groups
    rows = all_rows(one.num_rows)
    assert torch.equal(one.collate(*rows).batch.inputs["documents"], other.collate(*rows).batch.inputs["documents"])
    assert not torch.equal(one.collate(*rows).batch.labels["mlm"], other.collate(*rows).batch.labels["mlm"])
    assert source_seed(1, "a") != source_seed(1, "b") != source_seed(2, "b")


def test_a_share_below_one_row_of_a_cycle_is_refused() -> None:
    blend = Blend((BLEND.portions[0], BLEND.portions[1]._replace(share=1e-6)))
    with pytest.raises(ConfigError, match=r"sources\.short\.share: 1e-06 is less than one row in 100,000"):
        Mixture(*reversed(RUNS["gpt"])).over(blend)


def test_a_source_without_enough_text_is_named() -> None:
    blend = Blend((BLEND.portions[0], Portion("scrap", 1.0, documents_of([[7] * 4]))))
    with pytest.raises(DataError, match="source scrap: the text has"):
        Mixture(*reversed(RUNS["gpt"])).over(blend)
