"""Merged requests get the answers that each would get alone, and the errors of a server."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pytest

from keras_s2s.export.serving.batching import Batcher, padded
from keras_s2s.export.serving.c_api import StatusError
from support.served import Served, strings
from support.translators import texts


class Echo:
    """A session that gives its inputs back, and keeps what it was given."""

    signatures: ClassVar[dict] = {}

    def __init__(self, change: object = None) -> None:
        self.given: list[Mapping[str, np.ndarray]] = []
        self.change = change or dict

    def run(self, signature: str, inputs: Mapping[str, np.ndarray], outputs: object = None) -> dict:
        self.given.append(inputs)
        return self.change(inputs)  # type: ignore[operator]


def ids(*rows: Sequence[int]) -> dict[str, np.ndarray]:
    return {
        "input_ids": np.array(rows, np.int32),
        "input_lengths": np.array([len(row) for row in rows], np.int32),
    }


def test_requests_of_texts_get_what_they_would_get_alone(served_words: Served) -> None:
    session = served_words.session
    requests = [
        {"text": strings([text.encode() for text in given])}
        for given in (texts(2), [""], texts(3, seed=1), ["the cat " * 30])
    ]
    for name in ("serving_default", "beam", "alignments"):
        for request, found in zip(requests, Batcher(session).run(name, requests), strict=True):
            for key, expected in session.run(name, request).items():
                got = found[key][tuple(slice(size) for size in expected.shape)]
                if expected.dtype.kind == "f":
                    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
                else:
                    np.testing.assert_array_equal(got, expected)


def test_requests_of_ids_are_not_changed_by_what_they_are_padded_with(
    served_words: Served,
) -> None:
    # The first element of a request is a real id: read as one, it would change the result.
    requests = [ids([5, 6, 7, 8, 3]), ids([9, 3]), ids([10, 11, 3], [12, 13, 3])]
    batcher = Batcher(served_words.session, (1, 8))

    for request, found in zip(requests, batcher.run("ids", requests), strict=True):
        for key, expected in served_words.session.run("ids", request).items():
            np.testing.assert_allclose(found[key], expected, rtol=1e-5)


def test_padding_is_the_first_element_and_rows_are_copies_of_the_last_requests_first() -> None:
    session = Echo()
    requests = [ids([5, 6, 7]), ids([8], [9])]

    first, second = Batcher(session, (1, 2, 5)).run("ids", requests)

    (given,) = session.given
    assert given["input_ids"].tolist() == [[5, 6, 7], [8, 8, 8], [9, 8, 8], *[[8, 8, 8]] * 2]
    assert given["input_lengths"].tolist() == [3, 1, 1, 1, 1]
    assert first["input_ids"].tolist() == [[5, 6, 7]]
    assert second["input_lengths"].tolist() == [1, 1]


def test_unequal_shapes_are_refused_where_padding_is_off() -> None:
    batcher = Batcher(Echo(), pad_variable_length_inputs=False)

    with pytest.raises(StatusError, match="different shapes and padding is turned off") as caught:
        batcher.run("ids", [ids([5, 6]), ids([7])])
    assert caught.value.code == 9


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"a": np.array(1)}, "must have at least one dimension"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "equal 0th-dimension size"),
        ({"a": np.zeros(9)}, "Task size 9 is larger than maximum input batch size 8"),
    ],
)
def test_requests_that_cannot_be_merged_are_refused(
    request_: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(StatusError, match=message):
        Batcher(Echo(), (8,)).run("any", [request_])


def test_outputs_that_cannot_be_split_are_refused() -> None:
    scalar = Echo(lambda inputs: {"loss": np.float32(1)})
    short = Echo(lambda inputs: {name: array[:1] for name, array in inputs.items()})

    with pytest.raises(StatusError, match="Batched output tensor has 0 dimensions"):
        Batcher(scalar).run("any", [ids([5])])
    with pytest.raises(StatusError, match="does not equal the sum of the 0th dimension sizes"):
        Batcher(short).run("any", [ids([5], [6])])


def test_an_empty_request_among_others_is_refused() -> None:
    with pytest.raises(StatusError, match="Got empty tensor in batch of non-empty tensors"):
        padded(np.zeros((1, 0), np.int32), (1, 3))
    assert padded(np.zeros((0, 2), np.int32), (1, 3)).shape == (0, 3)
