"""Declarations of features, one module per family."""
