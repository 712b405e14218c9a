"""Constraints: the tokens and phrases that a search may, must, must not or should not choose.

- `candidates`: the few tokens that may continue each hypothesis.
- `controls`: repetition penalty, no repeated n-grams, forbidden phrases.
- `required`: required phrases, and the division of a beam by the progress with them.
- `phrases`: checks of prefixes and phrases, and their matches in the tokens of a hypothesis.
"""
