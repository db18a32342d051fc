"""The agents: one per topic, each body a single call that cannot raise."""
