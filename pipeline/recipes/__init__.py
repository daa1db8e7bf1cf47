"""Products and their recipes: files, the changeover from one to the next, what was active last."""
