"""A tiny model that holds conversations, with a template of its own."""

from typing import Any

from tests.generation.tiny import pretrained
from zoo.generation.chat import ChatTemplate
from zoo.generation.conventions import Conventions
from zoo.pretrained import Pretrained

TEMPLATE = (
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}"
)
OPTIONS: dict[str, Any] = {"max_new_tokens": 6}


def talker(positions: str = "rotary", suggestions: dict[str, Any] | None = None, **changes: Any) -> Pretrained:
    """The model; its template writes `u:Hello`, then `a:` and the answer."""
    plain = pretrained("decoder", positions=positions, **changes)
    conventions = Conventions(template=ChatTemplate(TEMPLATE, {}), suggestions=suggestions)
    return Pretrained(plain.model, plain.tokenizer, conventions)


def by_hand(model: Pretrained, first: str, *asked: str) -> list[str]:
    """The answers of a conversation, each prompt written out."""
    prompt, answers = first, []
    for said in asked:
        prompt += f"u:{said}\na:"
        answers.append(model.generate(prompt, **OPTIONS))
        prompt += f"{answers[-1]}\n"
    return answers
