"""Tests of checkpoints: the best weights, the last epochs and the state of a training."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from keras_s2s.optimization.learning_rates import InverseSquareRoot
from keras_s2s.optimization.moving_average import averaged_weights
from keras_s2s.training.checkpoints import Checkpoint, LastEpochs


class Killed(BaseException):
    """Stands for a kill: nothing in the code under test may catch it."""


def small_model() -> keras.Model:
    """A regression with dropout, whose random state decides what is learned."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse", run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model: keras.Model, checkpoint: Checkpoint, epochs: int) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(32, 4)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model.fit(
        x,
        y,
        batch_size=8,
        epochs=epochs,
        initial_epoch=checkpoint.epoch,
        validation_data=(x, y),
        shuffle=False,
        verbose=0,
        callbacks=[checkpoint],
    )


def checkpoint_in(folder: Path, **given: Any) -> Checkpoint:
    return Checkpoint(folder, given.pop("save_best", lambda: None), **given)


@pytest.fixture
def states(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"


def after(values: list[float], checkpoint: Checkpoint, model: keras.Model) -> None:
    """Tells the checkpoint of so many epochs with these values."""
    checkpoint.set_model(model)
    for epoch, value in enumerate(values, start=checkpoint.epoch):
        checkpoint.on_epoch_end(epoch, {"val_perplexity": value, "loss": 1.0})


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [*model.get_weights(), *(np.array(v) for v in model.optimizer.variables)]


def test_best_is_saved_when_the_value_falls_and_only_then(states: Path) -> None:
    saved: list[int] = []
    checkpoint = checkpoint_in(states, save_best=lambda: saved.append(checkpoint.epoch))

    after([9.0, 8.0, 8.0, 8.5, 7.0], checkpoint, small_model())

    assert saved == [1, 2, 5]
    assert (checkpoint.best, checkpoint.best_epoch, checkpoint.epoch) == (7.0, 5, 5)


def test_learning_rate_decays_after_an_epoch_without_improvement(states: Path) -> None:
    model = small_model()
    checkpoint = checkpoint_in(states, decay=0.5)

    after([9.0, 9.5, 8.0, 8.0, 7.0], checkpoint, model)

    used = [epoch["learning_rate"] for epoch in checkpoint.history]
    assert used == pytest.approx([0.05, 0.05, 0.025, 0.025, 0.0125])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0125)


def test_learning_rate_waits_for_its_own_patience(states: Path) -> None:
    checkpoint = checkpoint_in(states, decay=0.5, decay_patience=2, patience=9)

    after([9.0, 9.5, 9.5, 9.5, 9.5, 8.0, 9.0, 9.0], checkpoint, small_model())

    used = [epoch["learning_rate"] for epoch in checkpoint.history]
    assert used == pytest.approx([0.05] * 3 + [0.025] * 2 + [0.0125] * 3)


def test_a_value_that_should_rise_is_best_when_it_is_highest(states: Path) -> None:
    saved: list[int] = []
    checkpoint = checkpoint_in(
        states, save_best=lambda: saved.append(checkpoint.epoch), higher_is_better=True, patience=2
    )

    after([1.0, 3.0, 3.0, 2.0], checkpoint, small_model())

    assert saved == [1, 2]
    assert (checkpoint.best, checkpoint.best_epoch, checkpoint.finished) == (3.0, 2, True)


def test_a_schedule_of_the_rate_is_left_alone_and_recorded(states: Path) -> None:
    model = small_model()
    model.compile(keras.optimizers.Adam(InverseSquareRoot(0.1, 4)), "mse")
    model.optimizer.build(model.trainable_variables)
    checkpoint = checkpoint_in(states, decay=1.0, patience=9)

    after([9.0, 9.5], checkpoint, model)

    assert [epoch["learning_rate"] for epoch in checkpoint.history] == pytest.approx([0.025] * 2)


