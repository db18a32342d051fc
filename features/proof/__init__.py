"""Logs, tails and vectors made again from the topics or their archive alone."""
