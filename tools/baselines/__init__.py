"""Published methods on our frozen backbone, for comparison only; nothing of the product imports them."""
