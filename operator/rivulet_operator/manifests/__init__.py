"""One module per child object: pure functions from typed values to plain manifests."""
