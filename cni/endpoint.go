package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
)

// wanted is what one attachment asks for.
type wanted struct {
	role policy.Role
	ips  []netip.Addr
	mac  string
}

// endpointID names an attachment: the pair of container and interface (CNI, section "Attachment").
func endpointID(containerID, ifName string) string {
	sum := sha256.Sum256([]byte(containerID + "\x00" + ifName))
	return hex.EncodeToString(sum[:])
}

// wantedBy collects what CNI_ARGS, args, capabilities and a pod's annotations ask for.
func (c *config) wantedBy(args string) (w wanted, err error) {
	env, err := parseArgs(args)
	if err != nil {
		return w, err
	}
	options := map[string]string{}
	var problems problem.List
	add := func(from string, values map[string]string) {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if strings.HasPrefix(key, policyPrefix) {
				problems = append(problems, merge(options, from, key, values[key])...)
			}
		}
	}
	inArgs, wrong := c.argOptions()
	problems = append(problems, wrong...)
	if c.Role != "" {
		add("role", map[string]string{policy.KeyRole: c.Role})
	}
	add("CNI_ARGS", env)
	add("args.cni", inArgs)
	add("annotation", c.Runtime.Annotations)
	said, err := policy.ParseEndpoint(options)
	more, err := problem.Of(err)
	if err != nil {
		return w, err
	}
	problems = append(problems, more...)
	w.role = said.Role
	w.ips, wrong = c.requestedIPs(env)
	problems = append(problems, wrong...)
	if w.mac, wrong = c.requestedMAC(env); len(wrong) > 0 {
		problems = append(problems, wrong...)
	}
	if c.Runtime.Bandwidth != nil && string(c.Runtime.Bandwidth) != "null" {
		problems = append(problems, problem.Problem{Key: "bandwidth", Value: string(c.Runtime.Bandwidth),
			Reason: "mcpnet does not shape traffic, and the bandwidth plugin leads a wire's frames past its rules, where they are dropped", Accepted: "no bandwidth"})
	}
	if len(problems) > 0 {
		return w, c.invalid(problems)
	}
	return w, nil
}

// merge adds an option of an endpoint. What the conflist says can be narrowed from server to server only: who is made a
// server by it is made a gateway by nobody.
func merge(options map[string]string, from, key, value string) problem.List {
	have, given := options[key]
	if given && have != value && have == string(policy.RoleServer) {
		return problem.List{{Key: from + " " + key, Value: value, Reason: "the network's configuration makes this endpoint a server; an endpoint can only narrow that", Accepted: have}}
	}
	options[key] = value
	return nil
}

// argOptions are the options in the conflist's args.cni, the place that CNI's conventions give them.
func (c *config) argOptions() (options map[string]string, problems problem.List) {
	options = map[string]string{}
	for key, raw := range c.Args.CNI {
		if !strings.HasPrefix(key, policyPrefix) {
			continue
		}
		var value string
		if json.Unmarshal(raw, &value) != nil {
			problems = append(problems, problem.Problem{Key: "args.cni." + key, Value: string(raw), Reason: "not a string"})
		}
		options[key] = value
	}
	return options, problems
}

// requestedIPs are the addresses that the runtime asks for, in whichever of CNI's three ways.
func (c *config) requestedIPs(env map[string]string) (ips []netip.Addr, problems problem.List) {
	var inArgs []string
	if raw, ok := c.Args.CNI["ips"]; ok && json.Unmarshal(raw, &inArgs) != nil {
		problems = append(problems, problem.Problem{Key: "args.cni.ips", Value: string(raw), Reason: "not an array of addresses"})
	}
	texts := slices.Concat(c.Runtime.IPs, inArgs)
	if ip := env["IP"]; ip != "" {
		texts = append(texts, ip)
	}
	for _, text := range texts {
		bare, _, _ := strings.Cut(text, "/")
		a, err := netip.ParseAddr(bare)
		if err != nil || !a.Is4() {
			problems = append(problems, problem.Problem{Key: "ips", Value: text, Reason: "not an IPv4 address", Accepted: "an address of the network, such as 172.20.0.100"})
		} else if !slices.Contains(ips, a) {
			ips = append(ips, a)
		}
	}
	if len(ips) > 1 {
		problems = append(problems, problem.Problem{Key: "ips", Value: strings.Join(texts, ","), Reason: "an endpoint has one address", Accepted: "one address"})
	}
	return ips, problems
}

// requestedMAC is the hardware address that the runtime asks for.
func (c *config) requestedMAC(env map[string]string) (mac string, problems problem.List) {
	if raw, ok := c.Args.CNI["mac"]; ok && json.Unmarshal(raw, &mac) != nil {
		problems = append(problems, problem.Problem{Key: "args.cni.mac", Value: string(raw), Reason: "not a string"})
	}
	for _, other := range []string{env["MAC"], c.Runtime.MAC} {
		if other != "" {
			mac = other
		}
	}
	return mac, problems
}

// knownArgs are the arguments of CNI_ARGS that mean something, here or to every plugin.
var knownArgs = []string{"IgnoreUnknown", "IP", "MAC"}

// parseArgs reads CNI_ARGS. An argument that is not known is an error unless the runtime says otherwise, as with the
// plugins that read them with CNI's library.
func parseArgs(text string) (map[string]string, error) {
	args := map[string]string{}
	for pair := range strings.SplitSeq(text, ";") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, types.NewError(types.ErrInvalidEnvironmentVariables, fmt.Sprintf("mcpnet: CNI_ARGS: %q is not KEY=VALUE", pair), "")
		}
		args[key] = value
	}
	lenient := slices.Contains([]string{"1", "true", "TRUE", "True", "t", "T"}, args["IgnoreUnknown"])
	for _, key := range slices.Sorted(maps.Keys(args)) {
		if !lenient && !slices.Contains(knownArgs, key) && !strings.HasPrefix(key, policyPrefix) {
			return nil, types.NewError(types.ErrInvalidEnvironmentVariables,
				fmt.Sprintf("mcpnet: CNI_ARGS: unknown argument %q; accepted: IP, MAC, %s, and any other with IgnoreUnknown=1", key, policy.KeyRole), "")
		}
	}
	return args, nil
}
