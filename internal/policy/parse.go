package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// Parse reads the options of a network, as Docker sends them, over Defaults.
// An error is of type problem.List and names everything that is wrong; the Policy
// is then the zero value.
func Parse(options map[string]string) (Policy, error) {
	p := Defaults()
	var problems problem.List
	for _, name := range slices.Sorted(maps.Keys(options)) {
		problems = append(problems, p.set(name, options[name])...)
	}
	if p.DNS != "" { // its value was read
		problems = append(problems, p.resolve(options[KeyDNS])...)
	}
	if len(p.Allow) == 0 && missing(options, problems) {
		problems = append(problems, problem.Problem{
			Key:      KeyGateway,
			Reason:   "required: without a gateway and without " + KeyAllow + " servers reach nothing",
			Accepted: lookup(KeyGateway).Values + ", for example " + KeyGateway + "=172.20.0.100:8080",
		})
	}
	if err := problems.Err(); err != nil {
		return Policy{}, err
	}
	return p, nil
}

// Options renders the policy as the options of a network, every supported one
// that has a value. Parse gives back an equal policy, if it was one that Parse
// had made.
func (p Policy) Options() map[string]string {
	options := map[string]string{}
	for _, k := range keys {
		if k.get == nil {
			continue
		}
		if value := k.get(p); value != "" {
			options[k.Key] = value
		}
	}
	return options
}

// set applies one option of a network.
func (p *Policy) set(name, value string) problem.List {
	k := lookup(name)
	switch {
	case k == nil:
		return problem.List{unknown(name, value, false)}
	case k.Endpoint:
		return problem.List{{Key: name, Value: value, Reason: "set it on an endpoint, not on the network"}}
	case isBlank(value):
		return problem.List{k.blank()}
	case !k.Supported:
		return k.refuseLater(value)
	}
	return k.locate(k.set(p, value))
}

// missing reports whether the gateway is absent, and not merely under a
// misspelled key, which is one problem and not two.
func missing(options map[string]string, problems problem.List) bool {
	_, given := options[KeyGateway]
	misspelled := slices.ContainsFunc(problems, func(p problem.Problem) bool { return p.Nearest == KeyGateway })
	return !given && !misspelled
}

// refuseLater refuses an option of a later version. The one exception is
// redirect=off, which asks for exactly what this version does and is common in
// files that spell everything out. No other default means "nothing": caps.mode
// is guard by default, so that its off would be a change.
func (k *key) refuseLater(value string) problem.List {
	if k.Key != keyRedirect {
		return problem.List{{Key: k.Key, Value: value, Reason: later}}
	}
	if value == off {
		return nil
	}
	return problem.List{{Key: k.Key, Value: value, Reason: later, Accepted: off}}
}

// blank is the problem of a key without a value.
func (k *key) blank() problem.Problem {
	p := problem.Problem{Key: k.Key, Reason: "the value is empty"}
	if k.Supported {
		p.Accepted = k.Values
	}
	return p
}

// locate completes the problems of a value with its key.
func (k *key) locate(problems problem.List) problem.List {
	for i := range problems {
		problems[i].Key = k.Key
		problems[i].Accepted = k.Values
	}
	return problems
}

// unknown is the problem of a key that has no row, given on an endpoint or on
// a network.
func unknown(name, value string, endpoint bool) problem.Problem {
	p := problem.Problem{Key: name, Value: value, Reason: "unknown key"}
	if reason, found := foreignReason(name); found {
		p.Reason = reason
		return p
	}
	k := lookup(vocabulary().Nearest(name))
	switch {
	case k == nil:
		p.Accepted = keyList(endpoint)
	case !k.Supported:
		p.Reason += "; it resembles " + k.Key + ", which is " + later
	case k.Endpoint && !endpoint:
		p.Reason += "; it resembles " + k.Key + ", which is set on an endpoint"
	case !k.Endpoint && endpoint:
		p.Reason += "; it resembles " + k.Key + ", which is set on the network"
	default:
		p.Nearest = k.Key
	}
	return p
}

func isBlank(value string) bool {
	return strings.TrimSpace(value) == ""
}
