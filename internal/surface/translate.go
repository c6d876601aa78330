package surface

import (
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
)

// policyPrefix begins the keys of the policy in package policy.
const policyPrefix = "mcpnet."

// Translate names problems of a policy or a network in the words of the surface. They come in those of Docker's
// command line.
func (w Words) Translate(problems problem.List) problem.List {
	if w.PolicyPrefix == flags.PolicyPrefix {
		return problems
	}
	var out problem.List
	for _, p := range problems {
		p.Key = w.key(p.Key)
		p.Nearest = strings.ReplaceAll(p.Nearest, policyPrefix, "")
		p.Accepted = strings.NewReplacer(policyPrefix, "", flags.BridgeAddr, w.BridgeAddr).Replace(p.Accepted)
		out = append(out, p)
	}
	return out
}

func (w Words) key(key string) string {
	switch key {
	case policy.KeyBridge:
		return w.BridgeName
	case policy.KeyMTU:
		return w.MTU
	case flags.Subnet:
		return w.Subnet
	case flags.BridgeAddr:
		return w.BridgeAddr
	case flags.IPv6:
		return w.IPv6
	}
	if rest, ok := strings.CutPrefix(key, policyPrefix); ok {
		return w.PolicyPrefix + rest
	}
	return key
}
