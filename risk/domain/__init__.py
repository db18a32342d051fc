"""The words of the trade: events, money, time, decisions, errors and limits."""
