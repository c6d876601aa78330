package request

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// CNIConfig is what an entry of a conflist says beside what every plugin's does.
type CNIConfig struct {
	Policy  map[string]json.RawMessage `json:"policy"`
	Bridge  string                     `json:"bridge"`
	MTU     *int                       `json:"mtu"`
	Role    string                     `json:"role"`
	Runtime CNIRuntime                 `json:"runtimeConfig"`
	Args    CNIArgs                    `json:"args"`
}

// CNIArgs is the place that CNI's conventions give to arguments of plugins.
type CNIArgs struct {
	CNI map[string]json.RawMessage `json:"cni"`
}

// CNIRuntime is what a runtime fills in for the capabilities that an entry declares.
type CNIRuntime struct {
	PortMappings []CNIPort         `json:"portMappings"`
	Bandwidth    json.RawMessage   `json:"bandwidth"`
	DNS          *CNIDNS           `json:"dns"`
	IPs          []string          `json:"ips"`
	MAC          string            `json:"mac"`
	Annotations  map[string]string `json:"io.kubernetes.cri.pod-annotations"`
}

// CNIPort is a published port.
type CNIPort struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

// CNIDNS is what a runtime says of name servers.
type CNIDNS struct {
	Servers  []string `json:"servers"`
	Searches []string `json:"searches"`
	Options  []string `json:"options"`
}

// policyPrefix begins the policy's keys on every surface but CNI, where the name of the object says it.
const policyPrefix = "mcpnet."

// staticIPAM is the IPAM plugin that only gives what its configuration names.
const staticIPAM = "static"

// NetworkWords translates the configuration of a network. entry is the whole of it, in which unknown keys are
// looked for. It says neither subnet nor bridge address: IPAM or the plugin before does.
func (c CNIConfig) NetworkWords(name string, entry []byte) NetworkWords {
	w := NetworkWords{Surface: surface.CNI, ID: name, Name: name, Options: map[string]string{},
		Problems: unknownKeys(entry)}
	for _, key := range slices.Sorted(maps.Keys(c.Policy)) {
		w.Problems = append(w.Problems, w.option(key, c.Policy[key])...)
	}
	if c.Bridge != "" {
		w.Options[policy.KeyBridge] = c.Bridge
	}
	if c.MTU != nil {
		w.Options[policy.KeyMTU] = fmt.Sprint(*c.MTU)
	}
	return w
}

// option adds a key of the policy object, which may have the prefix of the other surfaces.
func (w NetworkWords) option(key string, raw json.RawMessage) problem.List {
	shown := w.Surface.Words.PolicyPrefix + key
	value, ok := optionValue(raw)
	if !ok {
		return problem.List{{Key: shown, Value: string(raw), Reason: "not a value of an option",
			Accepted: "a string, a number, or an array of strings"}}
	}
	name := policyPrefix + strings.TrimPrefix(key, policyPrefix)
	_, twice := w.Options[name]
	w.Options[name] = value
	if twice {
		return problem.List{{Key: shown, Value: value, Reason: "given twice, with and without " + policyPrefix}}
	}
	return nil
}

