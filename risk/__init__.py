"""The judgement and the people around it."""
