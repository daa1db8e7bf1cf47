"""A station's metrics for Prometheus: a subscriber like any other, in a process of its own."""
