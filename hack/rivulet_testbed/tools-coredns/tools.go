//go:build tools

// Package tools pins the CoreDNS that the testbed builds.
package tools

import _ "github.com/coredns/coredns"
