package policy

import (
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
)

const (
	minMTU = 576   // what every IPv4 host must accept
	maxMTU = 65535 // the largest IPv4 packet

	// maxIfName is IFNAMSIZ without its final zero byte.
	maxIfName = 15

	// wirePrefix begins the name of every server's interface on the host, by
	// which rules tell wires from everything else.
	wirePrefix = "mcpw"
)

// takenNames are interfaces that exist already, or that the kernel takes for
// all of them in its settings.
var takenNames = []string{"all", "default", "lo", "docker0", "docker_gwbridge"}

// parseMTU reads a number of bytes.
func parseMTU(value string) (int, problem.List) {
	n, ok := parseNumber(value, minMTU, maxMTU)
	if !ok {
		return 0, bad(value, "not a number of bytes from 576 to 65535")
	}
	return n, nil
}

// parseBridge checks the name of the bridge's interface. What it accepts is
// narrower than the kernel: the name also stands in rule sets and settings.
func parseBridge(value string) (string, problem.List) {
	var problems problem.List
	refuse := func(reason string) { problems = append(problems, bad(value, reason)...) }
	if len(value) > maxIfName {
		refuse("longer than 15 bytes")
	}
	if !isLetter(rune(value[0])) {
		refuse("must begin with a letter")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return !isLetter(r) && !strings.ContainsRune("0123456789_.-", r) }) {
		refuse("only the letters A to Z and a to z, digits and the characters _ . - are accepted")
	}
	if strings.HasPrefix(value, wirePrefix) {
		refuse("names that begin with " + wirePrefix + " are reserved for the wires of servers")
	}
	if slices.Contains(takenNames, value) {
		refuse("this name is taken by the system or by Docker")
	}
	return value, problems
}

// BridgeProblems tells what keeps the bridge of another plugin from being a network's: its name, too, stands in rule
// sets and settings.
func BridgeProblems(name string) problem.List {
	_, problems := parseBridge(name)
	return problems
}

func isLetter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
