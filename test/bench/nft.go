package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// newerNFT makes a directory with the nft command of the tree of Docker 28.5, which can list a chain of all wires. It
// tells the PATH with it, or "" where there is no such tree.
func newerNFT(t *testnet.Program) string {
	tree, err := testengine.Tree("28.5")
	if err != nil {
		progress("  left out, for want of a newer nft: %v", err)
		return ""
	}
	dir, err := os.MkdirTemp("", "mcpnet-bench-")
	must(t, err, "newer nft")
	t.Cleanup(func() { os.RemoveAll(dir) })
	libraries, err := filepath.Glob(filepath.Join(tree, "usr/lib/*-linux-gnu"))
	must(t, err, "newer nft")
	loaders, err := filepath.Glob(filepath.Join(tree, "usr/lib/*-linux-gnu/ld-linux-*.so.*"))
	must(t, err, "newer nft")
	if len(libraries) != 1 || len(loaders) != 1 {
		progress("  left out, for want of a newer nft: %s has no libraries", tree)
		return ""
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %s --library-path %s %s \"$@\"\n", loaders[0], libraries[0], filepath.Join(tree, "usr/sbin/nft"))
	must(t, os.WriteFile(filepath.Join(dir, "nft"), []byte(script), 0o755), "newer nft")
	return dir + ":" + os.Getenv("PATH")
}
