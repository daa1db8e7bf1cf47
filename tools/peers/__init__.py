"""Our model timed beside those of anomalib; `make bench-peers`, in an environment of its own."""
