package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// Protocol is a transport protocol.
type Protocol string

// The values of Protocol.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Port is one port of one protocol.
type Port struct {
	Protocol Protocol `json:"protocol"`
	Number   uint16   `json:"number"` // 1 to 65535
}

// String returns the form that options have, "tcp/443".
func (p Port) String() string {
	return fmt.Sprintf("%s/%d", p.Protocol, p.Number)
}

const (
	badPort     = "the port must be a number from 1 to 65535"
	badProtocol = "the protocol must be tcp or udp"
	badPortForm = "not of the form tcp/PORT or udp/PORT"
)

// parsePort reads "tcp/443".
func parsePort(s string) (Port, problem.List) {
	p, reason := splitPort(s)
	if reason == "" {
		return p, nil
	}
	return Port{}, problem.List{{Value: s, Reason: reason, Nearest: nearestPort(s)}}
}

// splitPort is parsePort without a suggestion; the reason is empty on success.
func splitPort(s string) (Port, string) {
	proto, num, found := strings.Cut(s, "/")
	if !found {
		return Port{}, badPortForm
	}
	if _, err := strconv.Atoi(proto); err == nil {
		return Port{}, badPortForm // Docker's order, 443/tcp
	}
	if !validProtocol(proto) {
		return Port{}, badProtocol
	}
	n, ok := parseNumber(num, 1, 65535)
	if !ok {
		return Port{}, badPort
	}
	return Port{Protocol(proto), uint16(n)}, ""
}

// nearestPort guesses what was meant by the usual other spellings: "TCP/443",
// "443/tcp" as Docker writes it, "tcp:443", "443".
func nearestPort(s string) string {
	s = strings.ReplaceAll(strings.ToLower(s), ":", "/")
	guesses := []string{s, "tcp/" + s}
	if a, b, found := strings.Cut(s, "/"); found {
		guesses = append(guesses, b+"/"+a)
	}
	for _, g := range guesses {
		if _, reason := splitPort(g); reason == "" {
			return g
		}
	}
	return ""
}

func validProtocol(s string) bool {
	return s == string(TCP) || s == string(UDP)
}

// parseNumber reads a decimal number in its one canonical form: no sign, no
// leading zero (which other parsers take for octal), no space.
func parseNumber(s string, low, high int) (int, bool) {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s || n < low || n > high {
		return 0, false
	}
	return n, true
}
