"""Measures an epoch of Multi30k English–German at the published small size, beside two peers.

The peers are PyTorch and JoeyNMT. The model has embeddings of 128, a bidirectional GRU of 256 each
way, and a GRU decoder of 256 with concat attention (Bahdanau et al. 2015). The text has 10,000
joint subwords, in batches of 64 sentences. The optimizer is Adam, with gradients clipped to a
global norm of 1; there is no dropout. All contestants read the same segmentation, so that tokens
count alike.

    python benchmarks/epoch.py --data FOLDER      # with train.lc.norm.tok.en and .de

A turn takes batches of an epoch in its shuffled order, and so of all lengths. Seconds for each
epoch are extrapolated from them by the number of target tokens, which includes end tokens.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turns import PEERS, machine, options, peer_python, python, take_turns, torch_python

SIZES = {"vocabulary": 10000, "embedding": 128, "units": 256, "batch": 64}
SOURCE, TARGET, PIECES, BATCHES = "train.en", "train.de", "vocabulary.txt", "batches.json"
BASELINES = ("joeynmt, input feeding", "torch", "torch, input feeding")
SEED = 1


def main() -> None:
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the text")
    parser.add_argument("--name", default="train.lc.norm.tok", help="of the files, without .en")
    parser.add_argument("--work", type=Path, help="keeps the segmented text, or has it")
    parser.set_defaults(rounds=8, steps=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / BATCHES).exists():
            prepare(arguments.data, arguments.name, folder)
        about, answers, rates = take_turns(contestants(folder), arguments)
        records = report(about, answers, rates, epoch(folder), arguments)
    if arguments.output:
        with arguments.output.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)


def prepare(data: Path, name: str, folder: Path) -> None:
    """Writes the segmented text, the vocabulary in the order of its ids, and an epoch's batches."""
    import sentencepiece

    sides = [(data / f"{name}.{side}").read_text(encoding="utf-8") for side in ("en", "de")]
    model = str(folder / "subwords")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter("".join(sides).splitlines()),
        model_prefix=model,
        model_type="bpe",
        vocab_size=SIZES["vocabulary"],
        character_coverage=1.0,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        minloglevel=2,
    )
    subwords = sentencepiece.SentencePieceProcessor(model_file=f"{model}.model")
    for text, side in zip(sides, (SOURCE, TARGET), strict=True):
        lines = [" ".join(subwords.encode(line, out_type=str)) for line in text.splitlines()]
        (folder / side).write_text("\n".join(lines) + "\n", encoding="utf-8")
    pieces = [subwords.id_to_piece(i) for i in range(4, SIZES["vocabulary"])]
    (folder / PIECES).write_text("\n".join(pieces) + "\n", encoding="utf-8")
    rows = corpus(folder).plan(batch_size=SIZES["batch"], shuffle_seed=SEED).rows(0)
    (folder / BATCHES).write_text(json.dumps([batch.tolist() for batch in rows]))


def contestants(folder: Path) -> dict[str, list[str]]:
    """Commands of all; with input feeding a step of the decoder needs the one before it."""
    sizes = json.dumps(SIZES)
    found: dict[str, list[str]] = {}
    for feeding in ("", ", input feeding"):
        ask = (str(folder), "feeding" if feeding else "plain", sizes)
        found |= {
            f"keras_s2s{feeding}": python(__file__, "serve", *ask, "float32"),
            f"keras_s2s{feeding}, bfloat16": python(__file__, "serve", *ask, "mixed_bfloat16"),
            f"joeynmt{feeding}": peer_python("joeynmt", str(PEERS / "joeynmt_epoch.py"), *ask),
            f"torch{feeding}": torch_python(str(PEERS / "torch_epoch.py"), *ask),
        }
    return found


def epoch(folder: Path) -> dict[str, Any]:
    """What an epoch holds: sentences, tokens with their end tokens, products of tokens."""
    lengths = [
        [len(line.split()) + 1 for line in (folder / side).read_text(encoding="utf-8").splitlines()]
        for side in (SOURCE, TARGET)
    ]
    return {
        "sentences": len(lengths[0]),
        "batches": len(json.loads((folder / BATCHES).read_text())),
        "source_tokens": sum(lengths[0]),
        "target_tokens": sum(lengths[1]),
        "pairs_of_tokens": sum(s * t for s, t in zip(*lengths, strict=True)),
    }


def operations(content: dict[str, Any], feeding: bool) -> float:
    """Floating-point operations of an epoch's matrix products, of real tokens alone."""
    units, embedding, vocabulary = (SIZES[k] for k in ("units", "embedding", "vocabulary"))
    memory = 2 * units
    entering = embedding + units * (1 + feeding)
    source = 2 * (embedding + units) * 3 * units + memory * units  # both directions, keys
    target = entering * 3 * units + units * units + (memory + units) * units + units * vocabulary
    products = (
        content["source_tokens"] * source
        + content["target_tokens"] * target
        + content["pairs_of_tokens"] * (units + memory)  # scores, contexts
        + content["sentences"] * memory * units  # the decoder's first state
    )
    return 3 * 2 * products  # forward, and twice as much backward


