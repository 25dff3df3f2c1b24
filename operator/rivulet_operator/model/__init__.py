"""What the operator thinks in: frozen values parsed at the edge. Nothing here does I/O or knows the time."""
