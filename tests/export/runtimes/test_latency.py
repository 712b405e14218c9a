"""Every batch gets a timing from a program without Python's TensorFlow."""

from pathlib import Path

import pytest

from keras_s2s.export.errors import ExportError
from keras_s2s.export.runtimes import latency
from keras_s2s.export.runtimes.latency import SIZES, batches_of, measured
from support.served import Served


def test_batches_begin_anew_where_texts_are_few() -> None:
    found = batches_of(["a", "b", "c"])

    assert [len(batch) for batch in found] == list(SIZES)
    assert found[1] == ["a", "b", "c", "a", "b", "c", "a", "b"]


def test_batches_are_valid_utf_8() -> None:
    assert batches_of(["caf\udce9"])[0] == ["caf\N{REPLACEMENT CHARACTER}"]


@pytest.mark.thorough
def test_a_saved_model_is_timed(served_words: Served) -> None:
    found = measured(served_words.folder, [["the cat"], ["the cat"] * 3])

    assert len(found) == 2
    assert all(0 < seconds < 60 for seconds in found)


def test_what_cannot_be_run_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"1 could not be timed: .*Could not find SavedModel"):
        measured(tmp_path / "1", [["a"]])


def test_a_median_is_of_enough_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    monkeypatch.setattr(latency, "SECONDS", 0.0)

    assert latency._median(runs.append, latency._array(["a"], encoded=True)) >= 0
    assert len(runs) == latency.LEAST + 1
