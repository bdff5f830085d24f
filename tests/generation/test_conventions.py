"""What a folder may say of the use of its model, as `Pretrained` follows it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from tests.generation.tiny import pretrained
from zoo.errors import ConfigError, DataError, ZooError
from zoo.generation import fill
from zoo.generation.chat import ChatTemplate
from zoo.generation.conventions import Conventions
from zoo.generation.generate import Continuation
from zoo.pretrained import Pretrained


def with_conventions(kind: str, **conventions: Any) -> Pretrained:
    plain = pretrained(kind, positions="rotary")
    return Pretrained(plain.model, plain.tokenizer, Conventions(**conventions))


def test_more_tokens_may_end_a_text() -> None:
    free = pretrained("decoder", positions="rotary").generate("The", max_new_tokens=8, details=True)
    stopped = with_conventions("decoder", stop=(free.tokens[3],)).generate("The", max_new_tokens=8, details=True)
    assert free.finished == "length"
    assert stopped.finished == "end"
    assert stopped.tokens == free.tokens[: free.tokens.index(free.tokens[3])]


def test_the_end_token_need_not_end_a_text() -> None:
    plain = with_conventions("decoder")
    end = plain.tokenizer.role("end")
    assert plain._roles().stop == (end,)
    assert with_conventions("decoder", stop=(5,))._roles().stop == (end, 5)
    assert with_conventions("decoder", stop=(5,), end_stops=False)._roles().stop == (5,)


def test_a_prompt_stands_before_each_text_that_is_embedded() -> None:
    asked, plain = with_conventions("encoder", prompt="The "), with_conventions("encoder")
    assert torch.equal(asked.embed("dog"), plain.embed("The dog"))
    assert torch.equal(asked.embed(["dog"], prompt=""), plain.embed(["dog"]))
    assert torch.equal(plain.embed("dog", prompt="The "), plain.embed("The dog"))


def test_blanks_are_filled_as_texts_are_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def generate(model: Any, prompts: Any, roles: Any, **options: Any) -> list[Continuation]:
        seen.append((roles, options["sampling"].prefix_tokens))
        return [Continuation([], [])]

    monkeypatch.setattr(fill, "generate", generate)
    model = with_conventions("encoder_decoder", start=7, prefix=(8,), barred=((9,),), barred_first=(4,), stop=(11,))
    model.fill("the <extra_id_0>")
    ((roles, prefix),) = seen
    expected = model._roles()
    assert roles == expected._replace(stop=(*expected.stop, model.tokenizer.sentinels[1]), num_forced=1)
    assert prefix == (8,)


def test_an_output_may_begin_with_other_tokens() -> None:
    model = with_conventions("encoder_decoder", start=7, prefix=(9,))
    written = model.generate("The dog", max_new_tokens=5, details=True)
    tokens = [*model.tokenizer.prompt("The dog").tolist(), model.tokenizer.role("end")]
    with torch.inference_mode():
        inputs = {"tokens": torch.tensor([tokens]), "decoder_tokens": torch.tensor([[7, *written.tokens]])}
        logits = model(**inputs)["language_model"][0, :-1, : model.tokenizer.vocab_size]
    assert written.tokens[0] == 9
    assert written.tokens[1:] == logits[1:].argmax(-1).tolist()
    assert model.generate("The dog", max_new_tokens=5, prefix="A", details=True).tokens[0] == 9
    scored = model.score("The dog", "A cat")
    end, cat = model.tokenizer.role("end"), model.tokenizer.prompt("A cat").tolist()
    with torch.inference_mode():
        inputs["decoder_tokens"] = torch.tensor([[7, 9, *cat]])
        logits = model(**inputs)["language_model"][0, 1:, : model.tokenizer.vocab_size]
    expected = logits.log_softmax(-1)[range(len(cat) + 1), [*cat, end]].tolist()
    assert scored.log_probabilities == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=str)
@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
def test_the_longest_texts_may_have_to_end_with_a_token_and_others_never_come(
    kind: str, options: dict[str, Any]
) -> None:
    free = pretrained(kind, positions="rotary").generate("The", max_new_tokens=6, details=True, **options)
    bound = with_conventions(kind, last=(9,), barred=((free.tokens[0],), (999,)))
    found = bound.generate(["The", "A dog sees"], max_new_tokens=6, details=True, **options)
    assert all(one.tokens[-1] == 9 for one in found if one.finished == "length")
    assert any(one.finished == "length" for one in found)
    assert not any(free.tokens[0] in one.tokens for one in found)
    assert found[0].tokens == bound.generate("The", max_new_tokens=6, details=True, **options).tokens


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=str)
@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
def test_tokens_that_are_not_written_first(kind: str, options: dict[str, Any]) -> None:
    forced = {} if kind == "decoder" else {"prefix": (9,)}
    free = with_conventions(kind, **forced).generate("The", max_new_tokens=6, details=True, **options)
    place = len(forced)  # behind what is forced
    bound = with_conventions(kind, barred_first=(free.tokens[place], 999), **forced)
    found = bound.generate(["The", "A dog sees"], max_new_tokens=6, details=True, **options)
    assert found[0].tokens[:place] == free.tokens[:place]
    assert all(one.tokens[place] != free.tokens[place] for one in found)
    plain = with_conventions(kind, barred=((free.tokens[place],),), **forced)
    again = plain.generate("The", max_new_tokens=place + 1, details=True, **options)
    if not options:
        assert found[0].tokens[place] == again.tokens[place]
    prefixed = bound.generate("The", prefix="A", max_new_tokens=4, details=True, **options).tokens
    assert prefixed[place] == bound.tokenizer.prompt("A")[0]


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"temperature": 1.0}], ids=str)
def test_an_output_begins_with_what_is_forced_even_if_that_is_barred(options: dict[str, Any]) -> None:
    """In transformers, bad_words_ids and then forced_bos_token_id."""
    model = with_conventions("encoder_decoder", prefix=(9, 5), barred=((9,), (9, 5)))
    written = model.generate("The", max_new_tokens=6, details=True, **options).tokens
    assert written[:2] == [9, 5]
    assert 9 not in written[2:]
    assert model.generate("The", prefix="A", max_new_tokens=6, details=True, **options).tokens[:2] == [9, 5]


@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
def test_a_prefix_that_is_never_written_is_refused(kind: str) -> None:
    model = with_conventions(kind, prefix=(9,), barred=((5,), (9, 6), (6, 7)))
    for call in (model.generate, model.stream):
        for tokens in ([5], [7, 5], [6, 7], *([[6]] if kind == "encoder_decoder" else [])):
            with pytest.raises(ConfigError, match=r"^prefix_tokens: the model never writes \[.*take them out$"):
                call("The", max_new_tokens=3, prefix_tokens=tokens)
        (id, *_) = model.tokenizer.prompt("A").tolist()
        barred = Pretrained(model.model, model.tokenizer, Conventions(barred=((id,),)))
        with pytest.raises(ConfigError, match=rf"^prefix: the model never writes \[{id}\] \('[A▁]'\), as"):
            getattr(barred, call.__name__)("The", max_new_tokens=3, prefix="A")
        assert "".join(call("The", max_new_tokens=3, prefix_tokens=[7, 6]))


def test_embeddings_follow_them_unless_told_otherwise() -> None:
    model = with_conventions("encoder", pooling="first", normalize=True)
    first = pretrained("encoder", positions="rotary").embed("The dog", pooling="first", normalize=True)
    assert torch.equal(model.embed("The dog"), first)
    assert float(model.embed("The dog", normalize=False).norm()) != pytest.approx(1.0)


def test_a_conversation_needs_a_template() -> None:
    messages = [{"role": "user", "content": "The dog"}]
    template = ChatTemplate("{% for m in messages %}[{{ m.content }}]{% endfor %}{{ mood }}", {})
    assert with_conventions("decoder", template=template).conversation(messages, mood="!") == "[The dog]!"
    with pytest.raises(ZooError, match="no chat template: its folder has neither"):
        pretrained("decoder").conversation(messages)
    with pytest.raises(ZooError, match="'encoder' cannot generate"):
        with_conventions("encoder", template=template).conversation(messages)


FULL = Conventions(
    (3, 5),
    0,
    (9,),
    (5,),
    ((8,), (6, 7)),
    (4,),
    "first",
    True,
    ChatTemplate("{{ eos_token }}", {"eos_token": "</s>"}),
    {"num_beams": 4},
    False,
    {"config.json": {"bos_token_id": None, "pad_token_id": 3}},
    "query: ",
)


@pytest.mark.parametrize("conventions", [Conventions(), FULL, Conventions(start=0)])
def test_they_are_plain_data_and_back(conventions: Conventions) -> None:
    assert Conventions.of(json.loads(json.dumps(conventions.as_data())), "usage.json") == conventions
    assert Conventions().as_data() == {}


@pytest.mark.parametrize(
    "usage",
    [
        {"stop": ["a"]},
        {"start": -1},
        {"pooling": 3},
        {"normalize": 1},
        {"template": "x"},
        {"mood": 1},
        {"last": [-1]},
        {"barred": [[]]},
        {"barred_first": ["a"]},
        {"end_stops": 1},
        {"carried": {"config.json": 3}},
    ],
    ids=str,
)
def test_damaged_data_is_refused(usage: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"usage\.json is damaged"):
        Conventions.of(usage, "usage.json")


def test_they_are_saved_and_loaded_with_the_model(tmp_path: Path) -> None:
    model = pretrained("decoder")
    zoo.save(Pretrained(model.model, model.tokenizer, FULL), tmp_path / "model")
    assert zoo.load(tmp_path / "model").conventions == FULL
    zoo.save(model, tmp_path / "plain")
    assert not (tmp_path / "plain" / "usage.json").exists()
    assert zoo.load(tmp_path / "plain").conventions == Conventions()
