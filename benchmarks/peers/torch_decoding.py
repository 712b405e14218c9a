"""The architecture of benchmarks/export.py in eager PyTorch: a program that answers requests.

Reads JSON lines `{"search": "greedy" | "beam", "ids": [[...]]}` from standard input and answers
each with the seconds it took and the peak memory so far; the first line written says the version.
Needs torch and numpy alone; benchmarks/peers/install.sh makes an environment with them.

    python torch_decoding.py '{"vocabulary": 8000, "embedding": 256, "units": 512, ...}'
"""

import json
import resource
import sys
import time

import torch
from torch import nn


class Translator(nn.Module):
    """Bidirectional LSTM encoder, LSTM decoder, general attention (Luong et al. 2015)."""

    def __init__(self, vocabulary: int, embedding: int, units: int) -> None:
        super().__init__()
        self.source = nn.Embedding(vocabulary, embedding)
        self.encoder = nn.LSTM(embedding, units // 2, bidirectional=True, batch_first=True)
        self.target = nn.Embedding(vocabulary, embedding)
        self.cell = nn.LSTMCell(embedding, units)
        self.keys = nn.Linear(units, units, bias=False)
        self.attention = nn.Linear(2 * units, units, bias=False)
        self.output = nn.Linear(units, vocabulary)

    def encode(self, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        memory, (h, c) = self.encoder(self.source(ids))
        h, c = (torch.cat([state[0], state[1]], dim=-1) for state in (h, c))
        return memory, self.keys(memory), h, c

    def step(self, tokens, h, c, memory, keys):
        """One token of each row; rows of a sentence stand together, the memory is not repeated."""
        h, c = self.cell(self.target(tokens), (h, c))
        query = h.view(len(memory), -1, h.shape[-1])  # (B, K, U)
        weights = torch.softmax(query @ keys.transpose(1, 2), dim=-1)
        context = (weights @ memory).reshape(h.shape)
        vector = torch.tanh(self.attention(torch.cat([context, h], dim=-1)))
        return self.output(vector).log_softmax(-1), h, c

    def greedy(self, ids: torch.Tensor, steps: int) -> torch.Tensor:
        memory, keys, h, c = self.encode(ids)
        tokens = torch.full((len(ids),), 2)
        score, found = torch.zeros(len(ids)), []
        for _ in range(steps):
            log_probs, h, c = self.step(tokens, h, c, memory, keys)
            best, tokens = log_probs.max(-1)
            score = score + best
            found.append(tokens)
        return torch.stack(found, 1)

    def beam(self, ids: torch.Tensor, steps: int, width: int) -> torch.Tensor:
        memory, keys, h, c = self.encode(ids)
        h, c = (state.repeat_interleave(width, 0) for state in (h, c))
        batch = len(ids)
        first = torch.arange(batch)[:, None] * width
        tokens = torch.full((batch * width,), 2)
        total = torch.tensor([0.0] + [-1e30] * (width - 1)).repeat(batch, 1)
        found = torch.zeros((batch * width, 0), dtype=torch.int64)
        for _ in range(steps):
            log_probs, h, c = self.step(tokens, h, c, memory, keys)
            best, candidates = log_probs.topk(width, -1)  # (R, K)
            totals = (total[:, :, None] + best.view(batch, width, width)).view(batch, -1)
            total, place = totals.topk(width, -1)
            rows = (first + place // width).view(-1)
            tokens = candidates.view(batch, -1).gather(1, place).view(-1)
            h, c = h[rows], c[rows]
            found = torch.cat([found[rows], tokens[:, None]], 1)
        return found.view(batch, width, -1)[:, 0]


def main() -> None:
    sizes = json.loads(sys.argv[1])
    torch.set_num_threads(sizes["threads"])
    torch.manual_seed(0)
    model = Translator(sizes["vocabulary"], sizes["embedding"], sizes["units"]).eval()
    parameters = sum(weight.numel() for weight in model.parameters())
    print(json.dumps({"torch": torch.__version__, "parameters": parameters}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        ids = torch.tensor(request["ids"])
        with torch.inference_mode():
            begin = time.perf_counter()
            if request["search"] == "greedy":
                found = model.greedy(ids, sizes["steps"])
            else:
                found = model.beam(ids, sizes["steps"], sizes["width"])
            seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {"seconds": seconds, "shape": list(found.shape), "peak_mib": peak}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
