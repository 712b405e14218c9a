"""Measures one recurrent layer, forward and backward, beside Keras' (plain and XLA) and PyTorch's.

python benchmarks/layer.py --cell lstm
"""

from __future__ import annotations

import json
import sys
from typing import Any

from turns import PEERS, compare, options, python, torch_python

GATES = {"lstm": 4, "gru": 3}


def main() -> None:
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=sorted(GATES), default="lstm")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--width", type=int, default=256, help="of the inputs")
    parser.add_argument("--units", type=int, default=512)
    arguments = parser.parse_args()
    names = ("cell", "batch", "length", "width", "units")
    sizes = {name: getattr(arguments, name) for name in names}
    columns = GATES[arguments.cell] * arguments.units
    rows = arguments.batch * arguments.length
    compare(
        f"layer, {arguments.cell}",
        {
            "keras_s2s": python(__file__, "serve", "keras_s2s", json.dumps(sizes)),
            "torch": torch_python(str(PEERS / "torch_layer.py"), json.dumps(sizes)),
            "keras": python(__file__, "serve", "keras", json.dumps(sizes)),
            "keras jit_compile": python(__file__, "serve", "keras-jit", json.dumps(sizes)),
        },
        baseline="torch",
        flop=3 * 2 * rows * (arguments.width + arguments.units) * columns,
        shapes=sizes,
        arguments=arguments,
    )


def serve_layer(kind: str, cell: str, batch: int, length: int, width: int, units: int) -> None:
    """A contestant of this environment."""
    import keras
    import tensorflow as tf
    from contestant import serve

    import keras_s2s.layers.recurrent as ours

    if kind == "keras_s2s":
        layer: Any = ours.CELLS[cell](units)
    else:
        theirs = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
        layer = theirs(units, return_sequences=True, return_state=True)
    layer.build((None, None, width))
    weights = [weight.value for weight in layer.trainable_weights]
    inputs = tf.random.normal((batch, length, width), seed=1)
    upstream = tf.random.normal((batch, length, units), seed=2)

    # Batch and length unknown, as `fit` traces a step for all batches; XLA needs to know them.
    jit = kind == "keras-jit"
    signature = None if jit else [tf.TensorSpec((None, None, width))]

    @tf.function(input_signature=signature, jit_compile=jit, autograph=False)
    def gradients(inputs: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)[0]
        return tape.gradient(outputs, [inputs, *weights], output_gradients=upstream)

    serve(
        lambda: [gradient.numpy() for gradient in gradients(inputs)],
        tensorflow=tf.__version__,
        keras=keras.__version__,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve_layer(sys.argv[2], **json.loads(sys.argv[3]))
    else:
        main()
