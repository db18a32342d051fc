"""The life of rule books: what changed, who signed it, what judges, what is rolled back."""
