"""What this house adds to linkerd-tcp."""
