"""Several hosts share each batch, and two processes train as one process does.

The processes are real ones on one machine, and run on JAX. Their result is compared with that of
one process, which runs on TensorFlow too.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_s2s import Corpus, Hosts, join_hosts, load_translator
from keras_s2s.cli.main import main
from keras_s2s.data.pairs import IdPairs
from keras_s2s.data.reading import read_tsv
from keras_s2s.export.onnx.models import ids_model
from keras_s2s.export.onnx.specs import ids_graph
from keras_s2s.search import GreedySearch
from support import joined
from support.translators import LINES, tiny_translator

ROOT = Path(__file__).resolve().parents[2]
TWO = ["10.0.0.1:1234", "10.0.0.2:1234"]


def batch(lengths):
    pairs = IdPairs(start_id=2, end_id=3, pad_id=0)
    for number, (source, target) in enumerate(lengths):
        pairs.append([4 + number] * source, [4 + number] * target)
    return pairs.batch(np.arange(len(lengths)))


def arrays(given):
    inputs, labels, weights = given
    return {**inputs, "labels": labels, "weights": weights}


def whole(given, count, devices):
    """The shares of all processes, one below the other."""
    shares = [arrays(Hosts(count, index, devices).share(given)) for index in range(count)]
    for share in shares:
        assert [(name, x.shape, x.dtype) for name, x in share.items()] == [
            (name, x.shape, x.dtype) for name, x in shares[0].items()
        ]
    return {name: np.concatenate([share[name] for share in shares]) for name in shares[0]}


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=70),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_shares_have_equal_shapes_and_together_the_batch(lengths, count, each):
    original = arrays(batch(lengths))

    found = whole(batch(lengths), count, count * each)

    rows = len(lengths)
    for name, array in found.items():
        width = original[name].shape[1]
        np.testing.assert_array_equal(array[:rows, :width], original[name])
        assert not array[:rows, width:].any()
        assert len(array) % (count * each) == 0
    assert not found["weights"][rows:].any()
    assert not found["labels"][rows:].any()
    # Inputs of nothing but padding are none that a model is trained on elsewhere.
    np.testing.assert_array_equal(
        found["source_ids"][rows:],
        np.broadcast_to(
            found["source_ids"][0], (len(found["labels"]) - rows, found["source_ids"].shape[1])
        ),
    )


def test_few_shapes_are_compiled():
    sizes = range(1, 513)
    found = [arrays(Hosts().share(batch([(size, 1)])))["source_ids"].shape[1] for size in sizes]
    rounded = [width for width, size in zip(found, range(2, 514), strict=True) if width < size]

    assert rounded == []
    assert sorted(set(found)) == [
        *range(8, 64, 8), 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640
    ]  # fmt: skip


def test_one_two_four_and_eight_devices_have_the_same_batch():
    given = batch([(3, 4)] * 21)
    alone = whole(given, 1, 1)
    for count, devices in ((2, 2), (2, 4), (4, 4), (1, 8), (8, 8)):
        for name, array in whole(given, count, devices).items():
            np.testing.assert_array_equal(array, alone[name])


@pytest.mark.parametrize(
    ("addresses", "host", "message"),
    [
        (["10.0.0.1"], 0, "name:port; got '10.0.0.1'"),
        (["10.0.0.1:70000"], 0, "name:port"),
        ([":1234"], 0, "name:port"),
        ([], 0, "There must be hosts"),
        ([TWO[0], TWO[0]], 0, "its own address"),
        (TWO, 2, "one of 0, 1.*got 2"),
        (TWO, -1, "one of 0, 1.*got -1"),
    ],
)
def test_hosts_that_are_none_are_named(addresses, host, message):
    with pytest.raises(ValueError, match=message):
        join_hosts(addresses, host)


def test_one_address_that_is_no_list_is_named():
    with pytest.raises(TypeError, match="must be a list"):
        join_hosts(TWO[0], 0)


def test_another_backend_is_named():
    with pytest.raises(ValueError, match=r"JAX backend; this is tensorflow.*KERAS_BACKEND=jax"):
        join_hosts(TWO, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hosts", ",".join(TWO)], "--host,"),
        (["--host", "1"], "--host,"),
        (["--hosts", ",".join(TWO), "--host", "2"], "got 2"),
    ],
)
def test_the_command_names_hosts_that_are_none(options, message, tmp_path, capsys):
    (tmp_path / "text.tsv").write_text("a\tb\n")
    text = str(tmp_path / "text.tsv")
    given = ["--data", text, "--val-data", text, "--output", str(tmp_path / "out")]

    assert main(["train", *given, *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_on_another_backend_is_named(tmp_path, capsys):
    (tmp_path / "text.tsv").write_text("a\tb\n")
    text = str(tmp_path / "text.tsv")
    given = ["--data", text, "--val-data", text, "--output", str(tmp_path / "out")]

    assert main(["train", *given, "--hosts", ",".join(TWO), "--host", "1"]) == 1
    assert "KERAS_BACKEND=jax" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def running(arguments, cache, **environment):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KERAS_BACKEND": "jax",
            # Most of the time goes into compilation; what was compiled once is taken again.
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(processes):
    """What each wrote to its standard output and error; none of them may fail."""
    try:
        outputs = [process.communicate(timeout=900) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, error) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, error[-3000:]
    return outputs


def two_addresses():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return f"localhost:{port},127.0.0.1:{port}"


def write_pairs(path, count):
    random = np.random.default_rng(0)
    words = LINES[0].split()
    rows = [random.choice(words, random.integers(1, 12)) for _ in range(count)]
    path.write_text("".join(f"{' '.join(row)}\t{' '.join(row[::-1])}\n" for row in rows))


@pytest.mark.slow
def test_two_processes_train_as_one_and_the_file_is_exported(tmp_path):
    write_pairs(tmp_path / "text.tsv", 48)
    start = tiny_translator("word", "word", attention="concat", search=GreedySearch(8))
    start.model.compile(keras.optimizers.SGD(0.5, global_clipnorm=0.1))
    start.save(tmp_path / "start.keras")
    # The batches as they are, on TensorFlow. All have 12 rows: the mean of their losses is that of
    # any other way to fill them up.
    corpus = Corpus(read_tsv(tmp_path / "text.tsv"), start.source_tokenizer, start.target_tokenizer)
    before = start.model.get_weights()
    expected = start.model.fit(
        corpus.dataset(**joined.BATCHES, shuffle_seed=joined.SEED),
        validation_data=corpus.dataset(**joined.BATCHES, shuffle_seed=None),
        epochs=2,
        shuffle=False,
        verbose=0,
    ).history
    assert expected["loss"][-1] < expected["loss"][0] - 0.01

    program = ["-W", "error", "-W", "ignore:__array__ impl:DeprecationWarning", joined.__file__]
    cache, addresses = tmp_path / "cache", two_addresses()
    ended([running([*program, str(tmp_path)], cache)])
    ended([running([*program, str(tmp_path), addresses, str(i)], cache) for i in range(2)])

    with np.load(tmp_path / "1.npz") as one, np.load(tmp_path / "2.npz") as two:
        assert set(one) == set(two) > set(expected)
        for name, value in one.items():
            # Float32: the sum over a batch is one of two sums. The first perplexity is in the
            # hundreds: what the mean is off by, it is off by as many times.
            np.testing.assert_allclose(two[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
        for name, value in expected.items():
            np.testing.assert_allclose(two[name], value, rtol=1e-5, err_msg=name)
        for i, (value, moved) in enumerate(zip(before, start.model.get_weights(), strict=True)):
            # Two backends, eight steps.
            np.testing.assert_allclose(two[f"weight {i}"], moved, rtol=0, atol=1e-5)
            assert np.abs(value - moved).max() > 1e-3

    translator = load_translator(tmp_path / "2.keras")
    session = onnxruntime.InferenceSession(
        ids_model(
            translator, ids_graph(translator, "greedy", translator.search)
        ).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    texts = [source for source, _ in read_tsv(tmp_path / "text.tsv")]
    source_ids = translator.source_ids(texts)
    inputs = {"input_ids": source_ids.astype(np.int64), "input_lengths": (source_ids != 0).sum(1)}
    (found,) = session.run(["output_ids"], inputs)
    ids = translator.inference_model().predict(source_ids, verbose=0).ids
    np.testing.assert_array_equal(found, ids)
    assert len(np.unique(ids, axis=0)) > 3


def command(arguments, cache):
    program = "import sys; from keras_s2s.cli.main import main; sys.exit(main())"
    return running(["-c", program, "train", *arguments], cache)


@pytest.mark.slow
def test_the_command_trains_on_two_hosts_as_on_one_and_goes_on(tmp_path):
    text = tmp_path / "text.tsv"
    write_pairs(text, 50)  # the last batch is filled up
    cache = tmp_path / "cache"
    given = ["--data", text, "--val-data", text, "--tokenizer", "word", "--embedding-size", "8"]
    given += ["--units", "8", "--batch-size", "12", "--moving-average", "0.9"]
    given = [str(word) for word in given]
    one, two = tmp_path / "one", tmp_path / "two"

    ended([command([*given, "--output", str(one), "--epochs", "3"], cache)])
    for epochs, more in (("2", []), ("3", ["--resume"])):
        hosts = ["--hosts", two_addresses(), "--output", str(two), "--epochs", epochs, *more]
        outputs = ended([command([*given, *hosts, "--host", str(i)], cache) for i in range(2)])
    (result, _), (nothing, quiet) = outputs

    assert f"{two / 'translator.keras'}: best epoch" in result
    assert "best epoch" not in nothing
    assert "epoch 3/3" not in quiet
    first, second = (json.loads((folder / "history.json").read_text()) for folder in (one, two))
    assert len(first) == len(second) == 3
    for values, others in zip(first, second, strict=True):
        assert others == pytest.approx(values, rel=1e-5)
    first, second = (load_translator(folder) for folder in (one, two))
    for value, other in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        # Dropout drew the same: it has the state of one process.
        np.testing.assert_allclose(other, value, rtol=0, atol=1e-5)
    assert sorted(path.name for path in two.rglob("*")) == sorted(
        path.name for path in one.rglob("*")
    )


@pytest.mark.slow
def test_hosts_with_another_text_say_so_and_end(tmp_path):
    given = ["--tokenizer", "word", "--output", str(tmp_path / "out"), "--hosts", two_addresses()]
    processes = []
    for host in range(2):
        text = tmp_path / f"{host}.tsv"
        write_pairs(text, 8 + host)
        data = ["--data", str(text), "--val-data", str(text), "--host", str(host)]
        processes.append(command([*given, *data], tmp_path / "cache"))
    for process in processes:
        _, error = process.communicate(timeout=300)
        assert process.returncode == 1
        assert "All hosts must have the same `data`; host 0 and 1 differ" in error
