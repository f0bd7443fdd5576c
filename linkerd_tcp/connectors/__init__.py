"""How one address is reached: `connector` says what one is, `direct` dials, `failures` names what went wrong."""
