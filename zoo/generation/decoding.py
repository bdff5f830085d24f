"""All that can be asked of decoding, in one config; greedy choice, sampling with the best of n, and beam search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zoo.config import setting
from zoo.errors import Collected
from zoo.generation.beam import BeamConfig, Hypothesis, beam_search
from zoo.generation.cache import CacheConfig
from zoo.generation.counts import check_count
from zoo.generation.generate import generate
from zoo.generation.roles import TokenRoles
from zoo.generation.sample import SamplingConfig
from zoo.generation.stop import BeamWatch, StoppingStream, StopWatch
from zoo.models.base import Model
from zoo.spelling import named

MAX_BEAMS = 1024
"""Beams of a search at most. Papers use 4 to 10 (Vaswani et al. 2017, arXiv:1706.03762, section 6.1: 4)."""


@dataclass(frozen=True, kw_only=True)
class DecodingConfig(SamplingConfig, BeamConfig):
    """How texts are written: the choice of tokens, the search, how many texts, and where they end."""

    best_of: int | None = setting(
        None,
        "texts that are drawn of each prompt, of which those with the highest mean log-probability come back; "
        "null: as many as come back",
        minimum=1,
    )
    num_return: int | None = setting(
        None, "texts that come back of each prompt, best first; fewer where a search finds fewer; null: one", minimum=1
    )
    stop: tuple[str, ...] = setting(
        (),
        "strings that end a text, which is cut before the first of them; one that spells a special token is the token",
    )
    stop_tokens: tuple[int, ...] = setting((), "ids that end a text, beside the tokenizer's own", minimum=0)
    cache: CacheConfig | None = setting(
        None,
        "how keys and values of earlier places are kept: memory and time, and the rounding of bfloat16; null: fastest",
    )

    def validate(self) -> None:
        """Refuses what goes against each other, or has no effect beside the rest."""
        wrong = Collected()
        with wrong.taken():
            SamplingConfig.validate(self)
        self._check_beams(wrong)
        available = self.num_beams if self.temperature == 0 else self.samples
        if self.best_of is not None and self.temperature == 0:
            wrong.add(f"{self.best_of} texts at temperature 0 are all the same; give a temperature", "best_of")
        if self.best_of is not None and self.best_of < self.count:
            wrong.add(f"{self.best_of} is fewer than {named('num_return', self.num_return)}", "best_of")
        elif self.count > available:
            wrong.add(
                f"{self.num_return} texts at {named('temperature', self.temperature)}, but with "
                f"{named('num_beams', self.num_beams)} there {'is' if available == 1 else 'are'} {available}; raise "
                f"{named('num_beams')}, or give a temperature above 0",
                "num_return",
            )
        if "" in self.stop:
            wrong.add("an empty string would end every text at once; leave it out", "stop")
        wrong.raise_any()

    def _check_beams(self, wrong: Collected) -> None:
        searching = self.num_beams > 1
        if self.num_beams > MAX_BEAMS:
            wrong.add(
                f"{self.num_beams} is more than {MAX_BEAMS}: each beam is a row with its own keys and values in "
                "memory; take fewer",
                "num_beams",
            )
        if searching and self.temperature > 0:
            wrong.add(
                f"{self.num_beams} beams are searched, not drawn: {named('temperature', self.temperature)} must be 0, "
                f"or {named('num_beams')} 1 ({named('best_of')} draws several texts and keeps the best)",
                "num_beams",
            )
        for name, value, default in (
            ("length_penalty", self.length_penalty, 1.0),
            ("early_stopping", self.early_stopping, False),
        ):
            if not searching and value != default:
                wrong.add(f"{value} has no effect with {named('num_beams', 1)}; give more beams", name)

    @property
    def count(self) -> int:
        """How many texts come back of each prompt."""
        return self.num_return or 1

    @property
    def samples(self) -> int:
        """How many texts are drawn of each prompt."""
        return self.best_of or (self.count if self.temperature > 0 else 1)

    @property
    def several(self) -> str | None:
        """The field by which several texts of a prompt are on the way at once; None: one is, as a stream needs it."""
        drawn = "num_return" if self.best_of is None else "best_of"
        return "num_beams" if self.num_beams > 1 else drawn if self.samples > 1 else None


def asked_roles(roles: TokenRoles, config: DecodingConfig) -> TokenRoles:
    """The roles with the config's stop tokens beside the tokenizer's, its prefix and its least length."""
    stop = tuple(dict.fromkeys((*roles.stop, *config.stop_tokens)))
    return roles._replace(stop=stop, num_forced=len(config.prefix_tokens), num_least=config.min_new_tokens)


def check_tokens(
    config: DecodingConfig, roles: TokenRoles, max_new_tokens: int | None, prefix: str = "prefix_tokens"
) -> None:
    """Raises ConfigError where lengths or ids of a config do not fit the tokenizer or each other.

    Errors about its prefix have the name of the option that gave it.
    """
    if max_new_tokens is not None:
        check_count(max_new_tokens, "max_new_tokens")  # first: a wrong one would make others look wrong
    wrong = Collected()
    for name, length in (("min_new_tokens", config.min_new_tokens), (prefix, len(config.prefix_tokens))):
        if max_new_tokens is not None and length > max_new_tokens:
            what = "" if name == "min_new_tokens" else " tokens"
            wrong.add(f"{length}{what} exceeds {named('max_new_tokens', max_new_tokens)}", name)
    if config.top_k is not None and config.top_k > roles.vocab_size:
        wrong.add(f"{config.top_k} must be in 1 … {roles.vocab_size}, the tokens of the vocabulary", "top_k")
    for name, ids in ((prefix, config.prefix_tokens), ("stop_tokens", config.stop_tokens)):
        strangers = [token for token in ids if token >= roles.vocab_size]
        if strangers:
            wrong.add(f"{strangers} are no ids of the vocabulary (0 … {roles.vocab_size - 1})", name)
    if ending := sorted({*config.prefix_tokens} & {*roles.stop}):
        wrong.add(f"{ending} would end the text in its prefix; take them out", prefix)
    wrong.raise_any()


def decode(
    model: Model,
    prompts: Sequence[Sequence[int]],
    roles: TokenRoles,
    config: DecodingConfig,
    *,
    max_new_tokens: int | None = None,
    streams: Callable[[int], StoppingStream] | None = None,
    first: int = 0,
    scored: bool = True,
) -> list[list[Hypothesis]]:
    """The texts behind each prompt as tokens, best first.

    Args:
        model, prompts, max_new_tokens: as in `generate_steps`.
        roles: padding, start, and what ends a row beside the config's `stop_tokens`.
        config: how they are written.
        streams: number of a prompt among these → a text of it, from its beginning, that ends at stop strings.
        first: number of the first prompt among all that there are; what is drawn for a prompt is keyed by its number.
        scored: whether log-probabilities and scores are wanted where nothing is chosen by them; they cost a softmax.

    Returns:
        For each prompt the `num_return` best; of a search fewer, where prefix, length or what is barred leave fewer
        (transformers fills them up with texts that were forbidden, at a score of −10⁹). Without beams a text's score
        is its mean log-probability by the model, of the token that ended it too.

    Raises:
        DataError, ConfigError, ZooError: as `generate_steps`; an id or a length in the config that does not fit.
    """
    roles = asked_roles(roles, config)
    check_tokens(config, roles, max_new_tokens)
    samples, cache = config.samples, config.cache
    texts = [] if streams is None else [streams(prompt) for prompt in range(len(prompts)) for _ in range(samples)]
    if config.num_beams > 1:
        beams = BeamWatch(texts, roles.stop) if texts else None
        found = beam_search(
            model, prompts, roles, config, config.penalties, max_new_tokens=max_new_tokens, cache=cache, watch=beams
        )
        return [of_prompt[: config.count] for of_prompt in found]
    rows = generate(
        model,
        prompts,
        roles,
        max_new_tokens=max_new_tokens,
        sampling=config,
        samples=samples,
        watch=StopWatch(texts, roles.stop) if texts else None,
        first=first,
        cache=cache,
        scored=scored or samples > 1,
    )
    ranked = []
    for start in range(0, len(rows), samples):
        drawn = [Hypothesis(row.mean_log_probability, row) for row in rows[start : start + samples]]
        ranked.append(sorted(drawn, key=lambda one: -one.score)[: config.count])
    return ranked
