"""The base class of mechanisms that consist of other mechanisms, which attend side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_s2s.layers.attention.mechanism import Mechanism, State
from keras_s2s.layers.attention.memory import Memory


class Group(Mechanism):
    """A mechanism whose members are mechanisms that attend to one source side by side. Abstract.

    The group's state and noise are tuples with one entry per member.
    """

    members: list[Mechanism]

    @property
    def follows_alignment(self) -> bool:
        return any(member.follows_alignment for member in self.members)

    @property
    def remembers(self) -> bool:
        return any(member.remembers for member in self.members)

    def _memories(self, memory: Memory) -> list[Memory]:
        """Returns the memory of each member, made from the memory of the group."""
        raise NotImplementedError

    def initial_state(self, memory: Memory) -> State:
        pairs = zip(self.members, self._memories(memory), strict=True)
        return tuple(member.initial_state(member_memory) for member, member_memory in pairs)

    def unroll(self, state: State, steps: Any) -> tuple[State, State]:
        pairs = zip(self.members, state, strict=True)
        unrolled = [member.unroll(member_state, steps) for member, member_state in pairs]
        return tuple(states for states, _ in unrolled), tuple(after for _, after in unrolled)

    def noise(self, memory: Memory, steps: Any) -> State:
        pairs = zip(self.members, self._memories(memory), strict=True)
        return tuple(member.noise(member_memory, steps) for member, member_memory in pairs)

    def _attend_all(
        self, queries: Sequence[Any], memory: Memory, state: State, noise: State
    ) -> tuple[Any, Any, State]:
        """Attends once with each member. Member `i` attends with `queries[i]`.

        Returns:
            `(contexts (B, K, ΣC), weights (B, K, S), states)`: the contexts joined, the weights
            averaged, and the members' states as a tuple.
        """
        contexts, all_weights, states = [], [], []
        memories = self._memories(memory)
        for i, member in enumerate(self.members):
            member_noise = noise[i] if noise else ()
            context, weights, after = member.attend(queries[i], memories[i], state[i], member_noise)
            contexts.append(context)
            all_weights.append(weights)
            states.append(after)
        mean = sum(all_weights[1:], start=all_weights[0]) * (1.0 / len(all_weights))
        return ops.concatenate(contexts, axis=-1), mean, tuple(states)
