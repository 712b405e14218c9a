"""Makes tiny-dates/translator.keras, the small committed model that the tests load."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from keras_s2s.recipes.dates import date_corpus
from keras_s2s.recipes.quickstart import write_tsv
from keras_s2s.training.run import train
from keras_s2s.training.settings.settings import TrainingSettings

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Trains on 24,000 dates in a temporary folder and keeps only the translator."""
    corpus = date_corpus(24_000, 1_000, 1_000, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name in ("train", "validation"):
            files[name] = Path(folder) / f"{name}.tsv"
            write_tsv(files[name], getattr(corpus, name))
        settings = TrainingSettings(
            output=folder,
            data=str(files["train"]),
            val_data=str(files["validation"]),
            source_tokenizer="char",
            embedding_size=32,
            units=64,
            dropout=0.05,
            batch_size=64,
            epochs=8,
            patience=2,
            learning_rate=4e-3,
            learning_rate_decay=0.3,
            max_source_length=60,
            max_target_length=12,
            beam=3,
        )
        result = train(settings, force=True)
        (HERE / "tiny-dates").mkdir(exist_ok=True)
        shutil.copy(result.path, HERE / "tiny-dates" / "translator.keras")


if __name__ == "__main__":
    main()
