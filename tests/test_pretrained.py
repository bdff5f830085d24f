"""The model that people hold: what it opens, what it does with text, and what it says where it cannot."""

from typing import Any

import pytest
import torch

from tests.generation.tiny import pretrained, tiny
from tests.generation.vocabularies import tokenizer_of
from zoo.errors import ConfigError, DataError, TextError, ZooError
from zoo.generation.generate import Continuation
from zoo.generation.sample import SamplingConfig
from zoo.models import Model
from zoo.pretrained import Pretrained


def test_a_tokenizer_that_does_not_belong_is_refused() -> None:
    with pytest.raises(ZooError, match="257 ids but the model's vocabulary only 200"):
        Pretrained(tiny("decoder", vocab_size=200), tokenizer_of("bytes"))


# ------------------------------------------------------------------------------------------------------- what it can do


def test_a_family_that_cannot_says_so_and_what_can() -> None:
    with pytest.raises(
        ZooError,
        match=r"^model 'decoder' cannot fill; use generate or score, or model.embed\(…\) in Python, or load an enc",
    ):
        pretrained("decoder").fill("The [MASK]")
    for attempt in (lambda model: model.generate("The"), lambda model: model.stream("The")):
        with pytest.raises(
            ZooError,
            match=r"^model 'encoder' cannot generate; use fill or score, or model.embed\(…\) in Python, or load a dec",
        ):
            attempt(pretrained("encoder"))


def test_a_model_without_a_language_model_says_what_it_can() -> None:
    heads = {"topic": {"kind": "sequence_classification", "labels": ["a", "b"]}}
    for attempt in (lambda model: model.score("The"), lambda model: model.fill("The [MASK]")):
        with pytest.raises(
            ZooError, match=r"no head 'language_model' \(heads: topic\); .*embed.*\['topic'\] for logits"
        ):
            attempt(pretrained("encoder", heads=heads))


def test_logits_come_by_name_of_the_head() -> None:
    model = pretrained("decoder")
    tokens = torch.tensor([[1, 2, 3]])
    assert torch.equal(model(tokens=tokens)["language_model"], model.model(tokens=tokens)["language_model"])
    assert repr(model) == f"Pretrained(decoder, {model.model.num_parameters:,} parameters, a tokenizer of 257 ids)"


