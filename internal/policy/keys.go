package policy

import (
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// The option keys of this version.
const (
	KeyGateway  = "mcpnet.gateway"
	KeyConnect  = "mcpnet.gateway.connect"
	KeyEgress   = "mcpnet.gateway.egress"
	KeyEgressTo = "mcpnet.gateway.egress.to"
	KeyAllow    = "mcpnet.allow"
	KeyDNS      = "mcpnet.dns"
	KeyLog      = "mcpnet.log"
	KeyMode     = "mcpnet.mode"
	KeyCaps     = "mcpnet.caps"
	KeyCapsMode = "mcpnet.caps.mode"
	KeyFirewall = "mcpnet.firewall"
	KeyBridge   = "com.docker.network.bridge.name"
	KeyMTU      = "com.docker.network.driver.mtu"
	KeyRole     = "mcpnet.role" // of an endpoint
)

const (
	keyRedirect = "mcpnet.redirect"
	limitPrefix = "mcpnet.limit."
)

// later is the reason for everything that is part of the vocabulary but not of this version.
const later = "known, not supported in this version"

// KeyDoc describes one option key for people.
type KeyDoc struct {
	Key       string
	Values    string // what is accepted
	Default   string // as an option value; "required" or "none" where there is no such value
	Meaning   string // one sentence without a final stop
	Supported bool   // false: part of the vocabulary, refused in this version
	Endpoint  bool   // true: given per endpoint, not on the network
	Narrows   bool   // true: given on the network, and an endpoint can narrow it
}

// Doc returns every option key, those of this version first. The caller owns
// the result.
func Doc() []KeyDoc {
	docs := make([]KeyDoc, len(keys))
	for i, k := range keys {
		docs[i] = k.KeyDoc
	}
	return docs
}

// key is one row of the table: a key's documentation and, where a network of
// this version has it, its way into a Policy and back.
type key struct {
	KeyDoc
	set func(p *Policy, value string) problem.List // returns problems without key
	get func(p Policy) string                      // empty: nothing to say
}

// supported makes the row of a network option of this version from the parser
// of its values, the field that holds them, and the field's option form.
func supported[T any](doc KeyDoc, parse func(string) (T, problem.List), field func(*Policy) *T, form func(T) string) key {
	doc.Supported = true
	set := func(p *Policy, value string) problem.List {
		v, problems := parse(value)
		*field(p) = v
		return problems
	}
	return key{doc, set, func(p Policy) string { return form(*field(&p)) }}
}

// narrowed marks an option that an endpoint can narrow.
func narrowed(k key) key {
	k.Narrows = true
	return k
}

// unsupported makes the row of a network option of a later version.
func unsupported(name, values, def, meaning string) key {
	return key{KeyDoc: doc(name, values, def, meaning)}
}

func doc(name, values, def, meaning string) KeyDoc {
	return KeyDoc{Key: name, Values: values, Default: def, Meaning: meaning}
}

// lookup finds the row of a key, nil if there is none.
func lookup(name string) *key {
	for i := range keys {
		if keys[i].Key == name {
			return &keys[i]
		}
	}
	return nil
}

// vocabulary finds the key that was probably meant. Its aliases are other names that people try first (mtu is
// Podman's).
func vocabulary() problem.Vocabulary {
	v := problem.Vocabulary{
		Prefixes: []string{"mcpnet.", "com.docker.network."},
		Names:    []string{"mcpnet", "mcp"},
		Aliases:  map[string]string{"mtu": KeyMTU, "bridge": KeyBridge, "connect": KeyConnect, "egress": KeyEgress},
	}
	for _, k := range keys {
		v.Keys = append(v.Keys, k.Key)
	}
	return v
}

// keyList names the supported keys of networks or of endpoints.
func keyList(endpoint bool) string {
	var names []string
	for _, k := range keys {
		if k.Supported && (k.Endpoint == endpoint || k.Narrows) {
			names = append(names, k.Key)
		}
	}
	return strings.Join(names, ", ")
}
