"""What a machine must be to run a line: looked up (`probe`), and judged (`checks`)."""
