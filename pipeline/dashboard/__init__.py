"""The operator's page: an ordinary subscriber that serves browsers, in a process of its own."""
