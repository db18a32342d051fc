"""What operations can see: metrics, logs, latencies."""
