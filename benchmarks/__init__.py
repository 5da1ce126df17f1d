"""Measurements: `make bench`. Figures are compared with a peer in the same run, never asserted."""