@pytest.mark.parametrize("kind, blank", [("encoder", "[MASK]"), ("encoder_decoder", "<extra_id_0>")])
def test_several_texts_are_filled_as_each_alone(kind: str, blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, texts = pretrained(kind), [f"The {blank} sees the cat.", blank, f"A {blank}"]
    assert model.fill(texts) == [model.fill(text) for text in texts]
    assert model.fill([]) == []
    assert model.fill([blank]) == [model.fill(blank)]
    monkeypatch.setattr(model.model.backbone, "forward", None)  # a wrong text is told before anything is computed
    monkeypatch.setattr(model.model.backbone, "encode", None, raising=False)
    with pytest.raises(TextError, match=r"^2 texts cannot be taken:\n  text 1: no blank .*;\n  text 2: no blank "):
        model.fill([*texts[:1], "a", "b"])


@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
def test_several_prompts_give_what_each_gives_alone(kind: str) -> None:
    model = pretrained(kind, positions="alibi")
    prompts = ["The dog sees", "A", "In the green park the cat"]
    assert model.generate(prompts) == [model.generate(prompt) for prompt in prompts]
    assert model.generate([]) == []


@pytest.mark.parametrize("kind, vocabulary", [("decoder", "bytes"), ("decoder", "gpt"), ("encoder_decoder", "t5")])
def test_streamed_pieces_are_what_is_generated(kind: str, vocabulary: str) -> None:
    model = pretrained(kind, vocabulary, positions="rotary")
    for seed in range(5):
        options: dict[str, Any] = {"temperature": 3.0, "seed": seed, "max_new_tokens": 40}
        assert "".join(model.stream("The naïve 😀", **options)) == model.generate("The naïve 😀", **options)


def test_multi_byte_text_is_streamed_whole() -> None:
    """A model overfitted on such text writes it out, character by character."""
    text = "é😀日本語€ñ"
    model = pretrained("decoder", positions="rotary", initialization={"kind": "bert"})
    tokenizer, optimizer = model.tokenizer, torch.optim.Adam(model.model.parameters(), lr=1e-2)
    tokens = torch.tensor([[tokenizer.role("begin"), *tokenizer.encode(text).tolist(), tokenizer.role("end")]])
    for _ in range(80):
        logits = model(tokens=tokens[:, :-1])["language_model"]
        loss = torch.nn.functional.cross_entropy(logits[0], tokens[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model.generate("") == text  # and it stops by itself
    assert list(model.stream("")) == list(text)


def test_sampling_is_repeatable_and_greedy_is_the_default() -> None:
    model = pretrained("decoder", positions="rotary")
    options = {"temperature": 2.0, "top_k": 50, "top_p": 0.95, "max_new_tokens": 20}
    assert model.generate("The", seed=3, **options) == model.generate("The", seed=3, **options)
    assert model.generate("The", seed=3, **options) != model.generate("The", seed=4, **options)
    assert model.generate("The") == model.generate("The", temperature=0)
    twice = model.generate(["The", "The"], seed=3, **options)
    assert twice[0] != twice[1]


def test_what_is_generated_touches_no_global_stream_and_no_gradient() -> None:
    model = pretrained("decoder")
    state = torch.random.get_rng_state()
    model.generate("The", temperature=1.0)
    assert torch.equal(state, torch.random.get_rng_state())
    model(tokens=torch.tensor([[1, 2]]))["language_model"].sum().backward()


def test_prompts_are_framed_as_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def generate(model: Model, prompts: Any, *_: Any, **__: Any) -> list[Continuation]:
        seen.extend(prompts)
        return [Continuation([], [0.0])]

    monkeypatch.setattr("zoo.generation.decoding.generate", generate)
    for kind in ("decoder", "encoder_decoder"):
        model = pretrained(kind)
        tokens = model.tokenizer.encode("The dog").tolist()
        model.generate("The dog")
        assert seen.pop() == (tokens if kind == "decoder" else [*tokens, model.tokenizer.role("end")])


@pytest.mark.parametrize("vocabulary", ["bert", "gpt", "t5"])
def test_the_new_text_is_spelt_as_it_stands_behind_the_prompt(monkeypatch: pytest.MonkeyPatch, vocabulary: str) -> None:
    """In these vocabularies a word by itself and a word behind another are decoded differently."""
    tokenizer = tokenizer_of(vocabulary)
    sees = tokenizer.encode("The dog sees").tolist()[len(tokenizer.encode("The dog")) :]
    monkeypatch.setattr("zoo.generation.decoding.generate", lambda *_, **__: [Continuation(sees, [0.0])])
    assert pretrained("decoder", vocabulary).generate("The dog") == " sees"


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: pretrained("encoder_decoder").generate(""), DataError, "prompt is empty: an encoder-decoder needs"),
        (lambda: pretrained("encoder_decoder").stream(""), DataError, "prompt is empty"),
        (lambda: pretrained("decoder", "t5").generate(""), DataError, "no `begin` token"),
        (lambda: pretrained("decoder", "characters").generate("The ∞"), DataError, "'∞'"),
        (lambda: pretrained("decoder").generate("The", max_new_tokens=0), ConfigError, "max_new_tokens: 0"),
        (lambda: pretrained("decoder").generate("The", max_new_tokens=99), DataError, "only 22 are left"),
        (lambda: pretrained("decoder").stream("The", max_new_tokens=99), DataError, "only 22 are left"),
        (lambda: pretrained("decoder").generate("x" * 25), DataError, "25 tokens and the model has 24"),
        (lambda: pretrained("decoder").generate("The", temprature=1.0), ConfigError, "did you mean 'temperature'"),
        (
            lambda: pretrained("decoder").generate("The", top_k=5),
            ConfigError,
            "top_k: 5 has no effect at temperature 0",
        ),
        (lambda: pretrained("decoder").generate(None), ConfigError, "^prompt: None is neither a text nor a list"),
        (lambda: pretrained("decoder").generate([1, "a", 2]), ConfigError, "prompt.0: 1 is not.*\n.*prompt.2: 2 is"),
        (
            lambda: pretrained("decoder").generate("a", top_k=0, max_new_tokens=0, batch_size=0),
            ConfigError,
            "^3 settings are wrong:\n  top_k: 0 .*;\n  max_new_tokens: 0 .*;\n  batch_size: 0 ",
        ),
        (lambda: pretrained("decoder").stream(["a", 2]), ConfigError, "^prompt.1: 2 is not a text"),
        (lambda: pretrained("decoder").generate("a", prefix=["a"]), ConfigError, r"^prefix: \['a'\] is not a text"),
        (lambda: pretrained("decoder").score(None), ConfigError, "^text: None is neither"),
        (lambda: pretrained("decoder").embed(3), ConfigError, "^text: 3 is neither"),
        (lambda: pretrained("encoder").fill(5), ConfigError, "^text: 5 is neither a text nor a list"),
        (lambda: pretrained("encoder").fill(["[MASK]", "a"]), TextError, "^text 1: no blank in 'a'"),
        (lambda: pretrained("encoder_decoder").fill(["<extra_id_0>", "a"]), TextError, "^text 1: no blank in 'a'"),
        (lambda: pretrained("decoder").generate(["The", "x" * 25]), TextError, "^text 1: the text has 25 tokens"),
        (lambda: pretrained("decoder").score(["The", ""]), TextError, "^text 1: '' has no tokens"),
        (lambda: pretrained("decoder").embed(["The", "x" * 25]), TextError, "^text 1: the text has 25 tokens"),
        (
            lambda: Pretrained(tiny("decoder")).generate("a"),
            ZooError,
            "or with: zoo import <folder> <new folder> --tok",
        ),
        (lambda: pretrained("decoder").generate("a", stop=["x", 3]), ConfigError, "^stop.1: 3 is not text"),
        (
            lambda: pretrained("decoder").generate("a", temperature=1, top_k=999),
            ConfigError,
            "^top_k: 999 must be in 1",
        ),
        *(
            (call, TextError, "^2 texts cannot be taken:\n  text 0: the text has 2. .*;\n  text 2: the text has 2. ")
            for call in (
                lambda: pretrained("decoder").generate(["x" * 25, "The", "x" * 26]),
                lambda: pretrained("decoder").score(["x" * 26, "The", "x" * 27]),
                lambda: pretrained("decoder").embed(["x" * 25, "The", "x" * 26]),
            )
        ),
        (lambda: pretrained("decoder").embed(["", "The", ""]), TextError, "text 0: the text is empty.*\n.*text 2"),
        (lambda: pretrained("encoder_decoder").generate(["", "The", ""]), TextError, "text 0: .*\n.*text 2"),
        (
            lambda: pretrained("decoder").generate("a", temperature=1, top_k=999, stop_tokens=[999]),
            ConfigError,
            "^2 settings are wrong:\n  top_k: 999 must be in 1.*;\n  stop_tokens",
        ),
        (lambda: pretrained("encoder").fill("The dog"), DataError, r"write \[MASK\]"),
        *(
            (lambda given=given, family=family: pretrained(family).generate("The", **given), ConfigError, message)
            for family in ("decoder", "encoder_decoder")
            for given, message in (
                ({"max_new_tokens": 1.5}, r"^max_new_tokens: 1\.5 must be at least 1 and a whole number"),
                ({"max_new_tokens": True}, "^max_new_tokens: True must be"),
                ({"max_new_tokens": -3}, "^max_new_tokens: -3 must be at least 1"),
                ({"batch_size": 1.5}, r"^batch_size: 1\.5 must be at least 1"),
                ({"num_beams": 10**6}, "^num_beams: 1000000 is more than 1024"),
            )
        ),
        (lambda: pretrained("decoder").stream("The", max_new_tokens=-3), ConfigError, "^max_new_tokens: -3 must be"),
        (lambda: pretrained("encoder_decoder").fill("<extra_id_0>", max_new_tokens=True), ConfigError, "True must be"),
        (lambda: pretrained("encoder").fill("[MASK]", top=0), ConfigError, "top: 0"),
        (
            lambda: pretrained("encoder").fill("[MASK]", top=1.5),
            ConfigError,
            r"top: 1\.5 must be at least 1 and a whole",
        ),
        (lambda: pretrained("encoder").fill("[MASK]", max_new_tokens=5), ConfigError, "max_new_tokens: an encoder"),
        (lambda: pretrained("encoder_decoder").fill("The dog"), DataError, "write <extra_id_0>"),
        (lambda: pretrained("encoder_decoder").fill("<extra_id_0>", top=3), ConfigError, "top: an encoder-decoder"),
    ],
)
def test_wrong_input_is_a_clear_error(call: Any, error: type[ZooError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_every_sampling_setting_can_be_given() -> None:
    model = pretrained("decoder")
    fields = {
        "temperature": 1.0,
        "top_k": 3,
        "top_p": 0.5,
        "min_p": 0.1,
        "typical_p": 0.9,
        "repetition_penalty": 1.1,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.1,
        "no_repeat_ngram_size": 3,
        "min_new_tokens": 2,
        "prefix_tokens": [3],
        "seed": 1,
    }
    assert set(fields) == set(SamplingConfig.__dataclass_fields__)
    assert isinstance(model.generate("The", **fields), str)


def test_the_room_behind_a_prompt() -> None:
    assert pretrained("decoder").room("The") == 22
    assert len(pretrained("decoder").generate("The", max_new_tokens=22, details=True).tokens) <= 22
    assert pretrained("encoder_decoder").room("The dog sees") == 24
    assert pretrained("decoder", positions="rotary").room("The") is None
    with pytest.raises(ZooError, match="cannot generate"):
        pretrained("encoder").room("The")
