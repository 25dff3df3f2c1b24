"""The operator of a region: turns CDNRegion, CDNNode and Stream into pods, ports and secrets, and tells what is."""
