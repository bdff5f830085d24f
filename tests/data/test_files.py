"""Which files a path stands for, and text that is not what it should be."""

import gzip
import os
from pathlib import Path

import pytest

from zoo.data.files import content_fingerprint, content_size, find_files, lines, whole
from zoo.errors import DataError

TXT = [".txt"]


def test_a_file_a_folder_and_a_glob(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt.gz", "c.log", ".hidden.txt", "deep/d.TXT", ".git/e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert find_files(str(tmp_path / "c.log"), TXT) == [tmp_path / "c.log"]
    assert find_files(str(tmp_path), TXT) == [tmp_path / "a.txt.gz", tmp_path / "b.txt", tmp_path / "deep/d.TXT"]
    assert find_files(str(tmp_path / "[bc].*"), TXT) == [tmp_path / "b.txt", tmp_path / "c.log"]
    assert find_files(str(tmp_path / "**/*.TXT"), TXT) == [tmp_path / "deep/d.TXT"]


def test_signs_of_a_glob_in_a_name_are_a_name_where_the_file_exists(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("x")
    assert find_files(str(tmp_path / "a[1].txt"), TXT) == [tmp_path / "a[1].txt"]


@pytest.mark.parametrize(
    "path, message",
    [("gone.txt", "no file or folder at"), ("*.txt", "no file matches"), ("", r"no file in .* ends in \.txt")],
)
def test_nothing_there_is_said(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_files(str(tmp_path / path), TXT)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(DataError, match=r"link\.txt is a link that leads out"):
        find_files(str(folder), TXT)


@pytest.mark.parametrize("packed", [False, True])
def test_text_is_kept_as_it_is(tmp_path: Path, packed: bool) -> None:
    content = "\ufeffone\r\ntwo\n\n caf\u00e9\u2028same line\rstill".encode()
    file = tmp_path / ("a.txt.gz" if packed else "a.txt")
    file.write_bytes(gzip.compress(content) if packed else content)
    assert whole(file) == content.decode()[1:]
    assert "".join(line for _, line in lines(file)) == whole(file)
    assert [offset for offset, _ in lines(file)] == [3, 8, 12, 13]
    assert content_size([file]) == len(content)


@pytest.mark.parametrize("packed", [False, True])
def test_invalid_utf8_names_file_and_byte(tmp_path: Path, packed: bool) -> None:
    content = b"good\nbad \xff here\n"
    file = tmp_path / ("a.txt.gz" if packed else "a.txt")
    file.write_bytes(gzip.compress(content) if packed else content)
    for read in (whole, lambda file: list(lines(file))):
        with pytest.raises(DataError, match=r"a\.txt.* is not valid UTF-8: byte 0xff at offset 9 "):
            read(file)


def test_a_sequence_cut_at_the_end_of_the_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xc3")
    with pytest.raises(DataError, match="byte 0xc3 at offset 3"):
        whole(tmp_path / "a.txt")


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"text" * 1000, mtime=0)[:-20]])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*a\.gz"):
        whole(tmp_path / "a.gz")


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"abc")
    two.write_bytes(b"abc")
    before = content_fingerprint([one])
    assert content_fingerprint([two]) == before
    for content in (b"abd", b"abe", b"abcd", b""):  # at once: the file's time may not have moved
        one.write_bytes(content)
        assert content_fingerprint([one]) != before
    one.write_bytes(b"abc")
    assert content_fingerprint([one]) == before
    os.utime(one, (1, 1))  # old enough to be remembered
    assert content_fingerprint([one]) == before
    one.write_bytes(b"abd")
    assert content_fingerprint([one]) != before
    assert content_fingerprint([one, two]) != content_fingerprint([two, one])
