"""Several sources as one text."""

import dataclasses
import itertools
from pathlib import Path

import pytest

from tests.data.synthetic import documents_of
from zoo.config import build, to_mapping
from zoo.data.blend import Blend, MixtureConfig, Portion, held_out_by_source, portions_of
from zoo.data.corpus import DataConfig, load_corpus
from zoo.data.filter import FilterConfig
from zoo.data.sources import SourceConfig, TextConfig
from zoo.errors import ConfigError, DataError
from zoo.tokenizer.train import BytesConfig, CharactersConfig


def lines_file(path: Path, *texts: str) -> str:
    path.write_text("\n".join(texts) + "\n")
    return str(path)


def mixture(tmp_path: Path, share: float = 3) -> MixtureConfig:
    small = lines_file(tmp_path / "small.txt", *(f"small {number}" for number in range(40)))
    large = lines_file(tmp_path / "large.txt", *(f"a larger document, number {number}" for number in range(400)))
    sources = {
        "small": TextConfig(path=small, document="line", share=share),
        "large": TextConfig(path=large, document="line", share=1),
    }
    return MixtureConfig(sources=sources)


def test_each_source_has_a_store_and_a_split_of_its_own(tmp_path: Path) -> None:
    data = DataConfig(source=mixture(tmp_path), validation_fraction=0.1, cache=str(tmp_path / "cache"))
    corpus = load_corpus(data, BytesConfig())
    assert isinstance(corpus.training, Blend)
    assert isinstance(corpus.validation, Blend)
    assert [(one.name, one.share) for one in corpus.training.portions] == [("small", 3), ("large", 1)]
    assert [one.documents.num_documents for one in corpus.training.portions] == [36, 360]
    assert [one.documents.num_documents for one in corpus.validation.portions] == [4, 40]
    assert (corpus.training.num_documents, corpus.validation.num_documents) == (396, 44)
    assert corpus.training.num_tokens == sum(one.documents.num_tokens for one in corpus.training.portions)
    alone = DataConfig(
        source=TextConfig(path=str(tmp_path / "small.txt"), document="line"),
        validation_fraction=0.1,
        cache=str(tmp_path / "cache"),
    )
    single = load_corpus(alone, BytesConfig())
    assert single.training.fingerprint == corpus.training.portions[0].documents.fingerprint
    assert portions_of(single.training) == (Portion("", 1.0, single.training),)
    assert len(list((tmp_path / "cache" / "store").glob("[0-9a-f]*"))) == 2, "a store serves whoever has its source"


def test_a_share_changes_what_is_trained_on_but_no_store(tmp_path: Path) -> None:
    fingerprints = set()
    for share in (3, 4):
        data = DataConfig(source=mixture(tmp_path, share), validation_fraction=0.1, cache=str(tmp_path / "cache"))
        fingerprints.add(load_corpus(data, BytesConfig()).training.fingerprint)
    assert len(fingerprints) == 2
    assert len(list((tmp_path / "cache" / "store").glob("[0-9a-f]*"))) == 2


def test_the_tokenizer_learns_from_all_sources_side_by_side_by_share(tmp_path: Path) -> None:
    source = mixture(tmp_path)
    texts = list(source.documents())
    assert sorted(texts) == sorted(itertools.chain(*(one.documents() for one in source.sources.values())))
    until = 1 + max(number for number, text in enumerate(texts) if text.startswith("small"))
    small = sum(len(text) + 1 for text in texts[:until] if text.startswith("small"))
    assert small / sum(len(text) + 1 for text in texts[:until]) == pytest.approx(0.75, abs=0.05), "but for one document"
    trained = load_corpus(DataConfig(source=source, cache=str(tmp_path / "cache")), CharactersConfig()).tokenizer
    assert {"s", "g"} <= {trained.token(id) for id in range(trained.vocab_size)}
    assert source.fingerprint() != mixture(tmp_path, 4).fingerprint(), "another order gives another tokenizer"
    assert source.size() == sum(one.size() for one in source.sources.values())


def test_errors_name_the_source(tmp_path: Path) -> None:
    source = mixture(tmp_path)
    (tmp_path / "large.txt").write_bytes(b"bad \xff")
    with pytest.raises(DataError, match=r"source large: .*large\.txt is not valid UTF-8"):
        load_corpus(DataConfig(source=source, cache=str(tmp_path / "cache")), BytesConfig())


TEXT = {"kind": "text", "path": "x"}


@pytest.mark.parametrize(
    "sources, message",
    [
        ({}, "sources: a mixture has two sources or more, not 0"),
        ({"a": {**TEXT, "share": 1}}, "sources: a mixture has two sources or more, not 1"),
        ({"a": {**TEXT, "share": 1}, "b": TEXT}, r"sources\.b\.share: is required in a mixture"),
        ({"a": {**TEXT, "share": 1}, "b": {**TEXT, "share": 0}}, r"sources\.b\.share: 0.* must be above 0"),
        ({"a": {**TEXT, "share": 1}, "b/c": {**TEXT, "share": 1}}, "sources: 'b/c' cannot name a source"),
        ({"a": {**TEXT, "shares": 1}, "b": TEXT}, r"sources\.a\.shares: unknown .* did you mean 'share'"),
    ],
)
def test_mixtures_that_cannot_be_are_refused(sources: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(SourceConfig, {"kind": "mixture", "sources": sources})


def test_a_mixture_of_mixtures_is_refused(tmp_path: Path) -> None:
    inner = {"kind": "mixture", "share": 1, "sources": {"a": {**TEXT, "share": 1}, "b": {**TEXT, "share": 2}}}
    with pytest.raises(ConfigError, match=r"sources\.c\.kind: a mixture cannot be a source of a mixture"):
        build(SourceConfig, {"kind": "mixture", "sources": {"c": inner, "d": {**TEXT, "share": 1}}})


def test_a_share_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"source\.share: 2.* has no effect on a single source"):
        DataConfig(source=TextConfig(path="x", share=2))


def test_config_survives_writing(tmp_path: Path) -> None:
    config = mixture(tmp_path)
    assert build(SourceConfig, to_mapping(config)) == config


def test_the_fingerprint_has_all_parts() -> None:
    one, two = documents_of([[7, 8]]), documents_of([[9]])._replace(fingerprint="other")
    blends = [
        Blend((Portion("a", 1, one), Portion("b", 1, two))),
        Blend((Portion("b", 1, one), Portion("a", 1, two))),
        Blend((Portion("a", 2, one), Portion("b", 1, two))),
        Blend((Portion("a", 1, two), Portion("b", 1, one))),
    ]
    assert len({blend.fingerprint for blend in blends}) == 4


def test_each_source_has_a_filter_of_its_own(tmp_path: Path) -> None:
    source = mixture(tmp_path)
    dropping = dataclasses.replace(source.sources["small"], filter=FilterConfig(minimum_characters=8))
    source = dataclasses.replace(source, sources={**source.sources, "small": dropping})
    corpus = load_corpus(DataConfig(source=source, cache=str(tmp_path / "cache")), BytesConfig())
    assert {name: store.num_documents for name, store in corpus.stores.items()} == {"small": 30, "large": 400}
    assert not [text for text in source.documents() if len(text) < 8]
    assert source.fingerprint() != mixture(tmp_path).fingerprint()
    assert held_out_by_source(corpus.training, corpus.validation) == (
        "small: 2 documents held out, large: 20 documents held out"
    )
    with pytest.raises(ConfigError, match=r"filter: a mixture has none; give it to the sources"):
        dataclasses.replace(source, filter=FilterConfig(deduplicate=True))
