package iptables

// Text is what Ensure loads on a host of which iptables-save says this.
func Text(saved string, n Network) string {
	s := parseSnapshot(saved)
	return n.text(s) + jumpsText(s, jumps(s, n))
}
