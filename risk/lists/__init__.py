"""Lists of values that block, allow or hold payments, or that rules test with ``in``."""
