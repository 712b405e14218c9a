"""PyTorch's side of `training_step.py`: the same design, optimizer and clipping, eager."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from contestant import serve


class Seq2Seq(nn.Module):
    """Bidirectional LSTM, LSTM decoder, general attention (Luong et al. 2015)."""

    def __init__(self, vocabulary: int, embedding: int, units: int) -> None:
        super().__init__()
        self.source = nn.Embedding(vocabulary, embedding)
        self.target = nn.Embedding(vocabulary, embedding)
        self.encoder = nn.LSTM(embedding, units // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.LSTM(embedding, units, batch_first=True)
        self.keys = nn.Linear(units, units, bias=False)
        self.vector = nn.Linear(2 * units, units, bias=False)
        self.logits = nn.Linear(units, vocabulary)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        embedded = self.source(source)
        lengths = (source != 0).sum(1)
        padded = bool((lengths < source.shape[1]).any())
        if padded:
            embedded = nn.utils.rnn.pack_padded_sequence(
                embedded, lengths, batch_first=True, enforce_sorted=False
            )
        values, (h, c) = self.encoder(embedded)
        if padded:
            values, _ = nn.utils.rnn.pad_packed_sequence(
                values, batch_first=True, total_length=source.shape[1]
            )
        state = tuple(torch.cat((x[0], x[1]), -1)[None] for x in (h, c))
        states, _ = self.decoder(self.target(target), state)
        scores = states @ self.keys(values).transpose(1, 2)
        scores = scores.masked_fill((source == 0)[:, None], -torch.inf)
        context = scores.softmax(-1) @ values
        return self.logits(torch.tanh(self.vector(torch.cat((context, states), -1))))


def main(kind: str, sizes: dict[str, int]) -> None:
    torch.manual_seed(1)
    model = Seq2Seq(sizes["vocabulary"], sizes["embedding"], sizes["units"])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=kind == "fused")
    source, entering, expected = (torch.from_numpy(x).long() for x in batch_of(**sizes))

    def step() -> float:
        optimizer.zero_grad()
        logits = model(source, entering)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), expected.flatten(), ignore_index=0)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    serve(
        step,
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        parameters=sum(p.numel() for p in model.parameters()),
    )


def batch_of(vocabulary, batch, length, shortest, **_):
    """As in `training_step.py`, which this environment cannot import."""
    rng = np.random.default_rng(1)
    source, target = rng.integers(4, vocabulary, (2, batch, length + 1)).astype("int32")
    kept = np.arange(length) < rng.integers(shortest, length + 1, (2, batch, 1))
    return source[:, 1:] * kept[0], target[:, :-1] * kept[1], target[:, 1:] * kept[1]


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
