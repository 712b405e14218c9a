"""JoeyNMT's side of `epoch.py`: its own training loop over its own data pipeline.

The loop runs as `joeynmt.training.TrainManager` has it. Only the iterator that it takes batches
from waits until a step is asked for, so that contestants can take turns; a step is one turn of the
loop, from fetching a batch to asking for the next.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from queue import Queue
from threading import Thread
from types import SimpleNamespace

import torch
from joeynmt.config import parse_global_args, set_validation_args
from joeynmt.prediction import prepare
from joeynmt.training import TrainManager

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from contestant import serve

NEVER = 1_000_000


def settings(folder: Path, output: Path, feeding: bool, sizes: dict[str, int]) -> dict:
    side = {"level": "word", "voc_file": str(folder / "vocabulary.txt")}
    embeddings = {"embedding_dim": sizes["embedding"], "dropout": 0.0}
    recurrent = {
        "type": "recurrent",
        "rnn_type": "gru",
        "hidden_size": sizes["units"],
        "num_layers": 1,
        "dropout": 0.0,
        "embeddings": embeddings,
    }
    return {
        "name": "epoch",
        "model_dir": str(output),
        "use_cuda": False,
        "data": {
            "train": str(folder / "train"),
            "dev": str(output / "dev"),
            "dataset_type": "plain",
            "src": {"lang": "en", **side},
            "trg": {"lang": "de", **side},
        },
        "testing": {"batch_size": sizes["batch"]},
        "training": {
            "batch_size": sizes["batch"],
            "batch_type": "sentence",
            "normalization": "tokens",
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "scheduling": "exponential",  # by a factor of one, as it wants some schedule
            "decrease_factor": 1.0,
            "clip_grad_norm": 1.0,
            "epochs": NEVER,
            "validation_freq": NEVER,
            "logging_freq": 100,
        },
        "model": {
            "encoder": {**recurrent, "bidirectional": True},
            "decoder": {
                **recurrent,
                "attention": "bahdanau",
                "input_feeding": feeding,
                "hidden_dropout": 0.0,
                "init_hidden": "bridge",
            },
        },
    }


class Waiting:
    """JoeyNMT's iterator over batches, which gives one each time that `step` is called."""

    def __init__(self, batches) -> None:
        self.batches = batches
        self.batch_sampler = batches.batch_sampler
        self.asked, self.done = Queue(), Queue()

    def __iter__(self):
        following = iter(self.batches)
        while True:
            self.asked.get()
            try:
                batch = next(following)
            except StopIteration:  # JoeyNMT begins a new epoch, and this iterator again
                self.asked.put(None)
                return
            tokens = batch.ntokens
            yield batch
            self.done.put(tokens)

    def step(self) -> int:
        self.asked.put(None)
        return self.done.get()


def main(folder: Path, feeding: bool, sizes: dict[str, int], output: Path) -> None:
    for side in ("en", "de"):  # it wants a development set, and never comes to validate on it
        lines = (folder / f"train.{side}").read_text(encoding="utf-8").splitlines()[:2]
        (output / f"dev.{side}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    arguments = parse_global_args(settings(folder, output, feeding, sizes), mode="train")
    model, train_data, dev_data, _ = prepare(arguments, rank=0, mode="train")
    trainer = TrainManager(
        rank=0,
        model=model,
        model_dir=output,
        device=arguments.device,
        n_gpu=0,
        num_workers=arguments.num_workers,
        autocast=arguments.autocast,
        seed=arguments.seed,
        train_args=arguments.train,
        dev_args=set_validation_args(arguments.test),
    )
    made, own = SimpleNamespace(), train_data.make_iter

    def make_iter(**kwargs):
        made.iterator = Waiting(own(**kwargs))
        Thread(target=answer, args=(made.iterator,), daemon=True).start()
        return made.iterator

    def answer(iterator: Waiting) -> None:
        try:
            serve(
                iterator.step,
                warm_up=5,
                counting=True,
                joeynmt="2.3.0",
                torch=torch.__version__,
                threads=torch.get_num_threads(),
                parameters=sum(p.numel() for p in model.parameters()),
            )
        finally:
            shutil.rmtree(output, ignore_errors=True)
            os._exit(0)  # the training loop waits for a batch that no one will ask for

    train_data.make_iter = make_iter
    trainer.train_and_validate(train_data=train_data, valid_data=dev_data)


if __name__ == "__main__":
    kind, sizes = sys.argv[2] == "feeding", json.loads(sys.argv[3])
    main(Path(sys.argv[1]), kind, sizes, Path(tempfile.mkdtemp()))
