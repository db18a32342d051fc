"""Seeded payments, activity, outcomes and late labels of people who do not exist."""
