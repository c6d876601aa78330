package filter

import "net/netip"

// never are the addresses that no resolver can give a meaning to: of this host, multicast, reserved.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/3"),
}

// unlessPermitted are the addresses that are not of the internet, or lead to the services of clouds: an entry of the
// policy that names the address opens them, a name that leads there does not. Those for documentation lead nowhere,
// and may stand for the internet in a laboratory.
var unlessPermitted = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("168.63.129.16/32"),
}

// usable reports whether a mapping may lead to an address that a resolver gave.
func (c Config) usable(a netip.Addr) bool {
	if !a.Is4() || within(a, never) || (c.Pool.IsValid() && c.Pool.Contains(a)) {
		return false
	}
	return !within(a, unlessPermitted) || c.Permitted(a)
}

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// sift keeps the addresses that may be used.
func (c Config) sift(addrs []netip.Addr) (usable []netip.Addr) {
	for _, a := range addrs {
		if c.usable(a) {
			usable = append(usable, a)
		}
	}
	return usable
}
