"""What we remember: entity logs, and the features computed from them."""
