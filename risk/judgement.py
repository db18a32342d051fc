"""Steps 4 and 5 of the walk: features to score, rules, policy, and the bytes of a decision.

No clock, no randomness and no network: every input is an argument or an immutable version
named in the evidence, so the same inputs give the same bytes.
"""
