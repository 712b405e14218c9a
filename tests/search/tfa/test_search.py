"""`TFABeamSearch` equals tfa itself (fixtures) and its NumPy oracle (random tables)."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.search import TFABeamSearch
from oracles import reference, tfa_reference
from support.backends import BACKEND, compiled
from support.tfa_cases import BEAMS, encoded, fixture, initial_cells, our_decoder

pytestmark = pytest.mark.backend_neutral

START, END, PAD = 2, 3, 0
# float32 against float32 (fixtures) or float64 (oracle), sums of some ten numbers below 20.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
NAMES = {"step_ids": "step_ids", "parent_ids": "step_parents", "lengths": "lengths"}


def arrays(result):
    return type(result)(*(None if part is None else np.array(part) for part in result))


def check_decoded(found, wanted):
    """Against a mapping of what tfa calls them, with as many steps as were taken."""
    steps = wanted["step_ids"].shape[1]
    assert int(found.steps) == steps
    np.testing.assert_array_equal(found.predicted_ids[:, :steps], wanted["predicted_ids"])
    for ours, theirs in NAMES.items():
        part = getattr(found, ours)
        part = part if part.ndim == 2 else part[:, :steps]
        np.testing.assert_array_equal(part, wanted[theirs], err_msg=ours)
    np.testing.assert_allclose(found.step_scores[:, :steps], wanted["step_scores"], **CLOSE)
    np.testing.assert_allclose(found.log_probs, wanted["log_probs"], **CLOSE)


# tfa itself


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(("width", "length_weight", "coverage_weight"), BEAMS)
def test_fixtures_of_tfa_come_out_again(width, length_weight, coverage_weight):
    model = fixture("tfa_beam")["model"]
    wanted = fixture("tfa_beam")[f"width{width}_length{length_weight}_coverage{coverage_weight}"]
    decoder = our_decoder("lstm_luong", model)
    memory = decoder.memory(encoded(model))
    end = int(model["end_token"])
    search = TFABeamSearch(width, length_weight, coverage_weight, max_length=12)
    taken = wanted["step_ids"].shape[1]

    def run(state):
        def step(tokens, state):
            return decoder.step(tokens, state, memory)

        arguments = {
            "batch_size": 3,
            "source_mask": encoded(model).mask,
            "start_id": int(model["start_token"]),
            "end_id": end,
        }
        return search.decode(step, state, **arguments), search(step, state, **arguments)

    decoded, result = compiled(run)(decoder.initial_state(initial_cells(model), memory))
    decoded, result = arrays(decoded), arrays(result)
    check_decoded(decoded, wanted)
    assert (decoded.predicted_ids[:, taken:] == end).all()

    ids = np.swapaxes(wanted["predicted_ids"], 1, 2)  # (B, K, T)
    ended = np.cumsum(ids == end, axis=2) - (ids == end) > 0
    np.testing.assert_array_equal(result.ids[:, :, :taken], np.where(ended, PAD, ids))
    assert (result.ids[:, :, taken:] == PAD).all()
    np.testing.assert_array_equal(result.lengths, (~ended).sum(axis=2))
    assert result.satisfied.all()


# Random tables against the oracle. A state is a number that the tokens so far have led to.

STATES, VOCABULARY, SOURCE = 97, 6, 4
SOURCE_LENGTHS = np.array([4, 2, 3, 1], "int32")
ENDING = np.array([4.0, 2.0, 0.5, -1.0])  # how readily each sentence ends


class Tables:
    """Sentences of their own logits and weights, `(B, STATES, …)`."""

    def __init__(self, seed=0, rows=4):
        draw = np.random.default_rng(seed)
        self.logits = draw.normal(0, 2, (rows, STATES, VOCABULARY)).astype("float32")
        self.logits[:, :, END] += ENDING[:rows, None]
        kept = np.arange(SOURCE) < SOURCE_LENGTHS[:rows, None]
        self.mask = kept
        scores = np.where(kept[:, None], draw.normal(0, 2, (rows, STATES, SOURCE)), -np.inf)
        self.weights = reference.softmax(scores).astype("float32")

    def start(self, rows=None):
        rows = np.arange(len(self.logits)) if rows is None else np.array(rows)
        return {
            "row": ops.convert_to_tensor(rows.astype("int32")),
            "place": ops.zeros(rows.shape, dtype="int32"),
        }

    def step(self, tokens, state):
        place = (state["place"] * 5 + tokens * 7 + 1) % STATES
        at = state["row"] * STATES + place
        logits, weights = (
            ops.take(ops.convert_to_tensor(x.reshape(-1, x.shape[-1])), at, axis=0)
            for x in (self.logits, self.weights)
        )
        return logits, {"row": state["row"], "place": place}, weights

    def path(self, row, ids):
        """Log-probabilities and weights of each position of a sequence."""
        place, found = 0, []
        for before, token in zip([START, *ids], ids, strict=False):
            place = (place * 5 + before * 7 + 1) % STATES
            log_probs = reference.log_softmax(self.logits[row, place].astype("float64"))
            found.append((log_probs[token], self.weights[row, place]))
        log_probs, weights = zip(*found, strict=True)
        return np.array(log_probs), np.array(weights)

    # What the oracle asks of a wrapper.

    def initial(self, cells, source, memory):
        return tfa_reference.State(cells, np.zeros(1), (np.zeros(source),))

    def oracle_step(self, token, state, values, length):
        row, place = state.cells
        place = (place * 5 + int(token) * 7 + 1) % STATES
        logits = self.logits[row, place].astype("float64")
        weights = self.weights[row, place].astype("float64")
        return logits, tfa_reference.State((row, place), state.attention, (weights,))

    def searched(self, search, rows=None):
        """What the oracle finds, by the names of the fixtures."""

        class Wrapper:
            initial = staticmethod(self.initial)
            step = staticmethod(self.oracle_step)

        rows = list(range(len(self.logits))) if rows is None else rows
        return tfa_reference.beam_search(
            Wrapper(),
            np.zeros((len(rows), SOURCE, 1)),
            SOURCE_LENGTHS[rows],
            [(row, 0) for row in rows],
            start=START,
            end=END,
            width=search.width,
            length_weight=search.length_penalty_weight,
            coverage_weight=search.coverage_penalty_weight,
            most_steps=search.max_length,
        )._asdict()

    def decode(self, search, rows=None):
        mask = self.mask if rows is None else self.mask[rows]
        start = self.start(rows)
        return arrays(search.decode(self.step, start, batch_size=len(mask), source_mask=mask))

    def search(self, search, rows=None, **arguments):
        mask = self.mask if rows is None else self.mask[rows]
        start = self.start(rows)
        return arrays(search(self.step, start, batch_size=len(mask), source_mask=mask, **arguments))


SETTINGS = [
    (1, 0.8, 0.0, 9),
    (2, 0.0, 0.0, 9),
    (3, 0.8, 0.5, 12),
    (4, 2.0, 0.0, 5),
    (5, 1.0, 0.3, 20),
    (4, -0.5, -0.2, 7),
]


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(("width", "length_weight", "coverage_weight", "max_length"), SETTINGS)
def test_random_tables_come_out_as_the_oracle_says(
    width, length_weight, coverage_weight, max_length
):
    search = TFABeamSearch(width, length_weight, coverage_weight, max_length)
    finishes = set()
    for seed in range(4):
        tables = Tables(seed)
        wanted = tables.searched(search)
        check_decoded(tables.decode(search), wanted)
        finishes |= set(wanted["lengths"].max(axis=1).tolist())
    assert len(finishes) > 2  # else nothing ragged was seen


@pytest.mark.parametrize("settings", [(3, 0.8, 0.5, 9), (4, 1.0, 0.0, 9)])
def test_one_program_serves_every_batch(settings):
    search, tables = TFABeamSearch(*settings), Tables(1)

    def run(state, mask):
        found = search.decode(tables.step, state, batch_size=ops.shape(mask)[0], source_mask=mask)
        return tuple(found)

    signature = [
        {name: keras.KerasTensor((None,), "int32") for name in ("row", "place")},
        keras.KerasTensor((None, None), "bool"),
    ]
    program = compiled(run, signature)
    for rows in ([0, 1, 2, 3], [3], [2, 0]):
        found = program(tables.start(rows), ops.convert_to_tensor(tables.mask[rows]))
        kind = type(tables.decode(search))
        check_decoded(arrays(kind(*found)), tables.searched(search, rows))


def test_coverage_can_begin_with_a_mechanisms_first_alignments():
    search, tables = TFABeamSearch(4, 0.5, 1.0, max_length=9), Tables(2)
    first = np.eye(SOURCE)[0]
    tables.initial = lambda cells, source, memory: tfa_reference.State(cells, np.zeros(1), (first,))
    initial = np.tile(first, (4, 1)).astype("float32")
    found = arrays(
        search.decode(
            tables.step,
            tables.start(),
            batch_size=4,
            source_mask=tables.mask,
            initial_coverage=initial,
        )
    )
    check_decoded(found, tables.searched(search))
    plain = tables.decode(search)
    assert not np.array_equal(plain.step_scores, found.step_scores)


# What is tfa's own


def test_the_order_can_depend_on_batch_mates():
    # Row 3 hardly ends, and keeps the others going on.
    search, tables = TFABeamSearch(3, 2.0, 0.0, max_length=20), Tables(8)
    together, alone = tables.decode(search), tables.decode(search, [1])
    assert sorted(together.lengths[1]) == sorted(alone.lengths[0])
    assert together.lengths[1].tolist() != alone.lengths[0].tolist()


def mismatched(decoded, b):
    """Beams whose final length is not that of the ids beside it."""
    ids = decoded.predicted_ids[b].T
    return sum(
        END in row.tolist() and row.tolist().index(END) + 1 != length
        for row, length in zip(ids, decoded.lengths[b], strict=True)
    )


def test_lengths_of_decode_may_not_belong_to_its_ids_but_those_of_a_call_do():
    search, tables = TFABeamSearch(3, 2.0, 0.0, max_length=20), Tables(8)
    decoded, result = tables.decode(search), tables.search(search)
    assert sum(mismatched(decoded, b) for b in range(4))
    for (b, k), length in np.ndenumerate(result.lengths):
        ids = result.ids[b, k].tolist()
        assert length == (ids.index(END) + 1 if END in ids else search.max_length)


@pytest.mark.parametrize("settings", [(3, 0.8, 0.5, 9), (4, 2.0, 0.0, 6)])
def test_everything_in_the_result_of_a_call_belongs_to_its_ids(settings):
    search, tables = TFABeamSearch(*settings), Tables(4)
    result, decoded = tables.search(search), tables.decode(search)
    for (b, k), length in np.ndenumerate(result.lengths):
        log_probs, weights = tables.path(b, result.ids[b, k, :length].tolist())
        np.testing.assert_allclose(result.token_log_probs[b, k, :length], log_probs, **CLOSE)
        np.testing.assert_allclose(result.weights[b, k, :length], weights, **CLOSE)
        np.testing.assert_allclose(result.log_probs[b, k], log_probs.sum(), **CLOSE)
        assert not result.token_log_probs[b, k, length:].any()
        assert not result.weights[b, k, length:].any()
        assert (result.ids[b, k, length:] == PAD).all()
    # The scores are of the step that put the ids in order.
    for b, longest in enumerate(decoded.lengths.max(axis=1)):
        np.testing.assert_array_equal(result.scores[b], decoded.step_scores[b, longest - 1])


def test_weights_are_left_out_on_request():
    search, tables = TFABeamSearch(2, 0.5, 0.5, max_length=6), Tables()
    kept, left = tables.search(search), tables.search(search, keep_weights=False)
    assert left.weights is None
    np.testing.assert_array_equal(kept.ids, left.ids)
    assert search.coverage_penalty_weight  # which still got its weights
    assert TFABeamSearch(2, max_length=6)(tables.step, tables.start(), batch_size=4).weights is None


def never_ends(tokens, state):
    logits = np.float32([0, 0, -50, -99, 3, 2])
    rows = ops.shape(tokens)[0]
    return ops.broadcast_to(ops.convert_to_tensor(logits)[None], (rows, 6)), state


def test_what_fills_the_length_has_no_end():
    search = TFABeamSearch(2, max_length=3)
    result = arrays(search(never_ends, (), batch_size=1))
    assert result.ids[0, 0].tolist() == [4, 4, 4]
    assert result.lengths.tolist() == [[3, 3]]
    assert search.decode(never_ends, (), batch_size=1).lengths.shape == (1, 2)


def test_a_beam_as_wide_as_the_space_finds_every_sequence_in_order():
    # 4 tokens, 3 steps: 1 + 3 + 9 sequences that end, 27 that do not.
    table = np.random.default_rng(3).normal(0, 1, (4, 4)).astype("float32")

    def step(tokens, state):
        return ops.take(ops.convert_to_tensor(table), tokens, axis=0), state

    result = arrays(TFABeamSearch(40, max_length=3)(step, (), batch_size=1))
    found = {tuple(row[:n]) for row, n in zip(result.ids[0], result.lengths[0], strict=True)}
    assert len(found) == 40
    assert all(len(ids) == 3 or ids[-1] == END for ids in found)
    assert np.exp(result.log_probs.astype("float64")).sum() == pytest.approx(1, abs=1e-5)
    assert (np.diff(result.log_probs[0]) <= 1e-6).all()
    np.testing.assert_allclose(result.scores, result.log_probs, **CLOSE)


def test_more_beams_than_there_are_sequences_leave_places_empty():
    def step(tokens, state):
        logits = ops.convert_to_tensor(np.float32([[-99, -99, -99, 9, -99, -99]]))
        return ops.repeat(logits, ops.shape(tokens)[0], axis=0), state

    # One step: 6 sequences of one token, and 2 places more.
    result = arrays(TFABeamSearch(8, max_length=1)(step, (), batch_size=1))
    assert result.ids[0, 0].tolist() == [END]
    assert result.lengths[0].tolist() == [1] * 6 + [0, 0]
    assert np.isneginf(result.scores[0, 6:]).all()
    assert np.isneginf(result.log_probs[0, 6:]).all()


def test_a_finished_beam_that_was_continued_to_fill_a_place_is_no_sequence():
    # Two tokens, so that the second of two steps has 3 sequences for 4 places.
    def step(tokens, state):
        logits = ops.convert_to_tensor(np.float32([[1, 0]]))
        return ops.repeat(logits, ops.shape(tokens)[0], axis=0), state

    search = TFABeamSearch(4, max_length=2)
    result = arrays(search(step, (), batch_size=1, start_id=0, end_id=1, pad_id=-1))
    found = {tuple(ids) for ids in result.ids[0, :3].tolist()}
    assert found == {(0, 0), (0, 1), (1, -1)}
    assert result.lengths.tolist() == [[2, 1, 2, 0]]
    assert np.isneginf(result.scores[0, 3])


def test_an_empty_batch_has_an_empty_result():
    tables = Tables()
    search = TFABeamSearch(2, 0.5, 0.5, max_length=4)
    result = tables.search(search, rows=[])
    assert result.ids.shape == (0, 2, 4)
    assert result.weights.shape == (0, 2, 4, SOURCE)
    assert tables.decode(search, rows=[]).predicted_ids.shape == (0, 4, 2)


def test_logits_that_are_no_numbers_are_said():
    tables = Tables()
    tables.logits[1] = np.nan
    with pytest.raises(ValueError, match="not finite at step 0 of sentence 1"):
        tables.search(TFABeamSearch(2, max_length=4))


@pytest.mark.skipif(BACKEND == "torch", reason="about graphs; on Torch every result has values")
def test_in_a_graph_logits_that_are_no_numbers_make_scores_that_are_none():
    tables = Tables()
    tables.logits[1] = np.nan
    search = TFABeamSearch(2, max_length=4)
    result = compiled(lambda state: tuple(search(tables.step, state, batch_size=4))[:4])
    _, lengths, log_probs, scores = (np.array(x) for x in result(tables.start()))
    assert np.isnan(scores).any(axis=1).tolist() == [False, True, False, False]
    assert np.isnan(log_probs[1]).all()
    assert lengths[1].tolist() == [0, 0]


# Configuration and errors


def test_round_trips_through_json():
    search = TFABeamSearch(3, 0.8, 0.2, max_length=7)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(search)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is TFABeamSearch
    assert again.get_config() == search.get_config()
    assert search.get_config() == {
        "width": 3,
        "length_penalty_weight": 0.8,
        "coverage_penalty_weight": 0.2,
        "max_length": 7,
    }


def test_like_changes_what_is_given():
    search = TFABeamSearch(3, 0.8, 0.2, max_length=7)
    assert search.n_best == search.width == 3
    assert search.like().get_config() == search.get_config()
    other = TFABeamSearch(5, 0.1, 0.2, max_length=7)
    assert search.like(width=5, length_penalty_weight=0.1).get_config() == other.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TFABeamSearch(0), "`width` must be a positive integer; got width=0"),
        (lambda: TFABeamSearch(2, "a"), "`length_penalty_weight` must be a finite number; got"),
        (lambda: TFABeamSearch(2, True), "`length_penalty_weight` must be a finite number; got"),
        (
            lambda: TFABeamSearch(2, 0.0, float("inf")),
            "`coverage_penalty_weight` must be a finite number; got",
        ),
        (lambda: TFABeamSearch(2, max_length=0), "`max_length` must be a positive integer"),
    ],
)
def test_bad_settings_are_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("option", ["min_length", "length_limit", "no_repeat_ngram", "n_best"])
def test_options_that_tfa_has_not_are_refused(option):
    with pytest.raises(TypeError, match=option):
        TFABeamSearch(2, **{option: 1})


@pytest.mark.parametrize("argument", ["prefix", "forbidden", "required", "noise"])
def test_controls_that_tfa_has_not_are_refused(argument):
    with pytest.raises(TypeError, match=argument):
        TFABeamSearch(2)(never_ends, (), batch_size=1, **{argument: None})


def test_coverage_without_a_source_mask_is_an_error():
    with pytest.raises(ValueError, match=r"needs a `source_mask` .* coverage_penalty_weight=0.5"):
        TFABeamSearch(2, 0.0, 0.5)(never_ends, (), batch_size=1)
    with pytest.raises(ValueError, match="`keep_weights` needs a `source_mask`"):
        TFABeamSearch(2)(never_ends, (), batch_size=1, keep_weights=True)


@pytest.mark.parametrize("coverage", [0.0, 0.5])
def test_a_step_without_weights_is_an_error_where_they_are_asked_for(coverage):
    mask = np.ones((1, 3), bool)
    with pytest.raises(ValueError, match="the step returned none"):
        TFABeamSearch(2, 0.0, coverage)(never_ends, (), batch_size=1, source_mask=mask)


def test_an_end_outside_of_the_vocabulary_is_an_error():
    with pytest.raises(ValueError, match="`end_id` must be an id below the 6 logits; got end_id=6"):
        TFABeamSearch(2)(never_ends, (), batch_size=1, end_id=6)
