"""A conversation: what a line may be, what is kept, and what Ctrl-C does when."""

from collections.abc import Callable, Iterator

import pytest

from tests.cli.talker import OPTIONS, TEMPLATE, by_hand, talker
from zoo.cli.conversation import AGAIN, COMMANDS, Conversation
from zoo.generation.chat import ChatTemplate
from zoo.generation.conventions import Conventions
from zoo.pretrained import Pretrained


def lines(*said: str | type[BaseException]) -> Callable[[], str]:
    """What asks for the next line: these, where an error stands for itself, and then the end of the input."""
    rest: Iterator[str | type[BaseException]] = iter(said)

    def ask() -> str:
        one = next(rest, EOFError)
        if isinstance(one, str):
            return one
        raise one

    return ask


def nothing(_: str) -> None:
    """Shows nothing."""


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


@pytest.mark.parametrize("system", ["", "Be"])
def test_a_conversation_that_became_too_long_is_said_and_forgotten(
    capsys: pytest.CaptureFixture[str], system: str
) -> None:
    first = [{"role": "system", "content": system}] if system else []
    conversation = Conversation(talker("learned"), first, {"max_new_tokens": 2})
    conversation.hold(lines("Hello", "a text that is too long for it", "/quit"), nothing)
    assert len(conversation.messages) == len(first) + 2
    assert (conversation.lines, conversation.refused) == (3, 1)
    what = "(system prompt, 3 messages)" if system else "(3 messages)"
    err = capsys.readouterr().err
    assert f"error: the conversation {what} has " in err
    assert " tokens and the model has 24 learned positions; /reset begins anew\n" in err


def test_the_first_message_that_is_too_long_is_to_be_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    conversation = Conversation(talker("learned"), [], {"max_new_tokens": 9})
    conversation.answer("a text that is too long for it", nothing)
    conversation.answer("a text of a length", nothing)
    said = capsys.readouterr().err.splitlines()
    assert said[0].endswith("(1 message) has 35 tokens and the model has 24 learned positions; shorten it")
    assert "leaves room for an answer of 2 tokens, which --max-new-tokens 9 exceeds; shorten it" in said[1]


def test_an_answer_is_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.cli.conversation.ANSWER_TOKENS", 40)
    for positions, length in (("learned", 24 - len("u:Hello\na:") + 1), ("rotary", 40)):
        model = talker(positions)
        conversation, shown = Conversation(model, [], {"max_new_tokens": None}), []
        conversation.answer("Hello", shown.append)
        limit = {"max_new_tokens": length}
        assert "".join(shown) == model.generate("u:Hello\na:", **limit) + "\n"


def test_commands_are_known_in_any_case_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    conversation = Conversation(talker(), [], OPTIONS)
    conversation.hold(lines("Hello", " /HELP ", "/Reset", "/QUIT", "nobody hears this"), nothing)
    assert conversation.messages == []
    said = capsys.readouterr().err
    assert all(f"{name}  " in said for name in (*COMMANDS, "//…", "Ctrl-C"))


def test_a_message_may_begin_with_a_slash_if_it_is_written_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    conversation = Conversation(talker(), [], OPTIONS)
    conversation.hold(lines("/etc/hosts is what?", "//etc/hosts is what?"), nothing)
    assert [one["content"] for one in conversation.messages[::2]] == ["/etc/hosts is what?"]
    assert conversation.refused == 1
    assert capsys.readouterr().err.startswith("no command /etc/hosts; /help lists the commands; a message that begins")


def test_a_ctrl_c_at_the_prompt_drops_the_line_and_a_second_one_ends(capsys: pytest.CaptureFixture[str]) -> None:
    conversation = Conversation(talker(), [], OPTIONS)
    ask = lines(KeyboardInterrupt, "Hello", KeyboardInterrupt, KeyboardInterrupt, "nobody hears this")
    with pytest.raises(KeyboardInterrupt):
        conversation.hold(ask, nothing, patient=True)
    assert len(conversation.messages) == 2
    assert capsys.readouterr().err == f"\n{AGAIN}\n" * 2
    with pytest.raises(KeyboardInterrupt):  # nobody sits there to press it again
        conversation.hold(lines(KeyboardInterrupt, "Hello"), nothing)
    assert len(conversation.messages) == 2


def test_a_ctrl_c_just_after_an_answer_loses_nothing() -> None:
    conversation = Conversation(talker(), [], OPTIONS)
    shown: list[str] = []

    def show(piece: str) -> None:
        shown.append(piece)
        if piece == "\n":
            raise KeyboardInterrupt

    conversation.hold(lines("Hello"), show, patient=True)
    assert conversation.messages[-1]["content"] == by_hand(talker(), "", "Hello")[0]


def test_an_answer_that_is_stopped_before_it_begins_is_forgotten(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> Iterator[str]:
        raise KeyboardInterrupt
        yield ""

    monkeypatch.setattr(Pretrained, "stream", interrupted)
    conversation = Conversation(talker(), [], OPTIONS)
    conversation.hold(lines("Hello"), nothing, patient=True)
    assert conversation.messages == []
    assert "the message is forgotten" in capsys.readouterr().err
