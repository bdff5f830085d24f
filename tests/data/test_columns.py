"""The column of a table: found by name, read as text."""

import pytest

from zoo.data.columns import check_column, column_texts
from zoo.errors import DataError

pyarrow = pytest.importorskip("pyarrow", reason="an extra: transformer-zoo[datasets]")


def where(number: int) -> str:
    return f"row {number + 1}"


@pytest.mark.parametrize(
    "values, kind, expected",
    [
        (["one", None, "café"], "string", ["one", "", "café"]),
        (["one", ""], "large_string", ["one", ""]),
        ([["one", "two"], None, [], ["three", None]], "list", ["one\n\ntwo", "", "", "three"]),
        ([None, None], "null", ["", ""]),
    ],
)
def test_what_counts_as_text(values: list, kind: str, expected: list[str]) -> None:
    kinds = {
        "string": pyarrow.string(),
        "large_string": pyarrow.large_string(),
        "list": pyarrow.list_(pyarrow.string()),
        "null": pyarrow.null(),
    }
    array = pyarrow.array(values, kinds[kind])
    assert list(column_texts(array, where)) == expected
    assert list(column_texts(pyarrow.chunked_array([array, array]), where)) == 2 * expected


def test_words_of_a_dictionary_are_text() -> None:
    assert list(column_texts(pyarrow.array(["a", "b", "a"]).dictionary_encode(), where)) == ["a", "b", "a"]


@pytest.mark.parametrize("values", [[1, 2], [[1]], [{"text": "x"}], [b"x"]])
def test_other_columns_are_refused(values: list) -> None:
    with pytest.raises(DataError, match="row 1: the column must hold text or lists of texts, not"):
        list(column_texts(pyarrow.array(values), where))


def test_bytes_that_are_no_text_are_named_with_their_row() -> None:
    broken = pyarrow.array([b"fine", b"bad \xff"]).view(pyarrow.string())
    with pytest.raises(DataError, match="row 2: is not valid UTF-8"):
        list(column_texts(broken, where))


def test_a_column_must_be_there_once() -> None:
    check_column("text", ["id", "text"], "a.csv:")
    with pytest.raises(DataError, match=r"a\.csv: unknown column 'txt'; did you mean 'text'\? \(legal: id, text\)"):
        check_column("txt", ["id", "text"], "a.csv:")
    with pytest.raises(DataError, match=r"a\.csv: column 'id' is there 2 times"):
        check_column("id", ["id", "id"], "a.csv:")