// optionValue reads a string, a number, or an array of strings, which is a list.
func optionValue(raw json.RawMessage) (string, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, true
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil && list != nil {
		return strings.Join(list, ","), true
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil && number != "" {
		return number.String(), true
	}
	return "", false
}

// CNIInterface is what the plugin before mcpnet made for a container, in a chain.
type CNIInterface struct {
	Host    string // its host end
	Bridge  string // of which the host end is a port
	MTU     int
	MAC     topology.HardwareAddr
	Addrs   []netip.Prefix
	Gateway netip.Addr
}

// On completes a network with what the plugin before mcpnet made.
func (i CNIInterface) On(w NetworkWords) NetworkWords {
	w.Problems = slices.Concat(w.Problems, i.problems())
	if len(w.Problems) > 0 {
		return w
	}
	w.Subnet, w.BridgeAddr = i.Addrs[0].Masked(), i.Gateway
	w.Existing = Bridge{Name: i.Bridge, MTU: i.MTU}
	return w
}

func (i CNIInterface) problems() (problems problem.List) {
	if i.Bridge == "" {
		problems = append(problems, UnusableResult(fmt.Sprintf("interface %s of the host is a port of no bridge",
			i.Host)))
	} else {
		for _, p := range policy.BridgeProblems(i.Bridge) {
			problems = append(problems, UnusableResult(fmt.Sprintf("its bridge %q: %s", i.Bridge, p.Reason)))
		}
	}
	if len(i.Addrs) != 1 || !i.Addrs[0].Addr().Is4() {
		problems = append(problems,
			UnusableResult(fmt.Sprintf("has %d addresses; an endpoint has exactly one, of IPv4", len(i.Addrs))))
	}
	return problems
}

// UnusableResult is the problem of a plugin before mcpnet that made something other than the bridge plugin does.
func UnusableResult(reason string) problem.Problem {
	return problem.Problem{Key: "prevResult", Reason: reason,
		Accepted: "the result of the bridge plugin: one veth pair, one IPv4 address"}
}

// EndpointWords translates what CNI_ARGS, args, capabilities and a pod's annotations ask for. The address comes
// later, from the IPAM plugin of the type that is named, or from the plugin before.
func (c CNIConfig) EndpointWords(args map[string]string, ipam string) EndpointWords {
	w := EndpointWords{Surface: surface.CNI, Options: map[string]string{}, Name: podName(args)}
	if c.Role != "" {
		w.options("role", map[string]string{policy.KeyRole: c.Role})
	}
	w.options("CNI_ARGS", args)
	w.options("args.cni", c.argOptions(&w))
	w.options("annotation", c.Runtime.Annotations)
	c.addresses(&w, args["IP"])
	c.mac(&w, args["MAC"])
	for _, p := range c.Runtime.PortMappings {
		w.Ports = append(w.Ports, fmt.Sprintf("%d:%d/%s", p.HostPort, p.ContainerPort, p.Protocol))
	}
	if b := string(c.Runtime.Bandwidth); b != "" && b != "null" {
		w.Problems = append(w.Problems, problem.Problem{Key: "bandwidth", Value: b, Accepted: "no bandwidth",
			Reason: "mcpnet does not shape traffic, and the bandwidth plugin leads a wire's frames past its rules, " +
				"where they are dropped"})
	}
	w.Asked = len(w.Requested) > 0 || ipam == staticIPAM
	return w
}

// podName is the name by which a user knows the container: that of a pod, or the one that Podman says in the same
// place.
func podName(args map[string]string) string {
	name, namespace := args["K8S_POD_NAME"], args["K8S_POD_NAMESPACE"]
	if name == "" || namespace == "" || namespace == name {
		return name
	}
	return namespace + "/" + name
}

// options adds options of an endpoint. What the conflist says can be narrowed from server to server only: who is made a
// server by it is made a gateway by nobody.
func (w *EndpointWords) options(from string, values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !strings.HasPrefix(key, policyPrefix) {
			w.Problems = append(w.Problems, miswritten(from, key, values[key])...)
			continue
		}
		have, given := w.Options[key]
		if given && have != values[key] && have == string(policy.RoleServer) {
			w.Problems = append(w.Problems, problem.Problem{Key: from + " " + key, Value: values[key], Accepted: have,
				Reason: "the network's configuration makes this endpoint a server; an endpoint can only narrow that"})
			continue
		}
		w.Options[key] = values[key]
	}
}

// miswritten is the problem of a key that only case keeps from being one of mcpnet's: what it says would count for
// nothing.
func miswritten(from, key, value string) problem.List {
	if len(key) < len(policyPrefix) || !strings.EqualFold(key[:len(policyPrefix)], policyPrefix) {
		return nil
	}
	return problem.List{{Key: from + " " + key, Value: value, Reason: "keys of mcpnet's are in lower case",
		Nearest: problem.Nearest(strings.ToLower(key), []string{policy.KeyRole})}}
}

// argOptions are the options in args.cni.
func (c CNIConfig) argOptions(w *EndpointWords) map[string]string {
	options := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(c.Args.CNI)) {
		if !strings.HasPrefix(key, policyPrefix) {
			w.Problems = append(w.Problems, miswritten("args.cni", key, string(c.Args.CNI[key]))...)
			continue
		}
		var value string
		c.arg(w, key, &value, "not a string")
		options[key] = value
	}
	return options
}

// arg reads a value of args.cni, if it is there.
func (c CNIConfig) arg(w *EndpointWords, key string, into any, reason string) {
	if raw, ok := c.Args.CNI[key]; ok && json.Unmarshal(raw, into) != nil {
		w.Problems = append(w.Problems, problem.Problem{Key: "args.cni." + key, Value: string(raw), Reason: reason})
	}
}

// addresses are those that the runtime asks for, in whichever of CNI's three ways.
func (c CNIConfig) addresses(w *EndpointWords, arg string) {
	var inArgs []string
	c.arg(w, "ips", &inArgs, "not an array of addresses")
	texts := slices.Concat(c.Runtime.IPs, inArgs)
	if arg != "" {
		texts = append(texts, arg)
	}
	key := w.Surface.Words.Address
	for _, text := range texts {
		bare, _, _ := strings.Cut(text, "/")
		a, err := netip.ParseAddr(bare)
		if err != nil || !a.Is4() {
			w.Problems = append(w.Problems, problem.Problem{Key: key, Value: text, Reason: "not an IPv4 address",
				Accepted: "an address of the network, such as 172.20.0.100"})
		} else if !slices.Contains(w.Requested, a) {
			w.Requested = append(w.Requested, a)
		}
	}
	if len(w.Requested) > 1 {
		w.Problems = append(w.Problems, problem.Problem{Key: key, Value: strings.Join(texts, ","),
			Reason: "an endpoint has one address", Accepted: "one address"})
	}
}

// mac is the hardware address that the runtime asks for.
func (c CNIConfig) mac(w *EndpointWords, arg string) {
	c.arg(w, "mac", &w.MAC, "not a string")
	for _, other := range []string{arg, c.Runtime.MAC} {
		if other != "" {
			w.MAC = other
		}
	}
}
