package router

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// dnsPort is the port of resolvers (RFC 1035, 4.2).
const dnsPort = 53

// Resolvers reads the host's resolvers from a file in the form of resolv.conf(5).
func Resolvers(path string) ([]netip.AddrPort, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the host's resolvers: %w", err)
	}
	var found []netip.AddrPort
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			found = append(found, netip.AddrPortFrom(a, dnsPort))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s names no resolver: add a nameserver line", path)
	}
	return found, nil
}
