"""Bounded shapes are few and fit every batch; padding is counted and does not change losses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.data.batches import BatchPlan
from keras_s2s.data.length_order import LengthOrder
from keras_s2s.data.shapes import BoundedShapes

RNG = np.random.default_rng(4)
LENGTHS = np.minimum(RNG.geometric(0.08, (2, 900)) + 1, 60)
LENGTHS[1] = np.clip(LENGTHS[0] + RNG.integers(-4, 5, 900), 1, None)  # as in translations
SIZES = pytest.mark.parametrize("size", [{"batch_size": 32}, {"batch_tokens": 700}], ids=str)


class Planned:
    """Batches of these lengths, rounded up."""

    def __init__(self, multiple, **size):
        self.bounded = BoundedShapes(multiple=multiple, **size)
        self.lengths = self.bounded.rounded(LENGTHS)
        order = LengthOrder(lambda *rows: tuple(self.lengths[:, slice(*rows)]), LENGTHS.shape[1])
        self.plan = BatchPlan(order, **size, shuffle_seed=1)

    def shape(self, rows):
        source, target = self.lengths[:, rows].max(axis=1).tolist()
        return self.bounded.rows(source, target), source, target


@SIZES
@pytest.mark.parametrize("multiple", [1, 5, 8])
def test_every_batch_fits_its_shape_which_follows_from_its_lengths(size, multiple):
    planned, found = Planned(multiple, **size), {}
    for epoch in range(3):
        for rows in planned.plan.rows(epoch):
            most, source, target = planned.shape(rows)
            assert len(rows) <= most
            assert 0 <= source - LENGTHS[0][rows].max() < multiple
            assert 0 <= target - LENGTHS[1][rows].max() < multiple
            assert source % multiple == target % multiple == 0
            assert found.setdefault((source, target), most) == most
    if "batch_tokens" in size:
        assert all(b * (s + t) <= 700 or b == 1 for (s, t), b in found.items())
    assert len(found) <= (-(-60 // multiple)) * (-(-64 // multiple))


@SIZES
def test_larger_multiples_give_fewer_shapes(size):
    counts = []
    for multiple in (1, 4, 8, 16):
        planned = Planned(multiple, **size)
        shapes = [{planned.shape(rows) for rows in planned.plan.rows(e)} for e in range(4)]
        counts.append(len(set.union(*shapes)))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] * 4 < counts[0]


# In a corpus

LETTERS = s2s.CharTokenizer(list("abcdefgh"))


def corpus(pairs=50, **given):
    draw = np.random.default_rng(6)
    texts = ["".join(draw.choice(list("abcdefgh"), n)) for n in draw.integers(1, 14, pairs)]
    return s2s.Corpus([(text, text[::-1]) for text in texts], LETTERS, LETTERS, **given)


def rows_of(batches):
    """Every pair that has a weight: its ids without padding, in order."""
    found = []
    for inputs, labels, weights in batches:
        for arrays in zip(inputs["source_ids"], inputs["target_ids"], labels, strict=True):
            found.append([array[array != 0].tolist() for array in arrays])
        assert ((labels != 0) == (weights == 1)).all()
        assert set(np.unique(weights)) <= {0, 1}
    return sorted(row for row in found if row[0])


@pytest.mark.parametrize("size", [{"batch_size": 8}, {"batch_tokens": 90}], ids=str)
@pytest.mark.parametrize("seed", [None, 2])
def test_batches_of_bounded_shapes_hold_the_same_pairs(size, seed):
    arguments = {**size, "shuffle_seed": seed}
    one = corpus()
    plain = list(one.batches(**arguments))
    padded = list(one.batches(**arguments, length_multiple=5))
    assert rows_of(padded) == rows_of(plain)
    shapes = [(labels.shape, inputs["source_ids"].shape) for inputs, labels, _ in padded]
    assert all(t % 5 == s % 5 == 0 for (_, t), (_, s) in shapes)
    if "batch_size" in size:
        assert {b for (b, _), _ in shapes} == {8}  # 50 pairs are no multiple of 8
    counts = []
    for batches, multiple in ((padded, 5), (plain, None)):
        count, padding = one.count_shapes(**arguments, length_multiple=multiple)
        assert count == len({(y.shape, x["source_ids"].shape) for x, y, _ in batches})
        ids = sum(x["source_ids"].size + y.size for x, y, _ in batches)
        real = sum(np.count_nonzero(x["source_ids"]) + np.count_nonzero(y) for x, y, _ in batches)
        assert padding == pytest.approx(1 - real / ids, rel=1e-12)
        counts.append(count)
    assert counts[0] < counts[1]
    assert padding == pytest.approx(one.plan(**arguments).padding(), rel=1e-12)
    dataset = one.dataset(**arguments, length_multiple=5).as_numpy_iterator()
    on_disk = corpus(on_disk=True).batches(**arguments, length_multiple=5)
    for batch, *others in zip(padded, dataset, on_disk, strict=True):
        for other in others:
            tf.nest.map_structure(np.testing.assert_array_equal, batch, other)


def test_drawn_segmentations_of_any_length_fit():
    """What is drawn may be longer than what was planned: lengths grow, rows are as planned."""
    texts = ["abab" * n for n in range(1, 9)]
    tokenizer = s2s.train_tokenizer("unigram", texts * 3, 9)
    drawn = s2s.Corpus(
        [(text, text) for text in texts],
        tokenizer,
        tokenizer,
        source_sampling=s2s.SubwordSampling(0.01),
        target_sampling=s2s.SubwordSampling(0.01),
    )
    arguments = {"batch_tokens": 60, "length_multiple": 4}
    longer = 0
    for epoch in range(5):
        for inputs, labels, weights in drawn.batches(**arguments, shuffle_seed=1, epoch=epoch):
            assert weights.shape == labels.shape == inputs["target_ids"].shape
            assert labels.shape[1] % 4 == inputs["source_ids"].shape[1] % 4 == 0
            longer += labels.size + inputs["source_ids"].size > 60
    assert longer


@pytest.mark.thorough
def test_bounded_shapes_change_neither_losses_nor_gradients():
    one = corpus(20)
    model = s2s.Seq2Seq(
        s2s.Encoder(vocabulary_size=12, embedding_size=4, units=4),
        s2s.Decoder(vocabulary_size=12, embedding_size=4, units=8, attention="concat"),
    )
    model.build()
    start, found = model.get_weights(), []
    for multiple, jit_compile in ((None, False), (8, False), (8, True)):
        model.compile(keras.optimizers.SGD(0.5), jit_compile=jit_compile)
        model.set_weights(start)
        arguments = {"batch_size": 30, "length_multiple": multiple, "shuffle_seed": None}
        ((x, y, weights),) = one.batches(**arguments)
        assert y.shape[0] == (20 if multiple is None else 30)
        logs = model.train_on_batch(x, y, weights, return_dict=True)
        dataset = one.dataset(**arguments)
        found.append(
            (logs, model.evaluate(dataset, verbose=0, return_dict=True), model.get_weights())
        )
    for other in found[1:]:
        assert other[0] == pytest.approx(found[0][0], rel=1e-5)
        assert other[1] == pytest.approx(found[0][1], rel=1e-5)
        for a, b in zip(other[2], found[0][2], strict=True):
            # Float32 sums in another order.
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("multiple", "error"), [(0, ValueError), (2.0, TypeError)])
def test_a_multiple_that_is_none_is_an_error(multiple, error):
    with pytest.raises(error, match="`length_multiple` must be"):
        corpus(5).dataset(batch_size=2, length_multiple=multiple, shuffle_seed=None)