def report(
    about: dict[str, Any],
    answers: dict[str, list[dict[str, Any]]],
    rates: dict[str, float],
    content: dict[str, Any],
    arguments: Any,
) -> list[dict[str, Any]]:
    """Prints a table and returns one record for each contestant."""
    records = []
    speeds, by_processor = (
        {key: [_speed(turn, clock) for turn in turns] for key, turns in answers.items()}
        for clock in ("wall", "processor")
    )
    print(f"{content}  matrix product {rates['wall']:.1f} GFLOP/s\n{machine()}")
    print(f"{'':36}{'tokens/s':>9}{'s/epoch':>9}{'GFLOP/s':>9}{'MiB':>7}  times as fast as")
    for key, turns in answers.items():
        speed = statistics.median(speeds[key])
        flop = operations(content, "feeding" in key) / content["target_tokens"]
        tokens = sum(count for turn in turns for count in turn["counted"])
        batches = arguments.rounds * arguments.steps
        record = {
            "benchmark": "epoch",
            "contestant": key,
            "sizes": SIZES,
            "epoch": content,
            "target_tokens_per_s": round(speed),
            "least_and_most": [round(min(speeds[key])), round(max(speeds[key]))],
            "seconds_per_epoch": round(content["target_tokens"] / speed, 1),
            "target_tokens_per_s_of_processor": round(statistics.median(by_processor[key])),
            "gflop_per_s": round(flop * speed / 1e9, 1),
            "matmul_gflop_per_s": round(rates["wall"], 1),
            "gflop_per_s_of_processor": round(flop * statistics.median(by_processor[key]) / 1e9, 1),
            "matmul_gflop_per_s_of_processor": round(rates["processor"], 1),
            "peak_mib": round(max(turn["peak_mib"] for turn in turns)),
            "batches_measured": batches,
            "target_tokens_measured": tokens,
            "threads": arguments.threads or os.cpu_count(),
            "times_as_fast_as": _ratios(speeds, key),
            "times_as_fast_as_by_processor": _ratios(by_processor, key),
            "about": about[key],
            "machine": machine(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        ratios = ", ".join(f"{name}: {x}" for name, x in record["times_as_fast_as"].items())
        processor = "".join(f" {x}" for x in record["times_as_fast_as_by_processor"].values())
        print(
            f"{key:36}{speed:9.0f}{record['seconds_per_epoch']:9.1f}{record['gflop_per_s']:9.1f}"
            f"{record['peak_mib']:7.0f}  {ratios}; by processor time{processor}"
        )
        records.append(record)
    return records


def _speed(turn: dict[str, Any], clock: str) -> float:
    return sum(turn["counted"]) / sum(turn[clock])


def _ratios(speeds: dict[str, list[float]], key: str) -> dict[str, float]:
    """The medians over rounds of neighbouring turns, against each baseline."""
    return {
        other: round(
            statistics.median(a / b for a, b in zip(speeds[key], speeds[other], strict=True)), 2
        )
        for other in BASELINES
        if other in speeds and other != key
    }


def corpus(folder: Path) -> Any:
    """The segmented text as ids: a piece is a word of it."""
    from keras_s2s import Corpus
    from keras_s2s.data.reading import read_parallel
    from keras_s2s.text import WordTokenizer

    pieces = (folder / PIECES).read_text(encoding="utf-8").splitlines()
    words = WordTokenizer(pieces)
    return Corpus(read_parallel(folder / SOURCE, folder / TARGET), words, words)


def model(feeding: bool, vocabulary: int, embedding: int, units: int, **_: Any) -> Any:
    """JoeyNMT's design: `tanh(W·[last states] + b)` begins the decoder, logits have no bias."""
    import keras_s2s as s2s

    encoder = s2s.Encoder(
        vocabulary_size=vocabulary, embedding_size=embedding, units=units, cell="gru"
    )
    decoder = s2s.Decoder(
        vocabulary_size=vocabulary,
        embedding_size=embedding,
        units=units,
        cell="gru",
        attention="concat",
        input_feeding=feeding,
        output_bias=False,
    )
    model = s2s.Seq2Seq(encoder, decoder)
    model.compile(weighted_metrics=[])
    return model


def step_of(folder: Path, feeding: bool, sizes: dict[str, int]) -> tuple[Callable[[], int], Any]:
    """A function that trains on the next batch and returns its target tokens, and the model."""
    text, trained = corpus(folder), model(feeding, **sizes)

    def batches() -> Any:
        number = 0
        while True:
            yield from text.batches(batch_size=sizes["batch"], shuffle_seed=SEED, epoch=number)
            number += 1

    following = batches()

    def step() -> int:
        inputs, labels, weights = next(following)
        trained.train_on_batch(inputs, labels, weights)
        return int(weights.sum())

    return step, trained


def serve_model(folder: str, kind: str, sizes: dict[str, int], policy: str) -> None:
    """Our side of the comparison."""
    import keras
    import tensorflow as tf
    from contestant import serve

    keras.config.set_dtype_policy(policy)
    step, trained = step_of(Path(folder), kind == "feeding", sizes)
    step()
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    parameters = trained.count_params()
    serve(step, warm_up=4, counting=True, **versions, parameters=parameters)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve_model(*sys.argv[2:4], json.loads(sys.argv[4]), sys.argv[5])
    else:
        main()
