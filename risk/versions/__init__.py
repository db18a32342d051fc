"""Immutable versions of what judges, addressed by their content, and which of them are live."""
