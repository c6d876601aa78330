package testnet

import (
	"os"
	"testing"
)

// mayLack is the written list of kernel features that a machine may lack, CI
// included, with what their tests then leave unproven.
var mayLack = map[string]string{
	"iptables-legacy":           "CONFIG_IP_NF_IPTABLES_LEGACY, CONFIG_IP_NF_FILTER: newer distributions leave them out; iptables-nft is tested",
	"ingress-by-prefix":         "an ingress chain for all devices of a prefix came with Linux 6.16; the chain of each wire is tested",
	"icmp-limit-of-a-namespace": "net.ipv4.icmp_msgs_per_sec of a namespace's own came with Linux 6.11: before, no namespace loses errors by it at the start",
}

// OnCI tells whether this is continuous integration, which has whatever the
// tests need: CI is set there, to anything but false.
func OnCI() bool {
	value := os.Getenv("CI")
	return value != "" && value != "false" && value != "0"
}

// Lacks ends a test that needs something which the machine does not have. What
// is not on the list is a failure in CI.
func Lacks(t testing.TB, feature, detail string) {
	t.Helper()
	why, listed := mayLack[feature]
	if OnCI() && !listed {
		t.Fatalf("%s is missing: %s", feature, detail)
	}
	t.Skipf("%s is missing (%s): %s", feature, why, detail)
}
