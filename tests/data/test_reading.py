"""Tests of lines and pairs of lines: what splits a line, what is refused, and the messages."""

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_s2s.data.reading import (
    CorpusError,
    decode_lines,
    group_references,
    read_lines,
    read_pairs,
    read_parallel,
    read_references,
    read_tsv,
)

# Everything but LF, which ends a line, and lone surrogates, which UTF-8 cannot hold.
LINES = st.lists(
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), min_size=1
)


def file(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(pairs: object) -> str:
    with pytest.raises(CorpusError) as caught:
        list(pairs)  # type: ignore[call-overload]
    return str(caught.value)


@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_lf_and_crlf_end_a_line(tmp_path: Path, inside: str) -> None:
    path = file(tmp_path, "a", f"one{inside}line\ntwo\r\n\r\nfour{inside}")
    assert list(read_lines(path)) == [f"one{inside}line", "two", "", f"four{inside}"]


@given(lines=LINES, end=st.sampled_from(["\n", "\r\n"]), closed=st.booleans())
def test_lines_come_back_as_they_were_written(lines: list[str], end: str, closed: bool) -> None:
    # A mark at the start is dropped, a CR before LF belongs to the line end, and a last line
    # without text and line end is none: what the rules make ambiguous is left out here.
    lines = [line.rstrip("\r") for line in lines]
    lines[0] = lines[0].lstrip("\ufeff")
    closed = closed or not lines[-1]
    content = end.join(lines) + (end if closed else "")
    assert list(decode_lines(io.BytesIO(content.encode()))) == lines


def test_byte_order_mark_is_dropped_at_the_start_only() -> None:
    content = "\ufeffone\n\ufefftwo\n".encode()
    assert list(decode_lines(io.BytesIO(content))) == ["one", "\ufefftwo"]
    assert list(decode_lines(io.BytesIO(b"\xef\xbb\xbf"))) == []
    assert list(decode_lines(io.BytesIO(b"\xef\xbb\xbf\n"))) == [""]


def test_empty_file_has_no_lines_and_empty_lines_stay_in_place(tmp_path: Path) -> None:
    assert list(read_lines(file(tmp_path, "a", ""))) == []
    assert list(read_lines(file(tmp_path, "b", "\n\nx\n\n"))) == ["", "", "x", ""]


def test_bytes_that_are_not_utf8_are_named_with_line_and_offset(tmp_path: Path) -> None:
    # Mark 3 bytes, "gut\n" 4, "ja\r\n" 4, then "sch" 3: the bad byte is number 14 from 0.
    path = file(tmp_path, "a.de", b"\xef\xbb\xbfgut\nja\r\nsch\xf6n\n")
    message = refusal(read_lines(path))
    assert f"`{path}` is not UTF-8: line 3, byte offset 14 is 0xf6" in message
    assert path.read_bytes()[14] == 0xF6
    with pytest.raises(CorpusError, match=r"^standard input is not UTF-8: line 1, byte offset 0 "):
        list(decode_lines(io.BytesIO(b"\xff\xfea\0")))


def test_lines_before_the_bad_one_are_given(tmp_path: Path) -> None:
    lines = read_lines(file(tmp_path, "a", b"one\n\xff\n"))
    assert next(lines) == "one"
    with pytest.raises(CorpusError, match="line 2, byte offset 4"):
        next(lines)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert refusal(read_lines(missing)) == f"No such file: `{missing}`. Check the path."
    assert "directory" in refusal(read_lines(tmp_path)).lower()
    assert str(missing) in refusal(read_parallel(file(tmp_path, "a", "x\n"), missing))


def test_parallel_files_give_pairs_in_order_with_empty_sides(tmp_path: Path) -> None:
    source, target = file(tmp_path, "a", "one\n\nthree"), file(tmp_path, "b", "eins\r\nzwei\r\n \n")
    assert list(read_parallel(source, target)) == [("one", "eins"), ("", "zwei"), ("three", " ")]


@pytest.mark.parametrize(("lines", "others"), [(3, 5), (5, 3), (0, 1)])
def test_different_line_counts_are_refused_with_both(
    tmp_path: Path, lines: int, others: int
) -> None:
    source, target = file(tmp_path, "a", "x\n" * lines), file(tmp_path, "b", "y\n" * others)
    message = refusal(read_parallel(source, target))
    assert f"`{source}` has {lines} lines and `{target}` has {others}." in message


def test_files_without_lines_or_without_text_are_refused(tmp_path: Path) -> None:
    empty, blank = file(tmp_path, "a", ""), file(tmp_path, "b", " \n\u2003\n")
    assert "No lines in" in refusal(read_parallel(empty, empty))
    assert "No lines in" in refusal(read_tsv(empty))
    assert "2 lines in" in refusal(read_parallel(blank, file(tmp_path, "c", "x\ny\n")))
    assert "no pair has text" in refusal(read_tsv(blank))
    assert "no pair has text" in refusal(read_tsv(file(tmp_path, "d", "x\t\n\ty\n")))


def test_tsv_gives_pairs_and_blank_lines_as_empty_ones(tmp_path: Path) -> None:
    path = file(tmp_path, "a.tsv", "one\teins\r\n\n\tzwei\n three \tdrei")
    pairs = [("one", "eins"), ("", ""), ("", "zwei"), (" three ", "drei")]
    assert list(read_tsv(path)) == pairs


@pytest.mark.parametrize(("line", "columns"), [("no tab", 1), ("a\tb\tCC-BY", 3), ("\t\t\t", 4)])
def test_tsv_line_with_other_columns_is_refused(tmp_path: Path, line: str, columns: int) -> None:
    path = file(tmp_path, "a.tsv", f"one\teins\n{line}\n")
    message = refusal(read_tsv(path))
    assert f"`{path}`, line 2: expected 2 columns, source<TAB>target; got {columns}." in message
    assert ("cut -f1,2" in message) == (columns > 2)


def test_reading_and_corpus_need_no_tensorflow() -> None:
    code = (
        "import sys, keras_s2s.data.corpus, keras_s2s.data.reading;"
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\[\]\s*", run.stdout)


def test_targets_of_a_source_on_several_lines_are_its_references() -> None:
    pairs = [("read", "R IY D"), ("dog", "D"), ("read", "R EH D"), ("read", "R IY D"), ("", "")]

    assert group_references(pairs) == (["read", "dog"], [["R IY D", "R EH D"], ["D"]])


def test_references_of_several_files_belong_line_for_line(tmp_path: Path) -> None:
    source, first, second = (tmp_path / name for name in ("s", "a", "b"))
    source.write_text("1\n2\n", encoding="utf-8")
    first.write_text("one\ntwo\n", encoding="utf-8")
    second.write_text("un\n\n", encoding="utf-8")

    assert read_references(source, [first]) == (["1", "2"], [["one"], ["two"]])
    assert read_references(source, [first, second]) == (["1", "2"], [["one", "un"], ["two"]])
    second.write_text("un\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="has 2 lines and"):
        read_references(source, [first, second])


def test_pairs_come_from_two_files_or_one_tsv(tmp_path: Path) -> None:
    source, target = file(tmp_path, "source", "a\nb\n"), file(tmp_path, "target", "x\ny\n")
    data = file(tmp_path, "pairs.tsv", "a\tx\nb\ty\na\tz\n")

    assert list(read_pairs(source, target)) == [("a", "x"), ("b", "y")]
    assert list(read_pairs(data=data)) == [("a", "x"), ("b", "y"), ("a", "z")]
    assert read_references(data=data) == (["a", "b"], [["x", "z"], ["y"]])


@pytest.mark.parametrize(
    "given", [(), ("source",), (None, "target"), ("source", None, "data"), ("s", "t", "data")]
)
def test_half_a_parallel_text_and_two_of_them_are_refused(given: tuple[str | None, ...]) -> None:
    with pytest.raises(ValueError, match="two files, `source` and `target`, or one TSV, `data`"):
        read_pairs(*given)


@pytest.mark.parametrize(
    ("given", "data"), [((), None), (("source",), None), (("source", ["target"]), "data")]
)
def test_references_need_parallel_files_or_one_tsv(
    given: tuple[Any, ...], data: str | None
) -> None:
    with pytest.raises(ValueError, match="A parallel text is two files"):
        read_references(*given, data=data)
