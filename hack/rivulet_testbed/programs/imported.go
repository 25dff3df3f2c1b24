//go:build imported

// Package programs pins what the testbed runs in one module: its parts share most of what they are built from, and each is compiled once.
package programs

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "helm.sh/helm/v3/cmd/helm"
)
