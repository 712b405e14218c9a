"""PyTorch's side of `layer.py`: nn.LSTM or nn.GRU, forward and backward, eager."""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from contestant import serve


def main(cell: str, batch: int, length: int, width: int, units: int) -> None:
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    layer = kind(width, units, batch_first=True)
    inputs = torch.randn(batch, length, width, requires_grad=True)
    upstream = torch.randn(batch, length, units)

    def step() -> None:
        layer.zero_grad()
        inputs.grad = None
        outputs, _ = layer(inputs)
        outputs.backward(upstream)

    serve(step, torch=torch.__version__, threads=torch.get_num_threads())


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
