package firewall

import (
	"regexp"
	"slices"
	"strconv"
)

// ListsPrefix reports whether an nft command, by what it says of its version, can list an ingress chain for devices of
// a prefix: from 1.1.6 on. Older ones leave out the chain, find a rule of a chain that they do not know, and start
// over: each "nft list ruleset" in the namespace would run forever.
func ListsPrefix(version string) bool { return versionAtLeast(version, 1, 1, 6) }

// versionAtLeast compares the first version of a text, as in "nftables v1.0.6 (Lester Gooch #5)". A text without one
// is too old.
func versionAtLeast(text string, least ...int) bool {
	found := regexp.MustCompile(`\bv(\d+)\.(\d+)\.(\d+)`).FindStringSubmatch(text)
	if found == nil {
		return false
	}
	version := make([]int, 0, len(least))
	for _, part := range found[1:] {
		n, err := strconv.Atoi(part)
		if err != nil {
			return false
		}
		version = append(version, n)
	}
	return slices.Compare(version, least) >= 0
}
