"""The folder of a training, read from outside. What a training does with it is `test_training`."""

import json
from pathlib import Path

from keras_s2s.folder import best_epoch


def test_best_epoch_is_the_one_whose_weights_were_kept(tmp_path: Path) -> None:
    assert best_epoch(tmp_path) is None
    history = [{"val_perplexity": value, "loss": 1.0} for value in (9.0, 7.5, 8.0)]
    (tmp_path / "history.json").write_text(json.dumps(history))

    assert best_epoch(tmp_path / "translator.keras") == {
        "epoch": 2,
        "val_perplexity": 7.5,
        "loss": 1.0,
    }
    assert best_epoch(tmp_path) == best_epoch(tmp_path / "translator.keras")
