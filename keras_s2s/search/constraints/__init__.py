"""Constraints: the tokens and phrases that a search may, must, must not or should not choose.

- `candidates`: the few tokens that each hypothesis may be continued with.
- `controls`: repetition penalty, no repeated n-grams, forbidden phrases.
- `required`: required phrases, and how a beam is divided by the progress with them.
- `phrases`: checks of prefixes and phrases, and their match with the tokens of a hypothesis.
"""
