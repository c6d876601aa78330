package nft_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestTrouble: what is wrong with the nft command, or with the kernel, is named, each with its own remedy. The command
// is a program that ends as the real one does.
func TestTrouble(t *testing.T) {
	version := "if [ \"$1\" = --version ]; then echo 'nftables v1.0.6 (Lester Gooch #5)'; exit; fi\n"
	for name, c := range map[string]struct {
		script string
		want   error
		says   string
	}{
		"no command":    {"", nft.ErrNoCommand, "install the package nftables"},
		"crash":         {version + "kill -SEGV $$", nft.ErrCrashed, "nftables v1.0.6"},
		"old":           {version + "echo '/dev/stdin:3:1-3: Error: syntax error, unexpected fwd' >&2; exit 1", nft.ErrOldCommand, "nftables v1.0.6"},
		"not permitted": {"echo 'netlink: Error: cache initialization failed: Operation not permitted' >&2; exit 1", nft.ErrNotPermitted, "CAP_NET_ADMIN"},
		"no nftables":   {"echo 'Error: Could not process rule: Protocol not supported' >&2; exit 1", nft.ErrNoTables, "Protocol not supported"},
		"no fwd": {"if grep -q fwd; then echo 'Error: Could not process rule: No such file or directory' >&2; exit 1; fi",
			nft.ErrNoForward, "CONFIG_NFT_FWD_NETDEV"},
	} {
		t.Run(name, func(t *testing.T) {
			in := testnet.NewWorld(t).Host
			h, err := ns.Open(in.Path())
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			f, err := nft.Open(h)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			bin := t.TempDir()
			if c.script != "" {
				if err := os.WriteFile(filepath.Join(bin, "nft"), []byte("#!/bin/bash\n"+c.script+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
				bin += ":" + os.Getenv("PATH")
			}
			t.Setenv("PATH", bin)
			_, err = f.Features(t.Context())
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %v, with %q", err, c.want, c.says)
			}
			for _, other := range []error{nft.ErrNoCommand, nft.ErrCrashed, nft.ErrOldCommand, nft.ErrNotPermitted, nft.ErrNoTables, nft.ErrNoForward} {
				if other != c.want && errors.Is(err, other) {
					t.Errorf("%v: is %v, too", err, other)
				}
			}
		})
	}
}
