"""Chat templates: transformers' text for templates of every shape in use, and a sandbox around them."""

import datetime
from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from zoo.errors import DataError
from zoo.generation.chat import ChatTemplate

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

# Written for these tests, each in the manner of a family of chat models.
TEMPLATES = {
    "marked turns": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' "
        "+ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "turns in brackets, strictly alternating": """{{ bos_token }}
{%- if messages[0].role == 'system' %}{% set system = messages[0].content + '\\n\\n' %}{% set rest = messages[1:] %}
{%- else %}{% set system = '' %}{% set rest = messages %}{% endif %}
{%- for message in rest %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- if message.role == 'user' %}
        {{- '[INST] ' + (system if loop.first else '') + message.content | trim + ' [/INST]' }}
    {%- else %}
        {{- ' ' + message.content | trim + eos_token }}
    {%- endif %}
{%- endfor %}""",
    "headers and a date": """{{- bos_token }}
{% set now = strftime_now('%Y') %}
{%- for message in messages %}
    {{- '<|header|>' + message['role'] + '<|end|>\\n' }}
    {%- if loop.first and message.role == 'system' %}Year: {{ now }}
{% endif %}
    {{- message.content | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|header|>assistant<|end|>\\n' }}{% endif %}""",
    "generation blocks and loop controls": """{% for message in messages %}
{% if message.role == 'system' %}{% continue %}{% endif %}
{% if message.role == 'assistant' %}
A: {% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}

{% else %}
Q: {{ message.content }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}A:{% endif %}""",
    "tools as JSON, a macro and a namespace": """{% macro shown(message) %}<{{ message.role }}>{{ message.content }}
{% endmacro %}
{% set state = namespace({"other": 1}, count=0) %}
{% if tools %}Tools: {{ tools | tojson }}
{{ tools | tojson(indent=2) }}{% endif %}
{% for message in messages %}{% set state.count = state.count + 1 %}
{{ state.count }} {{ shown(message) }}{% endfor %}""",
}
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "Hello <b> & ünïcode 😀"}],
    [
        {"role": "system", "content": " Be brief. "},
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": "That.\n"},
        {"role": "user", "content": "{{ bos_token }} {% raw %}"},
    ],
]
TOOLS = [{"type": "function", "function": {"name": "größe", "description": "<html>", "parameters": {}}}]


@pytest.mark.parametrize("answer", [True, False])
@pytest.mark.parametrize("name", TEMPLATES)
def test_texts_are_those_of_transformers(name: str, answer: bool) -> None:
    library = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
    theirs = PreTrainedTokenizerFast(tokenizer_object=library, **TOKENS)
    theirs.chat_template = TEMPLATES[name]
    ours = ChatTemplate(TEMPLATES[name], TOKENS)
    for conversation in CONVERSATIONS:
        tools = TOOLS if "tools" in name else None
        expected = theirs.apply_chat_template(conversation, tools=tools, tokenize=False, add_generation_prompt=answer)
        assert ours.render(conversation, answer=answer, tools=tools) == expected
        assert len(expected) > 10


def test_a_template_may_refuse_and_its_reason_is_given() -> None:
    template = ChatTemplate(TEMPLATES["turns in brackets, strictly alternating"], TOKENS)
    with pytest.raises(DataError, match="refuses the conversation: roles must alternate"):
        template.render([{"role": "assistant", "content": "I begin"}])


@pytest.mark.parametrize("source", ["{% if %}", "{{ messages", "{% generation %}"])
def test_a_damaged_template_is_an_error(source: str) -> None:
    with pytest.raises(DataError, match="chat template is damaged"):
        ChatTemplate(source, {}).render([])


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__ }}{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__globals__['datetime'] }}{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}{{ cycler.__init__.__globals__.os }}",
        "{% include '/etc/passwd' %}",
        "{% set n = namespace(__class__=1) %}{{ n.__class__ }}",
        "{% set n = namespace() %}{% set n._Namespace__attrs = messages %}{{ n._Namespace__attrs }}",
        "{% import 'os' as os %}",
    ],
)
def test_a_template_reaches_nothing_outside(source: str) -> None:
    try:
        text = ChatTemplate(source, {}).render([{"role": "user", "content": "x"}])
    except DataError:
        return
    assert "class" not in text
    assert "module" not in text


def test_messages_are_plain_data() -> None:
    template = ChatTemplate("{{ messages[0].content }}", {})
    for wrong in ({"content": "no role"}, "text", {"role": "user", "content": datetime.date(2020, 1, 1)}):
        with pytest.raises(DataError, match="is no "):
            template.render([wrong])  # type: ignore[list-item]
