"""Gradients, compilation and reasons to skip, for tests on every Keras backend.

A test module with `pytestmark = pytest.mark.backend_neutral` runs on every backend. It takes its
gradients from here and makes its tensors with `keras.ops`, so that it names no backend itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest

from oracles import reference

BACKEND = keras.backend.backend()

tensorflow_only = pytest.mark.skipif(
    BACKEND != "tensorflow",
    reason=f"about TensorFlow's own machinery; the backend is {BACKEND}",
)


def gradients(
    function: Callable[..., Any], inputs: Sequence[Any] = (), variables: Sequence[Any] = ()
) -> tuple[float, list[np.ndarray], list[np.ndarray]]:
    """Returns the scalar `function(*inputs)` and its gradients by the inputs and the variables.

    The inputs are float arrays. An input or variable that the function does not depend on has a
    gradient of zeros.
    """
    inputs = [keras.ops.convert_to_tensor(x) for x in inputs]
    value, by_inputs, by_variables = _GRADIENTS[BACKEND](function, inputs, list(variables))
    arrays = keras.ops.convert_to_numpy
    return float(value), [arrays(g) for g in by_inputs], [arrays(g) for g in by_variables]


def _tensorflow_gradients(function: Any, inputs: list[Any], variables: list[Any]) -> Any:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(*inputs)
    sources = [*inputs, *(v.value for v in variables)]
    found = tape.gradient(value, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    found = [tf.convert_to_tensor(gradient) for gradient in found]  # an embedding's are sparse
    return value, found[: len(inputs)], found[len(inputs) :]


def _jax_gradients(function: Any, inputs: list[Any], variables: list[Any]) -> Any:
    import jax

    of_both = jax.jit(jax.value_and_grad(_stateless(function, variables), argnums=(0, 1)))
    value, found = of_both(inputs, [v.value for v in variables])
    return value, *found


def _torch_gradients(function: Any, inputs: list[Any], variables: list[Any]) -> Any:
    import torch

    with torch.enable_grad():
        inputs = [x.detach().clone().requires_grad_() for x in inputs]
        value = function(*inputs)
        sources = [*inputs, *(v.value for v in variables)]
        if value.requires_grad:
            found = torch.autograd.grad(value, sources, allow_unused=True, materialize_grads=True)
        else:  # it depends on none of them, of which `grad` wants at least one
            found = [torch.zeros_like(x) for x in sources]
    return value.detach(), found[: len(inputs)], found[len(inputs) :]


_GRADIENTS = {
    "tensorflow": _tensorflow_gradients,
    "jax": _jax_gradients,
    "torch": _torch_gradients,
}


def numeric_gradients(
    function: Callable[..., Any], inputs: Sequence[Any] = (), variables: Sequence[Any] = ()
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the gradients by central differences; inputs and variables are float64."""
    inputs = [np.array(x) for x in inputs]
    values = [keras.ops.convert_to_numpy(v.value) for v in variables]
    assert {x.dtype.name for x in (*inputs, *values)} == {"float64"}
    at = _value_at(function, variables)

    def differences(arrays: list[np.ndarray], value: Callable[[list[Any]], float]) -> list[Any]:
        return [
            reference.numeric_gradient(
                lambda x, i=i: value([*arrays[:i], x, *arrays[i + 1 :]]), array
            )
            for i, array in enumerate(arrays)
        ]

    found = (
        differences(inputs, lambda arrays: at(arrays, values)),
        differences(values, lambda arrays: at(inputs, arrays)),
    )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return found


def _value_at(function: Any, variables: Sequence[Any]) -> Callable[[list[Any], list[Any]], float]:
    """Returns `function(*inputs)` where the variables have the given values."""
    if BACKEND == "jax":  # what is compiled holds the values that variables had when it was traced
        run = compiled(_stateless(function, variables))
        return lambda inputs, values: float(run(inputs, values))
    run = compiled(function)

    def at(inputs: list[Any], values: list[Any]) -> float:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return float(run(*map(keras.ops.convert_to_tensor, inputs)))

    return at


def _stateless(function: Any, variables: Sequence[Any]) -> Callable[[list[Any], list[Any]], Any]:
    """Returns a function of the inputs and of the variables' values, as JAX needs it."""

    def pure(inputs: list[Any], values: list[Any]) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*inputs)

    return pure


def product_sum(tensor: Any, array: np.ndarray) -> Any:
    """Returns Σ tensor · array, because Torch has no `tensor * array`."""
    return keras.ops.sum(keras.ops.multiply(tensor, array))


def compiled(function: Callable[..., Any], signature: Any = None) -> Callable[..., Any]:
    """Compiles a function with `tf.function` or `jax.jit`; Torch runs it as it is.

    Args:
        function: takes tensors in any structure.
        signature: list of the arguments, as `keras.KerasTensor`s. TensorFlow then traces once, for
            every size that is None there; JAX compiles for each shape it meets.
    """
    if BACKEND == "tensorflow":
        import tensorflow as tf

        if signature is not None:
            signature = keras.tree.map_structure(
                lambda x: tf.TensorSpec(x.shape, x.dtype), signature
            )
        return tf.function(function, input_signature=signature)
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    return function
