"""PyTorch's side of `epoch.py`: the same design on the same batches, eager.

Without input feeding the decoder is one `nn.GRU` over the whole target and attends with all of its
states at once. With it, a step needs the one before it: a loop of `nn.GRUCell`, with what does not
depend on that taken out of the loop.
"""

import json
import sys
from itertools import cycle
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from contestant import serve

PAD, UNKNOWN, START, END = range(4)


class Seq2Seq(nn.Module):
    """Bidirectional GRU, GRU decoder, concat attention (Bahdanau et al. 2015)."""

    def __init__(self, feeding: bool, vocabulary: int, embedding: int, units: int) -> None:
        super().__init__()
        self.feeding = feeding
        self.source = nn.Embedding(vocabulary, embedding, padding_idx=PAD)
        self.target = nn.Embedding(vocabulary, embedding, padding_idx=PAD)
        self.encoder = nn.GRU(embedding, units, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * units, units)
        if feeding:
            self.cell = nn.GRUCell(embedding + units, units)
        else:
            self.decoder = nn.GRU(embedding, units, batch_first=True)
        self.keys = nn.Linear(2 * units, units, bias=False)
        self.query = nn.Linear(units, units, bias=False)
        self.score = nn.Linear(units, 1, bias=False)
        self.vector = nn.Linear(3 * units, units, bias=False)
        self.logits = nn.Linear(units, vocabulary, bias=False)

    def forward(self, source, lengths, target, real):
        """Logits `(N, V)` of the real target tokens, which the mask `real` (B, T) marks."""
        packed = nn.utils.rnn.pack_padded_sequence(
            self.source(source), lengths, batch_first=True, enforce_sorted=False
        )
        values, last = self.encoder(packed)
        values, _ = nn.utils.rnn.pad_packed_sequence(values, batch_first=True)
        state = torch.tanh(self.bridge(torch.cat((last[0], last[1]), -1)))
        memory = values, self.keys(values), (source == PAD)[:, None]
        embedded = self.target(target)
        if self.feeding:
            vectors = self.loop(embedded, state, memory)
        else:
            states, _ = self.decoder(embedded, state[None])
            vectors = self.attend(states, memory)
        return self.logits(vectors[real])

    def attend(self, states, memory):
        """Attentional vectors of states, both `(B, T, U)`."""
        values, keys, padding = memory
        scores = self.score(torch.tanh(self.query(states)[:, :, None] + keys[:, None]))[..., 0]
        context = scores.masked_fill(padding, -torch.inf).softmax(-1) @ values
        return torch.tanh(self.vector(torch.cat((context, states), -1)))

    def loop(self, embedded, state, memory):
        vector, vectors = torch.zeros_like(state), []
        for inputs in embedded.unbind(1):
            state = self.cell(torch.cat((inputs, vector), -1), state)
            vector = self.attend(state[:, None], memory)[:, 0]
            vectors.append(vector)
        return torch.stack(vectors, 1)


def read(folder: Path, name: str) -> list[list[int]]:
    """Ids of each line, the end among them."""
    pieces = (folder / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    ids = {piece: i for i, piece in enumerate(pieces, 4)}
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    return [[ids.get(word, UNKNOWN) for word in line.split()] + [END] for line in lines]


def padded(rows):
    tensors = [torch.tensor(row) for row in rows]
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD)


def main(folder: Path, feeding: bool, sizes: dict[str, int]) -> None:
    torch.manual_seed(1)
    model = Seq2Seq(feeding, sizes["vocabulary"], sizes["embedding"], sizes["units"])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    sources, targets = read(folder, "train.en"), read(folder, "train.de")
    following = cycle(json.loads((folder / "batches.json").read_text()))

    def step() -> int:
        rows = next(following)
        source, labels = padded([sources[i] for i in rows]), padded([targets[i] for i in rows])
        lengths = torch.tensor([len(sources[i]) for i in rows])
        entering = padded([[START, *targets[i][:-1]] for i in rows])
        real = labels != PAD
        optimizer.zero_grad()
        logits = model(source, lengths, entering, real)
        loss = nn.functional.cross_entropy(logits, labels[real])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        return int(real.sum())

    serve(
        step,
        warm_up=5,
        counting=True,
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        parameters=sum(p.numel() for p in model.parameters()),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "feeding", json.loads(sys.argv[3]))
