"""From a new product to its recipe: the steps of `hlgfa teach`, each a file."""
