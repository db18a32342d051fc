"""The rule language, rule books, and their compiled form."""
