"""Reads text files as lines, as pairs of lines and as test sets with references.

A line ends only with LF or CR LF. U+2028, U+0085, a vertical tab or a lone CR inside a sentence
stays in it, so that line *n* of one file is line *n* of the other in every program. Text is UTF-8.
A byte order mark at the start is dropped; nothing else is changed.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from os import PathLike


class CorpusError(ValueError):
    """An error about text that cannot be used. It names the file, the line and the next step."""


def read_lines(path: str | PathLike[str]) -> Iterator[str]:
    """Reads the lines of one file in order, with one line in memory at a time.

    Args:
        path: UTF-8 text file.

    Yields:
        Each line without its line end, empty lines included. A file with no bytes gives no lines.

    Raises:
        CorpusError: If the file is missing, is a folder or cannot be read. Asking for the first
            line raises this error. If bytes are not UTF-8, asking for their line raises it.

    Example:
        ```python
        from pathlib import Path
        from keras_s2s.data.reading import read_lines

        Path("names.txt").write_text("Ada  Grace", encoding="utf-8")
        print(list(read_lines("names.txt")))  # ['Ada  Grace']
        ```
    """
    try:
        stream = open(path, "rb")  # noqa: SIM115 - the `with` below closes it
    except FileNotFoundError as error:
        raise CorpusError(f"No such file: `{path}`. Check the path.") from error
    except OSError as error:
        raise CorpusError(
            f"Cannot read `{path}`: {error.strerror}. Expected a readable text file."
        ) from error
    with stream:
        yield from decode_lines(stream, name=f"`{path}`")


def decode_lines(lines: Iterable[bytes], *, name: str = "standard input") -> Iterator[str]:
    """Decodes the lines of an open binary stream, such as ``sys.stdin.buffer``.

    Args:
        lines: lines as a binary stream gives them. Each ends with LF, except perhaps the last.
        name: name of the stream in error messages.

    Yields:
        Each line without its line end, empty lines included.

    Raises:
        CorpusError: If bytes are not UTF-8. The message has the line number, the byte offset in the
            stream, counted from 0, and the byte.
    """
    offset = 0
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{name} is not UTF-8: line {number}, byte offset {offset + error.start} is "
                f"0x{line[error.start]:02x} ({error.reason}). Convert it first, for example with "
                "`iconv -f ISO-8859-1 -t UTF-8`, naming the encoding that it has."
            ) from error
        if number == 1 and line.startswith(codecs.BOM_UTF8):
            text = text[1:]
            if not text:  # a stream that is only the mark has no line
                return
        offset += len(line)
        if text.endswith("\n"):
            text = text[:-2] if text.endswith("\r\n") else text[:-1]
        yield text


def read_pairs(
    source: str | PathLike[str] | None = None,
    target: str | PathLike[str] | None = None,
    data: str | PathLike[str] | None = None,
) -> Iterator[tuple[str, str]]:
    """Reads pairs of sentences from two parallel files, or from one TSV file.

    Args:
        source: a file for `read_parallel`, given together with `target`.
        target: the file with the translations of `source`.
        data: a file for `read_tsv`, in place of `source` and `target`.

    Returns:
        An iterator over ``(source, target)`` in file order, which reads the files as it goes.

    Raises:
        CorpusError: If the files cannot be used, as `read_parallel` and `read_tsv` say.
        ValueError: If neither two files nor one TSV are given.
    """
    if data is not None and source is None and target is None:
        return read_tsv(data)
    if data is None and source is not None and target is not None:
        return read_parallel(source, target)
    raise ValueError(
        "A parallel text is two files, `source` and `target`, or one TSV, `data`; got "
        f"source={source!r}, target={target!r}, data={data!r}."
    )


def read_parallel(
    source: str | PathLike[str], target: str | PathLike[str]
) -> Iterator[tuple[str, str]]:
    r"""Reads pairs of sentences from two files: line *n* of `source` with line *n* of `target`.

    The files are read as the pairs are asked for, so a corpus never has to fit into memory. Pairs
    with an empty side are given too, and `Corpus` skips and counts them.

    Args:
        source: UTF-8 text file, one source sentence per line.
        target: UTF-8 text file with as many lines, the translations.

    Yields:
        ``(source line, target line)`` in file order.

    Raises:
        CorpusError: If a file is missing, cannot be read or is not UTF-8. The error also comes at
            the end of the files if one has more lines than the other, if they have no lines, or if
            no pair has text on both sides.

    Example:
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     english, german = Path(folder, "train.en"), Path(folder, "train.de")
    ...     size = english.write_text("a dog\na cat\n", encoding="utf-8")
    ...     size = german.write_text("ein Hund\neine Katze\n", encoding="utf-8")
    ...     list(read_parallel(english, german))
    [('a dog', 'ein Hund'), ('a cat', 'eine Katze')]
    """
    counts = {"source": 0, "target": 0}
    any_text = False
    for source_line, target_line in zip_longest(read_lines(source), read_lines(target)):
        counts["source"] += source_line is not None
        counts["target"] += target_line is not None
        if source_line is None or target_line is None:
            continue  # the longer file is counted to its end for the message
        any_text = any_text or has_text(source_line, target_line)
        yield source_line, target_line
    if counts["source"] != counts["target"]:
        raise CorpusError(
            f"`{source}` has {counts['source']:,} lines and `{target}` has {counts['target']:,}. "
            "Expected as many in both: line n of one is the translation of line n of the other."
        )
    _check_text(f"`{source}` and `{target}`", counts["source"], any_text)


def read_tsv(path: str | PathLike[str]) -> Iterator[tuple[str, str]]:
    r"""Reads pairs of sentences from one file with lines ``source<TAB>target``.

    The file is read as the pairs are asked for. A blank line counts as a pair with empty sides,
    which `Corpus` skips and counts.

    Args:
        path: UTF-8 text file with exactly one tab in each line that is not blank.

    Yields:
        ``(source, target)`` in file order.

    Raises:
        CorpusError: If the file is missing, cannot be read or is not UTF-8, or if a line has
            another number of columns. The error also comes at the end of the file if it has no
            lines or no pair with text on both sides.

    Example:
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "words.tsv")
    ...     size = file.write_text("DOG\tD AO G\nCAT\tK AE T\n", encoding="utf-8")
    ...     list(read_tsv(file))
    [('DOG', 'D AO G'), ('CAT', 'K AE T')]
    """
    number = 0
    any_text = False
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) == 1 and not line.strip():
            columns = ["", ""]
        if len(columns) != 2:
            advice = (
                "Put one tab between the two sides."
                if len(columns) == 1
                else "Keep two columns, for example with `cut -f1,2`."
            )
            raise CorpusError(
                f"`{path}`, line {number}: expected 2 columns, source<TAB>target; "
                f"got {len(columns)}. {advice}"
            )
        source, target = columns
        any_text = any_text or has_text(source, target)
        yield source, target
    _check_text(f"`{path}`", number, any_text)


def read_references(
    source: str | PathLike[str] | None = None,
    targets: Sequence[str | PathLike[str]] = (),
    *,
    data: str | PathLike[str] | None = None,
) -> tuple[list[str], list[list[str]]]:
    """Reads a test set, which is a list of source sentences with all their references.

    From parallel files, line *n* of `source` has line *n* of every file in `targets` as its
    references. From a TSV, `group_references` gives each source the targets of all lines on which
    it stands.

    Args:
        source: UTF-8 text file, one source sentence per line.
        targets: one or more files with as many lines. A line without text is not a reference,
            except in the first file.
        data: a TSV file in place of `source` and `targets`.

    Returns:
        The sources, and a list of references for each source.

    Raises:
        CorpusError: If a file cannot be used, as `read_parallel` and `read_tsv` say.
        ValueError: If neither parallel files nor one TSV are given.
    """
    if data is not None or source is None or not targets:
        return group_references(read_pairs(source, next(iter(targets), None), data))
    sources: list[str] = []
    references: list[list[str]] = []
    for number, target in enumerate(targets):
        for row, (line, reference) in enumerate(read_parallel(source, target)):
            if number == 0:
                sources.append(line)
                references.append([reference])
            elif reference.strip():
                references[row].append(reference)
    return sources, references


def group_references(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], list[list[str]]]:
    """Collects the targets of each source, where a source may occur in several pairs.

    This makes a test set of a pronunciation dictionary, for example, in which a word with two
    pronunciations stands on two lines. `score_outputs` and `DecodedValidation` take the result.

    Args:
        pairs: (source, target), from `read_tsv` for example. Pairs with an empty side are left out.

    Returns:
        The sources, each once, in the order in which they first occur, and a list of the different
        targets of each source, in their order.

    Example:
    >>> group_references([("READ", "R IY D"), ("DOG", "D AO G"), ("READ", "R EH D")])
    (['READ', 'DOG'], [['R IY D', 'R EH D'], ['D AO G']])
    """
    grouped: dict[str, dict[str, None]] = {}
    for source, target in pairs:
        if has_text(source, target):
            grouped.setdefault(source, {})[target] = None
    return list(grouped), [list(targets) for targets in grouped.values()]


def has_text(source: str, target: str) -> bool:
    """Returns whether both sides of a pair have something other than white space."""
    return bool(source.strip() and target.strip())


def _check_text(names: str, lines: int, any_text: bool) -> None:
    """Raises CorpusError unless there are lines and a pair of them with text on both sides."""
    if not lines:
        raise CorpusError(f"No lines in {names}. Expected at least one pair of sentences.")
    if not any_text:
        raise CorpusError(
            f"{lines:,} lines in {names}, but no pair has text on both sides. "
            "Expected at least one pair of sentences."
        )
