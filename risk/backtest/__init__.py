"""What a book, a policy or a model would have done to payments that were decided already."""
