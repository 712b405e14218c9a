"""Real corpora are read whole and tokenised equally everywhere, and a short training learns."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_s2s.data.corpus import Corpus
from keras_s2s.data.reading import read_parallel, read_tsv
from keras_s2s.text import train_tokenizer
from keras_s2s.training.settings.settings import TrainingSettings

pytestmark = pytest.mark.corpora


def test_multi30k_is_read_whole(corpora: Path) -> None:
    raw = corpora / "multi30k" / "raw"
    pairs = list(read_parallel(raw / "train.en", raw / "train.de"))
    assert len(pairs) == 29_000
    assert pairs[0] == (
        "Two young, White males are outside near many bushes.",
        "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    )


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char", "word"])
def test_real_sentences_have_equal_ids_in_python_and_in_the_graph(corpora: Path, kind: str) -> None:
    import tensorflow as tf

    raw = corpora / "multi30k" / "raw"
    lines = [german for _, german in read_parallel(raw / "train.en", raw / "train.de")][:4000]
    size = None if kind == "char" else 1500
    tokenizer = train_tokenizer(kind, lines, size)  # type: ignore[arg-type]
    held_out = (raw / "val.de").read_text(encoding="utf-8").splitlines()
    ids = tokenizer.encode(held_out)
    assert tokenizer.module().encode(tf.constant(held_out)).to_list() == ids
    if kind in ("unigram", "bpe"):
        # Subwords lose nothing but characters the training lines lack, and runs of spaces.
        back = tokenizer.decode(ids)
        same = sum(
            " ".join(a.split()) == b for a, b in zip(held_out, back, strict=True) if "⁇" not in b
        )
        assert same > 0.97 * len(held_out)


def test_padding_is_a_small_share_of_real_batches(corpora: Path) -> None:
    raw = corpora / "multi30k" / "raw"
    words = train_tokenizer(
        "word", [line for pair in read_parallel(raw / "val.en", raw / "val.de") for line in pair]
    )
    corpus = Corpus(read_parallel(raw / "train.en", raw / "train.de"), words, words)
    assert corpus.plan(batch_tokens=4096, shuffle_seed=1).padding() < 0.1


@pytest.mark.thorough
def test_letters_to_phones_learns_and_speaks_phones(corpora: Path, tmp_path: Path) -> None:
    """Characters in, words (phones) out: another task than translation, by the same road."""
    from keras_s2s.evaluation.metrics import score_outputs
    from keras_s2s.training.run import train
    from keras_s2s.translation.archive import load_translator

    words = (corpora / "cmudict_g2p" / "train.tsv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "train.tsv").write_text("\n".join(words[::28]) + "\n", encoding="utf-8")
    (tmp_path / "val.tsv").write_text("\n".join(words[1::700]) + "\n", encoding="utf-8")
    settings = TrainingSettings(
        output=str(tmp_path / "g2p"),
        data=str(tmp_path / "train.tsv"),
        val_data=str(tmp_path / "val.tsv"),
        source_tokenizer="char",
        target_tokenizer="word",
        embedding_size=32,
        units=64,
        dropout=0.1,
        batch_size=32,
        learning_rate=4e-3,
        epochs=4,
        max_source_length=30,
        max_target_length=30,
    )
    result = train(settings)
    assert result.history[-1]["val_perplexity"] < 0.7 * result.history[0]["val_perplexity"]
    translator = load_translator(result.path)
    held_out = list(read_tsv(tmp_path / "val.tsv"))
    outputs = translator([word for word, _ in held_out])
    phones = {phone for line in words for phone in line.split("\t")[1].split()}
    assert {phone for output in outputs for phone in output.split()} <= phones
    # An untrained model is above 100 %; four epochs on 4,000 words are far below.
    scores = score_outputs(outputs, [answer for _, answer in held_out])
    assert scores.token_error_rate < 0.65
