"""Which files a path stands for, and text that is not what it should be."""

import gzip
import os
import sys
from pathlib import Path

import pytest

from zoo.data.files import content_fingerprint, content_size, find_files, lines, whole
from zoo.errors import DataError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TXT = [".txt"]
PACKERS = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}
"""What packs the content of a file, by the ending of its name."""


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


@pytest.mark.parametrize("ending", PACKERS)
def test_text_is_kept_as_it_is(tmp_path: Path, ending: str) -> None:
    content = "\ufeffone\r\ntwo\n\n caf\u00e9\u2028same line\rstill".encode()
    file = tmp_path / f"a.txt{ending}"
    file.write_bytes(PACKERS[ending](content))
    assert whole(file) == content.decode()[1:]
    assert "".join(line for _, line in lines(file)) == whole(file)
    assert [offset for offset, _ in lines(file)] == [3, 8, 12, 13]
    assert content_size([file]) == len(content)


@pytest.mark.parametrize("ending", PACKERS)
def test_invalid_utf8_names_file_and_byte(tmp_path: Path, ending: str) -> None:
    content = b"good\nbad \xff here\n"
    file = tmp_path / f"a.txt{ending}"
    file.write_bytes(PACKERS[ending](content))
    for read in (whole, lambda file: list(lines(file))):
        with pytest.raises(DataError, match=r"a\.txt.* is not valid UTF-8: byte 0xff at offset 9 "):
            read(file)


def test_a_sequence_cut_at_the_end_of_the_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xc3")
    with pytest.raises(DataError, match="byte 0xc3 at offset 3"):
        whole(tmp_path / "a.txt")


@pytest.mark.parametrize("ending", [".gz", ".zst", ".GZ"])
@pytest.mark.parametrize("part", [0, -20])
def test_a_damaged_packed_file_is_named(tmp_path: Path, ending: str, part: int) -> None:
    whole_file = PACKERS[ending.lower()](os.urandom(1000).hex().encode())
    (tmp_path / f"a{ending}").write_bytes(whole_file[:part] if part else b"not packed")
    with pytest.raises(DataError, match=r"cannot read .*a\."):
        whole(tmp_path / f"a{ending}")


def test_packed_files_count_in_a_folder_unless_they_cannot_be_packed(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt.gz", "c.txt.zst"):
        (tmp_path / name).write_bytes(b"x")
    assert len(find_files(str(tmp_path), TXT)) == 3
    assert find_files(str(tmp_path), TXT, packed=False) == [tmp_path / "a.txt"]
    with pytest.raises(DataError, match=r"ends in \.md; files of other names"):
        find_files(str(tmp_path), [".md"], packed=False)


def test_frames_one_after_another_are_one_text(tmp_path: Path) -> None:
    (tmp_path / "a.zst").write_bytes(zstd.compress(b"one ") + zstd.compress(b"two"))
    assert whole(tmp_path / "a.zst") == "one two"


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
