"""A model with its tokenizer, as people hold it: `zoo.load(folder).generate("Once upon a time")`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from torch import Tensor

from zoo.errors import ConfigError, ZooError
from zoo.generation.abilities import require
from zoo.generation.chat import Message
from zoo.generation.conventions import Conventions
from zoo.generation.counts import as_texts, check_flag, of_each
from zoo.generation.decoding import DecodingConfig
from zoo.generation.embed import check_asked, embed, rows_to_embed
from zoo.generation.ends import check_ends
from zoo.generation.fill import Filled, fill_masks, fill_spans
from zoo.generation.kept import Kept
from zoo.generation.options import decoding_config, plain, with_prefix, with_special_stops
from zoo.generation.prompts import prompt_tokens
from zoo.generation.roles import TokenRoles
from zoo.generation.room import room_behind
from zoo.generation.score import TextScore, score_texts, scored_row
from zoo.generation.texts import AskedPrefix, Generated, Piece, Writer
from zoo.models.base import Model, ModelConfig
from zoo.tokenizer.tokenizer import Tokenizer


def check_vocabulary(tokenizer: Tokenizer | None, vocab_size: int) -> None:
    """Raises ZooError where a tokenizer has ids that a model with so many has no row for."""
    if tokenizer is not None and tokenizer.vocab_size > vocab_size:
        raise ZooError(
            f"the tokenizer has {tokenizer.vocab_size} ids but the model's vocabulary only {vocab_size}: they do not "
            f"belong together (the first id without a row is {tokenizer.token(vocab_size)!r})"
        )


class Pretrained:
    """A model and its tokenizer.

    Args:
        model: put into evaluation mode.
        tokenizer: of the model; None: the model takes and gives tensors only.
        conventions: how it is meant to be used, as its folder says.

    Raises:
        ZooError: the tokenizer has ids that the model has no row for.
    """

    architecture: str | None = None
    """The foreign architecture that the model was loaded as, which `zoo.export` prefers; None: no such."""
    source: Path | None = None
    """The folder that it was loaded from, where `zoo.save` and `zoo.export` look for what is known of it."""

    def __init__(
        self, model: Model, tokenizer: Tokenizer | None = None, conventions: Conventions | None = None
    ) -> None:
        check_vocabulary(tokenizer, model.backbone.tokens.num_embeddings - model.backbone.tokens.spare)
        self.model = model.eval()
        self._tokenizer = tokenizer
        self.conventions = conventions or Conventions()

    def __repr__(self) -> str:
        vocabulary = "no tokenizer" if self._tokenizer is None else f"a tokenizer of {self._tokenizer.vocab_size} ids"
        return f"Pretrained({self.config.kind}, {self.model.num_parameters:,} parameters, {vocabulary})"

    @property
    def config(self) -> ModelConfig:
        """What the model was built from."""
        return self.model.config

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; raises ZooError where there is none."""
        if self._tokenizer is None:
            raise ZooError(
                "this model has no tokenizer with it; give it one with zoo.Pretrained(model, tokenizer), or with: zoo "
                f"import {self.source or '<folder>'} <new folder> --tokenizer <folder of the tokenizer>"
            )
        return self._tokenizer

    def __call__(self, *unnamed: Any, **inputs: Any) -> dict[str, Tensor]:
        """Tensors in, logits by name of the head out; the inputs are those of the backbone's forward."""
        check_ends(self.config, self.conventions, inputs)
        logits: dict[str, Tensor] = self.model(*unnamed, **inputs)
        return logits

    @overload
    def fill(  # type: ignore[overload-overlap]  # a str is a sequence of str too, and means one text
        self, text: str, *, top: int | None = None, max_new_tokens: int | None = None
    ) -> Filled:
        """One text: what it is when filled."""

    @overload
    def fill(self, text: Sequence[str], *, top: int | None = None, max_new_tokens: int | None = None) -> list[Filled]:
        """Several texts: as many."""

    def fill(
        self, text: str | Sequence[str], *, top: int | None = None, max_new_tokens: int | None = None
    ) -> Filled | list[Filled]:
        """Fills the blanks of a text.

            bert.fill("The capital of France is [MASK].").text
            t5.fill("The <extra_id_0> walks in <extra_id_1> park.").text

        Args:
            text: one text, or several. An encoder's has its mask token written out, an encoder-decoder's <extra_id_0>,
                <extra_id_1>, …
            top: candidates for each blank; None: 5. Encoders only: an encoder-decoder writes one text into each blank.
            max_new_tokens: tokens of all blanks together, at most; None: 64. Encoder-decoders only.

        Raises:
            ZooError: a decoder cannot fill. DataError: a text has no blank or is too long.
            ConfigError: a wrong number.
        """
        require(self.config.kind, "fill")
        texts, top, max_new_tokens = as_texts(text, "text"), plain(top), plain(max_new_tokens)
        if self.config.kind == "encoder":
            if max_new_tokens is not None:
                raise ConfigError("an encoder fills each mask with one token; leave it out", "max_new_tokens")
            found = fill_masks(self.model, self.tokenizer, texts, 5 if top is None else top)
        elif top is not None:
            raise ConfigError("an encoder-decoder writes one text into each blank; leave it out", "top")
        else:
            roles, prefix = self._roles(), self.conventions.prefix
            found = fill_spans(self.model, self.tokenizer, texts, max_new_tokens, roles, prefix)
        return found[0] if isinstance(text, str) else found

    @overload
    def generate(self, prompt: str, *, num_return: None = None, details: Literal[False] = False, **options: Any) -> str:
        """One prompt: one text."""

    @overload
    def generate(
        self, prompt: Sequence[str], *, num_return: None = None, details: Literal[False] = False, **options: Any
    ) -> list[str]:
        """Several prompts: as many texts."""

    @overload
    def generate(self, prompt: str | Sequence[str], **options: Any) -> Any:
        """With `num_return` a list for each prompt, with `details` what is known of each text."""

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        max_new_tokens: int | None = None,
        prefix: str = "",
        details: bool = False,
        batch_size: int = 16,
        **options: Any,
    ) -> Any:
        """What the model writes: a decoder goes on with the prompt, an encoder-decoder answers to it.

            gpt.generate("Once upon a time", max_new_tokens=100, temperature=0.8, top_p=0.9, seed=1)
            t5.generate(["translate English to German: Hello", "…"], num_beams=4, length_penalty=0.6)
            gpt.generate("Q: Why? A:", stop="\\n", temperature=1.0, best_of=8, details=True).log_probabilities

        Args:
            prompt: one text, or several, which are worked on side by side. Special tokens written out are recognised. A
                decoder's may be empty where its tokenizer has a `begin` token.
            max_new_tokens: tokens to write at most; None: 64 behind the prefix, or as many as `min_new_tokens`, or
                fewer where learned positions run out. A text also ends with the `end` token.
            prefix: what the output begins with.
            details: whether a text comes with its tokens, their log-probabilities, its score and why it ended.
            batch_size: prompts that are worked on side by side, or fewer where the beams or drawn texts of so many
                would take more than half of the memory. As `cache`, it changes rounding only: no text in float32, but
                where two tokens are equally likely; of a model in bfloat16 or float16, some (`docs/exactness.md`).
            options: fields of `zoo.generation.decoding.DecodingConfig`: `temperature` (0, the default: greedy),
                `top_k`, `top_p`, `min_p`, `typical_p`, penalties, `seed`; `num_beams`, `length_penalty`,
                `early_stopping`; `best_of`, `num_return`; `stop` (one string or several), `stop_tokens`,
                `min_new_tokens`; `cache` ("growing", "static" or "windowed": memory and time). What is
                drawn for the i-th prompt is keyed by (seed, i), so it does not depend on the other prompts.

        Returns:
            The new text without the prompt; a `Generated` with `details`. A list of them, best first, with `num_return`
            (even with 1); and a list of that where `prompt` is one. A search gives fewer than `num_return` where its
            prefix, its length or what is barred leaves fewer texts.

        Raises:
            ZooError: an encoder cannot generate. DataError: a prompt is empty, has characters that the tokenizer does
                not know, or is too long. ConfigError: a wrong setting, or two that do not go together.
        """
        require(self.config.kind, "generate")
        check_flag(details, "details")
        texts = as_texts(prompt, "prompt")
        max_new_tokens, batch_size = plain(max_new_tokens), plain(batch_size)
        config = self._decoding(options, prefix, max_new_tokens=max_new_tokens, batch_size=batch_size)
        tokens = self._prompts(texts)
        found = self._writer(prefix).write(tokens, config, max_new_tokens, batch_size, scored=details)
        chosen = [[one if details else one.text for one in of_prompt] for of_prompt in found]
        results = [of_prompt[0] if config.num_return is None else of_prompt for of_prompt in chosen]
        return results[0] if isinstance(prompt, str) else results

    def generations(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int | None = None,
        prefix: str = "",
        batch_size: int = 16,
        **options: Any,
    ) -> Iterator[list[Generated]]:
        """As `generate` for many prompts: the texts of each, best first, come as soon as its batch is done.

        Wrong input of any prompt raises at once, before anything is computed.
        """
        require(self.config.kind, "generate")
        max_new_tokens, batch_size = plain(max_new_tokens), plain(batch_size)
        config = self._decoding(options, prefix, max_new_tokens=max_new_tokens, batch_size=batch_size)
        tokens = self._prompts(as_texts(prompts, "prompts"))
        return self._writer(prefix).write(tokens, config, max_new_tokens, batch_size)

    @overload
    def stream(self, prompt: str, **options: Any) -> Iterator[str]:
        """One prompt: the pieces of its text."""

    @overload
    def stream(self, prompt: Sequence[str], **options: Any) -> Iterator[Piece]:
        """Several prompts: pieces that say which prompt they are of."""

    def stream(
        self,
        prompt: str | Sequence[str],
        *,
        max_new_tokens: int | None = None,
        prefix: str = "",
        batch_size: int = 16,
        kept: Kept | None = None,
        **options: Any,
    ) -> Iterator[str] | Iterator[Piece]:
        """As `generate`, but a text comes piece by piece while it is written.

            for piece in gpt.stream("Once upon a time", max_new_tokens=100):
                print(piece, end="", flush=True)
            for number, piece, last in gpt.stream(["Once upon a time", "The end"]): …

        No piece splits a character or shows the beginning of a stop string, and all of them together are what
        `generate` returns. The texts of several prompts are written side by side, `batch_size` at a time, so their
        pieces come mixed: each is a `Piece` with the number of its prompt and whether it is the last of its text.
        Wrong input raises at once; so does what makes several texts of a prompt (beams, best_of, num_return).

        With `kept`, a `zoo.generation.kept.Kept` that earlier calls had too, a decoder does not read again what its
        one prompt has in common with what they read and wrote, where the prompt begins with all of that.
        """
        require(self.config.kind, "generate")
        max_new_tokens, batch_size = plain(max_new_tokens), plain(batch_size)
        config = self._decoding(options, prefix, max_new_tokens=max_new_tokens, batch_size=batch_size)
        texts = as_texts(prompt, "prompt")
        tokens = self._prompts(texts)
        pieces = self._writer(prefix).stream(tokens, config, max_new_tokens, batch_size, kept)
        return (piece.text for piece in pieces if piece.text) if isinstance(prompt, str) else pieces

    @overload
    def score(  # type: ignore[overload-overlap]  # a str is a sequence of str too, and means one text
        self, text: str, continuation: str | None = None
    ) -> TextScore:
        """One text: its score."""

    @overload
    def score(self, text: Sequence[str], continuation: Sequence[str] | None = None) -> list[TextScore]:
        """Several texts: as many scores."""

    def score(
        self, text: str | Sequence[str], continuation: str | Sequence[str] | None = None
    ) -> TextScore | list[TextScore]:
        """How likely a text is to the model, token by token.

            gpt.score("The capital of France is", " Paris").total
            gpt.score(["A likely text.", "Text likely a."])[0].bits_per_byte
            bert.score("The cat sat.").log_probabilities

        Args:
            text: one text, or several. Special tokens written out are recognised.
            continuation: where given, only this is scored, behind `text`; as many as there are texts (a token
                that is partly of both counts to the continuation, with all its bytes, unless it would be a decoder's
                first, which stands behind nothing). An encoder-decoder needs it: `text` is what it reads.

        Returns:
            For each text its score: log-probabilities by token, `total`, `mean`, `perplexity`, `bits_per_byte`. An
            encoder's is the pseudo-log-likelihood: each token is named from all others. A decoder's first token is
            scored behind the token that its tokenizer's file puts before a text; where that puts none it is not scored
            (a text of one token then has no score, with a warning).
            The token that ends an encoder-decoder's output is scored, too.

        Raises:
            DataError: a text is empty or too long, or has characters that the tokenizer does not know.
            ConfigError: another number of continuations than of texts, or an encoder-decoder has none.
            ZooError: the model has no language model head.
        """
        require(self.config.kind, "score")
        one = isinstance(text, str)
        texts = as_texts(text, "text")
        behind: list[str | None] = [None] * len(texts)
        if continuation is not None:
            behind = [*as_texts(continuation, "continuation")]
        if len(behind) != len(texts):
            raise ConfigError(f"{len(behind)} for {len(texts)} texts; give one for each", "continuation")
        kind, tokenizer = self.config.kind, self.tokenizer
        rows = of_each(zip(texts, behind, strict=True), lambda pair: scored_row(kind, tokenizer, *pair))
        scores = score_texts(self.model, self.tokenizer, self._roles(), rows, self.conventions.prefix)
        return scores[0] if one else scores

    def embed(
        self,
        text: str | Sequence[str],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompt: str | None = None,
        max_length: int | None = None,
    ) -> Tensor:
        """One vector for each text: the last hidden states of its tokens, pooled.

            bert.embed(["A cat.", "A dog."], normalize=True) @ bert.embed("A pet.", normalize=True)

        Args:
            text: one text, or several. An encoder-decoder's encoder reads it.
            pooling: "mean" of all tokens, the "first" ([CLS]) or the "last"; None: as the folder says, or "mean".
            normalize: whether each vector gets the length 1; None: as the folder says, or not.
            prompt: what is put before each text; None: as the folder says, or nothing.
            max_length: how many tokens of a text are read, special ones included: of a longer text the rest is left
                out, with a warning; None: as the folder says, or all of them.

        Returns:
            (D,) for one text, (N, D) for several, float32, on the CPU. An empty text has the vector of the special
            tokens around it.

        Raises:
            DataError: a text has characters that the tokenizer does not know, is longer than learned positions, or is
                empty where no special token stands around it.
            ConfigError: an unknown pooling, or a wrong number or type.
        """
        require(self.config.kind, "embed")
        kind, tokenizer = self.config.kind, self.tokenizer
        pooling = self.conventions.pooling if pooling is None else pooling
        normalize = self.conventions.normalize if normalize is None else normalize
        front = self.conventions.prompt if prompt is None else prompt
        most = self.conventions.max_length if max_length is None else plain(max_length)
        check_asked(pooling, normalize, front)
        rows = rows_to_embed(kind, tokenizer, [f"{front}{one}" for one in as_texts(text, "text")], most)
        vectors_ND = embed(self.model, rows, self._roles().padding, pooling, normalize=normalize)
        return vectors_ND[0] if isinstance(text, str) else vectors_ND

    def conversation(self, messages: Sequence[Message], **variables: Any) -> str:
        """The prompt that a conversation is to a model trained on conversations; `generate` gives the answer to it.

            chat.generate(chat.conversation([{"role": "user", "content": "Hello"}]), max_new_tokens=200)

        Args:
            messages: what was said, oldest first.
            variables: what else the template of the model's folder knows, plain data.

        Raises:
            ZooError: the model has no chat template, or its family cannot generate.
            DataError: the template refuses the conversation.
        """
        require(self.config.kind, "generate")
        if self.conventions.template is None:
            raise ZooError(
                "the model has no chat template: its folder has neither chat_template.jinja nor a chat_template in "
                "tokenizer_config.json; use generate"
            )
        return self.conventions.template.render(messages, **variables)

    def room(self, prompt: str) -> int | None:
        """How many tokens may be written behind a prompt; None: as many as one likes.

        Raises:
            ZooError: an encoder cannot generate. DataError: as `generate`.
        """
        require(self.config.kind, "generate")
        room = room_behind(self.model, len(prompt_tokens(self.config.kind, self.tokenizer, prompt)))
        return None if room is None else room.left

    def _prompts(self, texts: Sequence[str]) -> list[list[int]]:
        return of_each(texts, lambda text: prompt_tokens(self.config.kind, self.tokenizer, text))

    def _decoding(self, options: dict[str, Any], prefix: str, **counts: int | None) -> DecodingConfig:
        """The config of these options, with the prefix as tokens behind what the model's output always begins with."""
        config = with_special_stops(decoding_config(options, **counts), self.tokenizer)
        return with_prefix(config, self.tokenizer.for_targets, prefix, self._own_prefix)

    def _writer(self, prefix: str) -> Writer:
        """What writes texts that begin with this prefix."""
        asked = AskedPrefix("prefix" if prefix else "prefix_tokens", len(self._own_prefix))
        return Writer(self.model, self.tokenizer, self._roles(), self.config.kind == "decoder", asked)

    @property
    def _own_prefix(self) -> tuple[int, ...]:
        """What the model's output always begins with."""
        return self.conventions.prefix if self.config.kind == "encoder_decoder" else ()

    def _roles(self) -> TokenRoles:
        return self.conventions.roles(self.tokenizer, self.config.kind)
