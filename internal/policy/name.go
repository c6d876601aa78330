package policy

import (
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Name is a host's name in lower case, without the last dot, such as "api.github.com"; or, with "*." in front, all
// names below a zone (not the zone itself).
type Name string

const (
	wildcard   = "*."
	nameBytes  = 253 // RFC 1035, 3.1, without the root's length
	labelBytes = 63
)

// Zone is what a wildcard's names end in, without its dot; ok is false for the name of one host.
func (n Name) Zone() (zone string, ok bool) { return strings.CutPrefix(string(n), wildcard) }

// covers reports whether every host of another name is one of this one.
func (n Name) covers(other Name) bool {
	if n == "" || n == other {
		return n != ""
	}
	zone, ok := n.Zone()
	return ok && strings.HasSuffix(string(other), "."+zone)
}

// wrong says why the name is none, and nothing if it is one.
func (n Name) wrong() string {
	host, zone := strings.CutPrefix(string(n), wildcard)
	switch {
	case n == "":
		return "the name is missing"
	case n == "*":
		return "is every name: a wildcard stands in front of a name, such as *.example.com"
	case strings.HasPrefix(string(n), "@"):
		return "presets are " + later
	case strings.Contains(host, "*"):
		return "a wildcard stands alone in front of a name, such as *.example.com"
	case strings.HasSuffix(host, "."):
		return "a name is written without its last dot"
	}
	ofEverybody := zone && (!strings.Contains(host, ".") || isPublicSuffix(host))
	if reason := wrongLabels(host); reason != "" && !ofEverybody {
		return reason
	}
	if ofEverybody {
		return "everybody can have a name below " + host + ": a wildcard needs a name of one owner"
	}
	return ""
}

func wrongLabels(host string) string {
	labels := strings.Split(host, ".")
	switch {
	case host != strings.ToLower(host):
		return "names are written in lower case"
	case len(host) > nameBytes:
		return "is longer than 253 characters"
	case len(labels) < 2:
		return "is no full name: one with a dot is needed, such as api.example.com"
	}
	for _, l := range labels {
		if l == "" || len(l) > labelBytes || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" ||
			l[0] == '-' || l[len(l)-1] == '-' {
			return "is no name of a host: its parts are of 1 to 63 letters, digits and hyphens"
		}
	}
	return ""
}

func isPublicSuffix(host string) bool {
	suffix, _ := publicsuffix.PublicSuffix(host)
	return suffix == host
}

// asciiName is the form in which a name of other letters is asked for (RFC 5891).
func asciiName(host string) (string, error) {
	zone := strings.HasPrefix(host, wildcard)
	ascii, err := idna.Lookup.ToASCII(strings.TrimPrefix(host, wildcard))
	if zone {
		ascii = wildcard + ascii
	}
	return ascii, err
}
