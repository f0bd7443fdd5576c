"""Which endpoint gets the next connection: endpoint sets, pickers, fail-fast, and the balancer that joins them."""