def test_what_is_saved_holds_the_moving_average_and_the_state_both(states: Path) -> None:
    model = small_model()
    model.compile(keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9), "mse")
    saved: list[list[np.ndarray]] = []
    checkpoint = checkpoint_in(
        states, save_best=lambda: saved.append(model.get_weights()), monitor="loss"
    )
    kept = LastEpochs(
        states / "epochs", lambda path: saved.append(model.get_weights()), 1, monitor="loss"
    )
    checkpoint.set_model(model)
    kept.set_model(model)
    x = np.ones((8, 4), "float32")
    # By hand: at the end of `fit`, Keras leaves the average in the model.
    for _ in range(3):
        model.train_on_batch(x, x[:, :1])
    raw = model.get_weights()
    kept.on_epoch_end(0, {"loss": 1.0})
    checkpoint.on_epoch_end(0, {"loss": 1.0})

    restored = checkpoint_in(states).restore()
    assert restored is not None
    with averaged_weights(restored) as averaged:
        assert averaged
        expected = restored.get_weights()
    assert np.any(expected[0] != raw[0])
    for weights in saved:
        for ours, theirs in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(restored.get_weights(), raw, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(saved) == 2


def test_training_stops_after_patience_epochs_without_improvement(states: Path) -> None:
    model = small_model()
    checkpoint = checkpoint_in(states, patience=2)

    after([5.0, 6.0], checkpoint, model)
    assert not checkpoint.finished
    assert not model.stop_training
    after([7.0], checkpoint, model)
    assert checkpoint.finished
    assert model.stop_training


def test_training_stops_when_the_value_is_no_number(states: Path) -> None:
    model = small_model()
    checkpoint = checkpoint_in(states)

    after([5.0, float("nan")], checkpoint, model)

    assert model.stop_training
    assert checkpoint.best_epoch == 1


def test_only_the_newest_state_is_kept(states: Path) -> None:
    checkpoint = checkpoint_in(states)
    (states / ".tmp-epoch-0001").mkdir(parents=True)
    (states / "tokenizers.json").touch()

    after([3.0, 2.0, 1.0], checkpoint, small_model())

    assert sorted(path.name for path in states.iterdir()) == ["epoch-0003", "tokenizers.json"]


def test_nothing_is_restored_from_an_empty_folder(states: Path) -> None:
    checkpoint = checkpoint_in(states)

    assert checkpoint.restore() is None
    assert (checkpoint.epoch, checkpoint.best_epoch) == (0, 0)


def test_restored_state_is_what_was_saved(states: Path) -> None:
    model = small_model()
    saving = checkpoint_in(states, monitor="val_loss")
    fit(model, saving, epochs=2)

    restoring = checkpoint_in(states, monitor="val_loss")
    restored = restoring.restore()

    assert restored is not None
    for ours, theirs in zip(weights_of(restored), weights_of(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(restored.variables, model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name in ("best", "best_epoch", "epoch", "history"):
        assert getattr(restoring, name) == getattr(saving, name)


def test_going_on_is_as_if_there_had_been_no_break(states: Path, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    whole = small_model()
    without_break = checkpoint_in(tmp_path / "whole", monitor="val_loss", decay=0.1, patience=9)
    fit(whole, without_break, epochs=5)

    keras.utils.set_random_seed(3)
    fit(small_model(), checkpoint_in(states, monitor="val_loss", decay=0.1, patience=9), epochs=2)
    keras.utils.set_random_seed(99)
    second = checkpoint_in(states, monitor="val_loss", decay=0.1, patience=9)
    model = second.restore()
    assert model is not None
    fit(model, second, epochs=5)

    assert second.history == without_break.history
    for ours, theirs in zip(weights_of(model), weights_of(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def half_a_model(model: keras.Model, path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 half of it")
    raise Killed


def killed(*_: Any, **__: Any) -> None:
    raise Killed


@pytest.mark.parametrize(
    ("attribute", "replacement"),
    [
        (
            "keras_s2s.training.checkpoints.shutil",
            SimpleNamespace(rmtree=killed),
        ),  # before anything is written
        ("keras.Model.save", half_a_model),
        ("pathlib.Path.write_text", killed),  # of progress.json
        ("pathlib.Path.rename", killed),
    ],
)
def test_kill_while_saving_leaves_the_state_before(
    states: Path, monkeypatch: pytest.MonkeyPatch, attribute: str, replacement: Any
) -> None:
    model = small_model()
    after([5.0], checkpoint_in(states), model)
    second = checkpoint_in(states)
    second.restore()
    monkeypatch.setattr(attribute, replacement)
    with pytest.raises(Killed):
        after([4.0], second, model)
    monkeypatch.undo()

    third = checkpoint_in(states)
    assert third.restore() is not None
    assert third.epoch == 1
    after([4.0], third, model)
    assert [path.name for path in states.iterdir()] == ["epoch-0002"]


def test_kill_while_old_states_are_removed_leaves_the_new_one(
    states: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model()
    checkpoint = checkpoint_in(states)
    after([5.0], checkpoint, model)

    def half_of_it(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            (path / "model.keras").unlink()
            raise Killed

    monkeypatch.setattr("keras_s2s.training.checkpoints.shutil", SimpleNamespace(rmtree=half_of_it))
    with pytest.raises(Killed):
        after([4.0], checkpoint, model)
    monkeypatch.undo()

    second = checkpoint_in(states)
    assert second.restore() is not None
    assert second.epoch == 2


def test_best_is_saved_before_the_state_that_names_it(states: Path) -> None:
    found: list[bool] = []
    checkpoint = checkpoint_in(states, save_best=lambda: found.append(states.exists()))

    after([5.0], checkpoint, small_model())

    assert found == [False]
    progress = json.loads((states / "epoch-0001" / "progress.json").read_text(encoding="utf-8"))
    assert progress["best_epoch"] == 1


def test_unknown_monitor_is_refused(states: Path) -> None:
    checkpoint = checkpoint_in(states, monitor="val_bleu")
    checkpoint.set_model(small_model())

    with pytest.raises(
        ValueError, match=r"`monitor` must be one of .*, loss, val_loss; got 'val_b"
    ):
        checkpoint.on_epoch_end(0, {"val_loss": 1.0, "loss": 1.0, "accuracy": 0.5})


@pytest.mark.parametrize("given", [{"patience": 0}, {"decay": 0.0}, {"decay": 1.5}])
def test_options_that_cannot_work_are_refused(states: Path, given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        checkpoint_in(states, **given)


def epochs_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*"))


def test_files_of_the_last_epochs_are_kept(tmp_path: Path) -> None:
    saved: list[str] = []

    def save(path: Path) -> None:
        saved.append(path.name)
        path.write_text("weights", encoding="utf-8")

    kept = LastEpochs(tmp_path / "epochs", save, 2)
    for epoch in range(4):
        kept.on_epoch_end(epoch, {"val_perplexity": 5.0})
        assert epochs_in(tmp_path / "epochs")[-1] == f"epoch-{epoch + 1:03d}.keras"
    assert saved == [f"epoch-{number:03d}.keras" for number in (1, 2, 3, 4)]
    assert epochs_in(tmp_path / "epochs") == ["epoch-003.keras", "epoch-004.keras"]

    # Going on after epoch 2: what a longer run left behind is not of this one.
    kept.on_epoch_end(2, {"val_perplexity": 5.0})
    assert epochs_in(tmp_path / "epochs") == ["epoch-003.keras"]


def test_epoch_that_diverged_leaves_no_file(tmp_path: Path) -> None:
    kept = LastEpochs(tmp_path, lambda path: path.touch(), 3)
    kept.on_epoch_end(0, {"val_perplexity": 5.0})
    kept.on_epoch_end(1, {"val_perplexity": float("nan")})
    assert epochs_in(tmp_path) == ["epoch-001.keras"]


def test_no_epochs_are_kept_unless_asked_for(tmp_path: Path) -> None:
    LastEpochs(tmp_path / "epochs", lambda path: path.touch(), 0).on_epoch_end(0, {})
    assert not (tmp_path / "epochs").exists()
    with pytest.raises(ValueError, match="`count` must be at least 0; got -1"):
        LastEpochs(tmp_path, lambda path: None, -1)
