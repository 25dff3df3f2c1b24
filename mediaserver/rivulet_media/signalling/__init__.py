"""A media node's HTTP: WHIP, WHEP, sessions and relays (docs/contract.md §5)."""
