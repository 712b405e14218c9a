"""Loads pretrained word vectors of word2vec or GloVe into an embedding layer."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from keras_s2s.data.reading import CorpusError, read_lines


def load_embedding(embedding: Any, path: str | PathLike[str], tokens: Sequence[str]) -> int:
    r"""Loads word vectors from a file into the rows of an embedding layer.

    Each line of the file has a token and its numbers, separated by spaces. This is the format of
    GloVe and the text format of word2vec, in which the first line gives the number of vectors and
    their width. Tokens must match to the letter. A token that is not in the file keeps its row. If
    a token occurs twice in the file, its first vector counts. The file is read once, a line at a
    time.

    Args:
        embedding: a `keras.layers.Embedding`, such as `encoder.embedding`.
        path: UTF-8 text file with the vectors.
        tokens: the token of each id, one per row of the embedding.

    Returns:
        The number of rows that got a vector.

    Raises:
        CorpusError: If the file cannot be read, or if a line does not have a token and as many
            numbers as the embedding is wide. The embedding then stays as it was.
        ValueError: If there are not as many tokens as rows, or if no token is in the file.

    Example:
    >>> import keras, pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp(), "vectors.txt")
    >>> _ = file.write_text("cat 1 2\ndog 3 4\n")
    >>> embedding = keras.layers.Embedding(3, 2)
    >>> load_embedding(embedding, file, ["<pad>", "dog", "bird"])
    1
    >>> embedding.get_weights()[0][1].tolist()
    [3.0, 4.0]
    """
    rows, width = embedding.input_dim, embedding.output_dim
    if len(tokens) != rows:
        raise ValueError(
            f"`tokens` must name every row of the embedding; got {len(tokens)} tokens for {rows} "
            "rows."
        )
    places: dict[str, list[int]] = {}
    for place, token in enumerate(tokens):
        places.setdefault(token, []).append(place)
    if not embedding.built:
        embedding.build((None, None))
    table = np.array(embedding.get_weights()[0])
    loaded = 0
    for number, line in enumerate(read_lines(path), 1):
        # Splits from the right because some files have tokens with spaces inside.
        token, *numbers = line.rstrip(" ").rsplit(" ", width)
        if len(numbers) != width:
            parts = line.split()
            if number == 1 and len(parts) == 2 and all(part.isdecimal() for part in parts):
                _check_width(path, int(parts[1]), width)
                continue
            if not line.strip():
                continue
            raise _line_error(path, number, width, f"{max(len(parts) - 1, 0)} numbers")
        if number == 1 and width == 1 and token.isdecimal() and numbers[0] == "1":
            continue  # the header of a file with vectors of width 1
        if number == 1 and " " in token and _all_numbers(token.split(" ")[1:]):
            _check_width(path, len(line.split()) - 1, width)  # not a token with spaces inside
        for place in places.pop(token, ()):
            try:
                table[place] = [float(part) for part in numbers]
            except ValueError as error:
                raise _line_error(path, number, width, str(error)) from error
            if not np.isfinite(table[place]).all():
                raise _line_error(path, number, width, "one that is not finite")
            loaded += 1
    if not loaded:
        raise ValueError(
            f"None of the {rows} tokens is in `{path}`. The file must spell tokens as the "
            "vocabulary does: as words for a word tokenizer, and with the same case."
        )
    embedding.set_weights([table])
    return loaded


def _all_numbers(parts: list[str]) -> bool:
    try:
        return all(isinstance(float(part), float) for part in parts)
    except ValueError:
        return False


def _check_width(path: Any, width: int, expected: int) -> None:
    if width != expected:
        raise CorpusError(
            f"`{path}` holds vectors of width {width}; the embedding is {expected} wide. Set "
            f"embedding_size={width}."
        )


def _line_error(path: Any, number: int, width: int, received: str) -> CorpusError:
    return CorpusError(
        f"`{path}`, line {number}: expected a token and {width} finite numbers, as wide as the "
        f"embedding, separated by spaces; got {received}."
    )
