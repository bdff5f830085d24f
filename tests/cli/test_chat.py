"""`zoo chat`."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.cli.tiny import Command
from tests.generation.tiny import pretrained
from zoo.cli.chat import HELP, Conversation
from zoo.generation.chat import ChatTemplate
from zoo.generation.conventions import Conventions
from zoo.pretrained import Pretrained

TEMPLATE = (
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}"
)
OPTIONS: dict[str, Any] = {"max_new_tokens": 6}


def talker(**changes: Any) -> Pretrained:
    plain = pretrained("decoder", positions="rotary", **changes)
    return Pretrained(plain.model, plain.tokenizer, Conventions(template=ChatTemplate(TEMPLATE, {})))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    zoo.save(talker(max_length=256), tmp_path / "model")  # no conversation here gets longer
    return tmp_path / "model"


def by_hand(model: Pretrained, first: str, *asked: str) -> list[str]:
    """The answers of a conversation, each prompt written out."""
    prompt, answers = first, []
    for said in asked:
        prompt += f"u:{said}\na:"
        answers.append(model.generate(prompt, **OPTIONS))
        prompt += f"{answers[-1]}\n"
    return answers


def test_turns_follow_the_template(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n\nWho?\n/foo\n/reset\nWho?\n/quit\nnobody hears this\n"))
    status, out, err = command("chat", folder, "--max-new-tokens", "6", "--system", "Be brief")
    assert (status, err) == (0, f"no command /foo; {HELP}\n")
    model = zoo.load(folder)
    expected = [*by_hand(model, "s:Be brief\n", "Hello", "Who?"), *by_hand(model, "s:Be brief\n", "Who?")]
    assert out == "".join(f"{answer}\n" for answer in expected)


def test_a_turn_is_not_read_again() -> None:
    plain = talker()
    signs = [(token,) for token in range(plain.tokenizer.vocab_size) if not plain.tokenizer.decode([token]).isascii()]
    answers = Conventions(template=ChatTemplate(TEMPLATE, {}), barred=tuple(signs))  # so that they are spelt one way
    model = Pretrained(plain.model, plain.tokenizer, answers)
    expected = by_hand(model, "", "Hello", "Who?", "So?")
    widths: list[int] = []
    model.model.backbone.register_forward_hook(lambda _, inputs, __: widths.append(inputs[0].shape[1]))
    conversation = Conversation(model, [], OPTIONS)
    for said in ("Hello", "Who?", "So?"):
        conversation.answer(said, lambda _: None)
    assert [one["content"] for one in conversation.messages[1::2]] == expected
    read = [width for width in widths if width > 1]  # the last token of an answer is read with the next turn
    assert read[1:] == [1 + len("\nu:Who?\na:"), 1 + len("\nu:So?\na:")]


def test_the_end_of_the_input_ends_it(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello"))
    assert command("chat", folder, "--max-new-tokens", "2").status == 0


def test_ctrl_c_stops_an_answer_which_stays_as_far_as_it_came() -> None:
    shown: list[str] = []
    conversation = Conversation(talker(), [], OPTIONS)

    def show(piece: str) -> None:
        shown.append(piece)
        if len(shown) == 2:
            raise KeyboardInterrupt

    conversation.answer("Hello", show)
    whole = by_hand(talker(), "", "Hello")[0]
    assert conversation.messages[-1]["role"] == "assistant"
    said = conversation.messages[-1]["content"]
    assert said == "".join(shown[:2])
    assert whole.startswith(said)
    assert shown[2:] == [" …", "\n"]


def test_a_conversation_that_became_too_long_is_said_and_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    plain = pretrained("decoder", positions="learned")
    model = Pretrained(plain.model, plain.tokenizer, Conventions(template=ChatTemplate(TEMPLATE, {})))
    conversation = Conversation(model, [], {"max_new_tokens": 2})

    def lines() -> Iterator[str]:
        yield from ("Hello", "a text that is too long for it", "/quit")

    said = lines()
    conversation.hold(lambda: next(said), lambda _: None)
    assert len(conversation.messages) == 2
    assert "/reset begins anew" in capsys.readouterr().err


def test_an_answer_is_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.cli.chat.ANSWER_TOKENS", 40)
    for positions, length in (("learned", 24 - len("u:Hello\na:") + 1), ("rotary", 40)):
        plain = pretrained("decoder", positions=positions)
        model = Pretrained(plain.model, plain.tokenizer, Conventions(template=ChatTemplate(TEMPLATE, {})))
        conversation, shown = Conversation(model, [], {"max_new_tokens": None}), []
        conversation.answer("Hello", shown.append)
        limit = {"max_new_tokens": length}
        assert "".join(shown) == model.generate("u:Hello\na:", **limit) + "\n"


def test_a_folder_without_a_template_is_refused_by_name(tmp_path: Path, command: Command) -> None:
    zoo.save(pretrained("decoder"), tmp_path / "plain")
    status, out, err = command("chat", tmp_path / "plain")
    assert (status, out) == (1, "")
    assert "no chat template: its folder has neither chat_template.jinja nor a chat_template" in err
    zoo.save(pretrained("encoder"), tmp_path / "encoder")
    assert "cannot generate" in command("chat", tmp_path / "encoder").err
