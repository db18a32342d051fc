"""The SQL store: keys now; books, cases and audit with their issues."""
