"""Alerts: what people are told of, from the hits of rules and from how often they come."""
