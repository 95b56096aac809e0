"""A simulated host, and the random scenarios that the product is driven through on it."""
