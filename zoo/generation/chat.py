"""Conversations as text, by the template that a chat model was trained with.

A template is a Jinja program that comes with a folder, so it is rendered in Jinja's immutable sandbox: it sees plain
data only, reaches no attribute that begins with an underscore, no file and no module. What it may use is what
transformers gives it: loop controls, `raise_exception`, `strftime_now`, `tojson` and {% generation %} blocks.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from zoo.errors import DataError, ZooError

Message = Mapping[str, Any]
"""What one side said: {"role": "user", "content": "…"}; templates may know further keys."""


class ChatTemplate(NamedTuple):
    """How conversations become text.

    Attributes:
        source: the template.
        tokens: names that it may use for special tokens (bos_token, eos_token, …) → their spelling.
    """

    source: str
    tokens: Mapping[str, str]

    def render(self, messages: Sequence[Any], *, answer: bool = True, **variables: Any) -> str:
        """The text of a conversation.

            template.render([{"role": "user", "content": "Hello"}])

        Args:
            messages: what was said, oldest first; each is a `Message` with a role and a content.
            answer: whether the text ends where the model is to answer.
            variables: what else the template knows (tools, documents, enable_thinking, …), plain data.

        Raises:
            DataError: the template is damaged, refuses these messages, or a message is no plain data.
            ZooError: jinja2 is not installed.
        """
        for message in messages:
            if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
                raise DataError(f"{message!r} is no message; write {{'role': 'user', 'content': '…'}}")
        compiled = _compiled(self.source)
        given = _plain({"tools": None, "documents": None, **self.tokens, **variables})
        try:
            text: str = compiled.render(messages=_plain(list(messages)), add_generation_prompt=answer, **given)
        except Exception as error:  # what a foreign program does wrong may be of any type
            raise DataError(f"the chat template refuses the conversation: {_said(error)}") from None
        return text


@functools.lru_cache(maxsize=16)
def _compiled(source: str) -> Any:
    try:
        import jinja2
        from jinja2 import ext, sandbox
    except ImportError:
        raise ZooError("a chat template needs jinja2: pip install '.[chat]' in the clone") from None

    class GenerationTag(ext.Extension):
        """{% generation %} … {% endgeneration %} marks what the model says; here it only stands for its content."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    class Names(jinja2.utils.Namespace):
        """`namespace`, without names that begin with an underscore: those reach into Python."""

        def __init__(*given: Any, **named: Any) -> None:
            jinja2.utils.Namespace.__init__(given[0])
            for name, value in dict(*given[1:], **named).items():
                given[0][name] = value

        def __setitem__(self, name: str, value: Any) -> None:
            if name.startswith("_"):
                raise jinja2.TemplateError(f"a namespace has no name that begins with an underscore, as {name!r}")
            jinja2.utils.Namespace.__setitem__(self, name, value)

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "namespace": Names,
        "raise_exception": raise_exception,
        "strftime_now": lambda form: datetime.datetime.now().strftime(form),
    }
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise DataError(f"the chat template is damaged: {_said(error)}") from None


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """JSON as it is; Jinja's own filter writes < as an escape for web pages."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _plain(value: Any) -> Any:
    """A copy made of plain data only, so that a template cannot reach the methods of anything else."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {_plain(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    raise DataError(f"{value!r} is no plain data (None, bool, number, text, lists and groups of these)")


def _said(error: Exception) -> str:
    return f"{error} ({type(error).__name__})"
