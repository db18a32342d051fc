"""Immutable tables that ship with Weir."""
