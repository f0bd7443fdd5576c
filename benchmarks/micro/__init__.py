"""What single steps cost, in process: `make bench-micro`. Not part of the tests; nothing here fails for being slow."""
