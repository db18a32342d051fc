"""Rebuilds Redis from Kafka after a restart or a loss, and opens the next epoch."""

from __future__ import annotations

from features.truth import TRUTH_TOPICS, Place, Truth, TruthRecord

__all__ = ["TRUTH_TOPICS", "Place", "Truth", "TruthRecord"]
