package hello

import "strings"

const (
	maxName  = 253
	maxLabel = 63
)

// hostName is a name of DNS in lower case. It has letters, digits, hyphens and underscores, and no final dot.
func hostName(text string) (string, bool) {
	if text == "" || len(text) > maxName {
		return "", false
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > maxLabel || strings.ContainsFunc(label, notInLabel) {
			return "", false
		}
	}
	return strings.ToLower(text), true
}

func notInLabel(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// authorityName is the name of an authority (RFC 3986 3.2) without user information. It goes without its port, and
// without the final dot that a URL may have.
func authorityName(authority string) (string, bool) {
	name, port, _ := strings.Cut(authority, ":")
	if len(port) > 5 || strings.ContainsFunc(port, func(r rune) bool { return r < '0' || r > '9' }) {
		return "", false
	}
	return hostName(strings.TrimSuffix(name, "."))
}
