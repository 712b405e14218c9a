"""Joins processes on several hosts, so that they train one model together.

The processes meet on Keras' JAX backend, through `keras.distribution.DataParallel` over
`jax.distributed`. `keras_s2s.data.hosts` then divides each batch among them.
"""

from __future__ import annotations

from collections.abc import Sequence

from keras_s2s.data.hosts import Hosts


def join_hosts(addresses: Sequence[str], host: int) -> Hosts:
    """Makes this process one of several that train a model together, on Keras' JAX backend.

    Call this function in a process on each host, before anything is computed. It waits at most five
    minutes for the other processes. From then on, models are made on all devices of all hosts, and
    `fit` trains them together. Each process gives `fit` its share of every batch, in step with the
    others. `Corpus.dataset(hosts=...)` makes such shares. Loss, gradients, their clipping and the
    metrics are those of the whole batch, so the result equals that of one process.

    Every process must run the same program, even to make or load models, because the processes wait
    for each other. `Hosts.save` writes the result. `predict` and decoding work only in one process.
    Run them afterwards with the saved file, in another run or on another backend.

    Args:
        addresses: `name:port` of each host, the same list on all of them. The processes meet at the
            first address, whose port must be free there and open to the others. A list of one
            address stands for one host with all of its devices.
        host: number of this host in the list, from 0.

    Returns:
        `Hosts`, which divides each batch among the processes.

    Raises:
        TypeError: If `addresses` is a string.
        ValueError: If `addresses` or `host` cannot be used, if Keras runs on another backend, or if
            the hosts have different numbers of devices.
        RuntimeError: If something was computed before, or if the other processes did not join.

    Example: the program for both hosts, which differs only in `host`.
        ```python
        import keras_s2s as s2s

        hosts = s2s.join_hosts(["10.0.0.1:1234", "10.0.0.2:1234"], host=0)
        model = s2s.Seq2Seq(encoder, decoder)
        model.compile()
        model.fit(corpus.dataset(batch_size=64, shuffle_seed=1, hosts=hosts), shuffle=False)
        hosts.save(model, "model.keras")
        ```
    """
    check_addresses(addresses, host)
    import keras

    if keras.backend.backend() != "jax":
        raise ValueError(
            "Several hosts train together on Keras' JAX backend; this is "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=jax before Keras is imported, or leave "
            "the hosts out."
        )
    import jax

    if len(addresses) > 1:
        keras.distribution.initialize(",".join(addresses), len(addresses), host)
    if jax.device_count() != len(addresses) * jax.local_device_count():
        raise ValueError(
            f"All hosts must have the same number of devices; host {host} has "
            f"{jax.local_device_count()} of {jax.device_count()} devices on {len(addresses)} hosts."
        )
    # Keras must not divide the batches again: `fit` is given the share of this process.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return Hosts(len(addresses), host, jax.device_count())


def check_addresses(addresses: Sequence[str], host: int) -> None:
    """Raises an error unless these are addresses of hosts, and `host` is one of their numbers."""
    if isinstance(addresses, str):
        raise TypeError("`addresses` must be a list; got one str. Pass [address, …].")
    for address in addresses:
        name, _, port = address.rpartition(":")
        if not name or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(f"The address of a host must be name:port; got {address!r}.")
    if len(set(addresses)) != len(addresses) or not addresses:
        raise ValueError(f"There must be hosts, each with its own address; got {addresses}.")
    if not 0 <= host < len(addresses):
        raise ValueError(
            f"The number of this host must be one of {', '.join(map(str, range(len(addresses))))}, "
            f"its place in the list of addresses; got {host}."
        )
