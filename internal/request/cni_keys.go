package request

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
)

// entryKeys are the keys of a plugin's entry in a conflist, and what libcni adds to it.
var entryKeys = []string{"cniVersion", "name", "type", "capabilities", "ipam", "dns", "args", "runtimeConfig",
	"prevResult",
	"policy", "bridge", "mtu", "role", "cni.dev/valid-attachments", "cni.dev/attachments"}

// bridgeKeys are options of the reference bridge plugin that people bring along, with what mcpnet does in that matter.
var bridgeKeys = map[string]string{
	"isGateway":                 "the bridge always has the address that ipam names as the gateway",
	"isDefaultGateway":          "a default route goes to gateways alone, whose policy.gateway.egress is not off",
	"forceAddress":              "the bridge's address is ipam's gateway",
	"ipMasq":                    "what leaves the network is set with policy.gateway.egress",
	"ipMasqBackend":             "what leaves the network is set with policy.gateway.egress",
	"hairpinMode":               "nothing of an endpoint comes back to it",
	"promiscMode":               "no endpoint sees another's frames",
	"vlan":                      "a network has no VLANs",
	"macspoofchk":               "every endpoint's addresses are checked, always",
	"portIsolation":             "servers are on no bridge at all",
	"disableContainerInterface": "an endpoint has an interface",
}

func unknownKeys(entry []byte) (problems problem.List) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(entry, &fields); err != nil {
		return problem.List{{Key: "configuration", Reason: err.Error()}}
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(entryKeys, key) && !strings.HasPrefix(key, "cni.dev/") {
			problems = append(problems, unknownKey(key, string(fields[key])))
		}
	}
	return problems
}

func unknownKey(key, value string) problem.Problem {
	p := problem.Problem{Key: key, Value: strings.Trim(value, `"`), Reason: "unknown key"}
	if instead, ok := bridgeKeys[key]; ok {
		p.Reason = "belongs to the bridge plugin; " + instead
	} else if isPolicyKey(key) {
		p.Reason = "belongs into the object policy"
	} else if near := problem.Nearest(key, entryKeys); near != "" {
		p.Nearest = near
	} else {
		p.Accepted = "policy, ipam, bridge, mtu, role, dns, capabilities"
	}
	return p
}

func isPolicyKey(key string) bool {
	return slices.ContainsFunc(policy.Doc(), func(d policy.KeyDoc) bool {
		return d.Key == key ||
			d.Key == policyPrefix+key
	})
}
