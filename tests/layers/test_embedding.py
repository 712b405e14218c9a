"""Tests of embeddings: scale, features, and dropout of words and numbers in training alone."""

import keras
import numpy as np
import pytest

from keras_s2s.layers.embedding import TokenEmbedding, embedding_dropouts, embedding_table
from support.designs import encoder_with

ops = keras.ops
IDS = np.array([[1, 4, 2], [3, 3, 0]])
FEATURES = np.array([[[0, 2], [1, 1], [2, 0]], [[2, 2], [0, 1], [1, 0]]])


def table_of(size):
    table = embedding_table(5, size)
    table.build((None,))
    return table


def rows(table):
    return ops.convert_to_numpy(table.embeddings)


def test_features_are_joined_behind_scaled_tokens():
    table, *feature_tables = (table_of(size) for size in (4, 2, 1))
    embed = TokenEmbedding(table, 1.5, [], feature_tables)
    found = embed(IDS, FEATURES)
    expected = [1.5 * rows(table)[IDS]]
    expected += [rows(each)[FEATURES[:, :, i]] for i, each in enumerate(feature_tables)]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=-1), rtol=1e-6)
    np.testing.assert_allclose(embed.without_dropout(IDS[:, 0]), expected[0][:, 0], rtol=1e-6)


@pytest.mark.parametrize("scale", [1, 2.5])
def test_dropouts_act_in_training_only(scale):
    embed = TokenEmbedding(table_of(4), scale, embedding_dropouts(0.5, 0.5, "float32"))
    plain = scale * rows(embed.table)[IDS]
    for training in (None, False):
        np.testing.assert_allclose(embed(IDS, training=training), plain, rtol=1e-6)
    np.testing.assert_allclose(embed.without_dropout(IDS), plain, rtol=1e-6)
    assert np.any(ops.convert_to_numpy(embed(IDS, training=True)) != plain)


def test_a_shared_table_takes_effect():
    ours, theirs = encoder_with(), encoder_with()
    ours.embedding = theirs.embedding
    np.testing.assert_array_equal(ours.embed(IDS), theirs.embed(IDS))


def dropped(embedding=0.0, word=0.0):
    x = np.ones((40, 10, 25), "float32")
    for dropout in embedding_dropouts(embedding, word, "float32"):
        x = dropout(x, training=True)
    return keras.ops.convert_to_numpy(x)


def test_word_dropout_drops_whole_words_and_scales_the_others():
    x = dropped(word=0.25)
    whole = np.ptp(x, axis=-1) == 0
    assert whole.all()
    # 400 words: the share's standard deviation is 0.022.
    assert abs((x[:, :, 0] == 0).mean() - 0.25) < 0.09
    np.testing.assert_allclose(np.unique(x), [0, 4 / 3], rtol=1e-6)


def test_embedding_dropout_drops_single_numbers():
    x = dropped(embedding=0.25)
    assert abs((x == 0).mean() - 0.25) < 0.03
    assert ((x == 0).mean(axis=-1) > 0).mean() > 0.9
    assert not (np.ptp(x, axis=-1) == 0).any()


def test_without_either_there_is_no_layer():
    assert embedding_dropouts(0.0, 0.0, "float32") == []
    assert len(embedding_dropouts(0.1, 0.1, "float32")) == 2
