"""A CDN over the testbed's regions, and real clients of it: what the demo and tests/e2e stand on."""
