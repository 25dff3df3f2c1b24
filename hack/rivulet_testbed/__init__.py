"""The testbed: real Kubernetes clusters in network namespaces, joined by an emulated WAN."""
