package firewall_test

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// TestListsPrefix reads what distributions' nft commands say of themselves.
func TestListsPrefix(t *testing.T) {
	for text, want := range map[string]bool{
		"nftables v1.0.6 (Lester Gooch #5)\n": false, "nftables v1.1.5 (Commodore Bullmoose #6)\n": false,
		"nftables v1.1.6 (Commodore Bullmoose #7)\n": true, "nftables v1.1.10 (x)\n": true,
		"nftables v1.2.0": true, "nftables v2.0.0": true,
		"nftables v0.9.9": false, "nftables v1.0.10": false, "": false, "nftables": false, "v1.1": false,
	} {
		if got := firewall.ListsPrefix(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
