"""Foreign payment files: read by a mapping, kept as data sets, played into a world."""
