package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// Role is what an endpoint says it is.
type Role string

// The values of Role.
const (
	RoleUnset   Role = "" // nothing said: see the engine's own record
	RoleServer  Role = "server"
	RoleGateway Role = "gateway"
)

// Endpoint is what the options of one endpoint say. They can narrow the
// network's policy, never widen it.
type Endpoint struct {
	Role Role `json:"role,omitempty"`
	// Allow is the part of the network's list that the endpoint may reach; nil: all of it.
	Allow *Allow `json:"allow,omitempty"`
}

// ParseEndpoint reads the driver options of an endpoint. Keys of the engine
// itself (com.docker.network.endpoint.*, com.docker.network.portmap) are
// skipped. An error is of type problem.List and names everything that is wrong;
// the Endpoint is then the zero value.
func ParseEndpoint(options map[string]string) (Endpoint, error) {
	var e Endpoint
	var problems problem.List
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if !isEngineKey(name) {
			problems = append(problems, e.set(name, options[name])...)
		}
	}
	if err := problems.Err(); err != nil {
		return Endpoint{}, err
	}
	return e, nil
}

// set applies one option of an endpoint.
func (e *Endpoint) set(name, value string) problem.List {
	k := lookup(name)
	switch {
	case k == nil:
		return problem.List{unknown(name, value, true)}
	case strings.HasPrefix(name, limitPrefix):
		return problem.List{{Key: name, Value: value, Reason: later}}
	case !k.Endpoint && !k.Narrows:
		return problem.List{{Key: name, Value: value, Reason: "set it on the network; an endpoint can only narrow its policy"}}
	case isBlank(value):
		return problem.List{k.blank()}
	}
	return k.locate(e.parse(name, value))
}

func (e *Endpoint) parse(name, value string) (problems problem.List) {
	switch name {
	case KeyAllow:
		var list Allow
		list, problems = parseAllow(value)
		e.Allow = &list
	default: // KeyRole: the only other one there is
		e.Role, problems = parseWord(value, RoleServer, RoleGateway)
	}
	return problems
}

func isEngineKey(name string) bool {
	return strings.HasPrefix(name, "com.docker.network.endpoint.") || name == "com.docker.network.portmap"
}
