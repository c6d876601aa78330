package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	cniversion "github.com/containernetworking/cni/pkg/version"

	"github.com/mcpnet/mcpnet/internal/ipam"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
)

// config is a network's configuration as it came on standard input, with what the runtime added for one attachment.
type config struct {
	types.PluginConf
	Policy  map[string]json.RawMessage `json:"policy"`
	Bridge  string                     `json:"bridge"`
	MTU     *int                       `json:"mtu"`
	Role    string                     `json:"role"`
	Runtime runtimeConfig              `json:"runtimeConfig"`
	// Attachments is what libraries before containernetworking/cni#1101 call ValidAttachments.
	Attachments []types.GCAttachment `json:"cni.dev/attachments"`
	Args        struct {
		CNI map[string]json.RawMessage `json:"cni"`
	} `json:"args"`

	raw    []byte
	prev   *current.Result // of the plugin before, in a chain
	parsed policy.Policy
	ipam   ipam.Plugin // nil in a chain
	static bool        // the IPAM plugin only gives what its configuration names
}

// runtimeConfig is what a runtime fills in for the capabilities that an entry of the list declares.
type runtimeConfig struct {
	PortMappings []portMapping     `json:"portMappings"`
	Bandwidth    json.RawMessage   `json:"bandwidth"`
	DNS          *runtimeDNS       `json:"dns"`
	IPs          []string          `json:"ips"`
	MAC          string            `json:"mac"`
	Annotations  map[string]string `json:"io.kubernetes.cri.pod-annotations"`
}

type portMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

type runtimeDNS struct {
	Servers  []string `json:"servers"`
	Searches []string `json:"searches"`
	Options  []string `json:"options"`
}

// entryKeys are the keys of a plugin's entry in a conflist, and what libcni adds to it.
var entryKeys = []string{"cniVersion", "name", "type", "capabilities", "ipam", "dns", "args", "runtimeConfig", "prevResult", "policy", "bridge", "mtu", "role",
	"cni.dev/valid-attachments", "cni.dev/attachments"}

// bridgeKeys are options of the reference bridge plugin that people bring along, with what mcpnet does in that matter.
var bridgeKeys = map[string]string{
	"isGateway":                 "the bridge always has the address that ipam names as the gateway",
	"isDefaultGateway":          "a default route goes to gateways whose policy.gateway.egress is not off, and to nobody else",
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

// parseEntry reads what every verb needs. Wrong input is named whole.
func parseEntry(data []byte) (*config, error) {
	c := &config{raw: data}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, fmt.Sprintf("mcpnet: network %q: %v", nameOf(data), describeJSON(err)), "")
	}
	if err := cniversion.ParsePrevResult(&c.PluginConf); err != nil {
		return nil, c.invalid(problem.List{{Key: "prevResult", Reason: err.Error(), Accepted: "the result of the plugin before, in the network's cniVersion"}})
	}
	if c.PrevResult != nil {
		prev, err := current.NewResultFromResult(c.PrevResult)
		if err != nil {
			return nil, c.invalid(problem.List{{Key: "prevResult", Reason: err.Error(), Accepted: "the result of the plugin before"}})
		}
		c.prev = prev
	}
	return c, nil
}

// chained reports whether another plugin makes the interface.
func (c *config) chained() bool { return c.IPAM.Type == "" }

// parse reads a configuration for an attachment and validates it.
func parse(args *skel.CmdArgs) (*config, error) {
	c, err := parseEntry(args.StdinData)
	if err != nil {
		return nil, err
	}
	problems := c.unknownKeys()
	options, wrong := c.policyOptions()
	problems = append(problems, wrong...)
	parsed, err := policy.Parse(options)
	more, err := problem.Of(err)
	if err != nil {
		return nil, err
	}
	c.parsed = parsed
	problems = append(problems, cniTerms(more)...)
	problems = append(problems, c.openIPAM(len(more) == 0)...)
	if len(problems) > 0 {
		return nil, c.invalid(problems)
	}
	return c, nil
}

// openIPAM takes the IPAM plugin of main mode and checks the policy against its subnet.
func (c *config) openIPAM(policyHolds bool) (problems problem.List) {
	if c.chained() {
		return nil
	}
	c.static = c.IPAM.Type == "static"
	plugin, err := ipam.Open(c.IPAM.Type, c.raw, c.parsed.GatewayAddrs())
	if problems, bad := ipamProblems(err); bad {
		return problems
	} else if err != nil {
		return problem.List{{Key: "ipam", Reason: err.Error()}}
	}
	c.ipam = plugin
	if subnet, bridge, known := plugin.Subnet(); known && policyHolds {
		problems = c.place(subnet, bridge)
	}
	return problems
}

func ipamProblems(err error) (problem.List, bool) {
	var bad ipam.BadConfig
	if !errors.As(err, &bad) {
		return nil, false
	}
	return problem.List{{Key: bad.Key, Value: bad.Value, Reason: bad.Reason, Accepted: bad.Accepted}}, true
}

// place checks the policy against the network it is for.
func (c *config) place(subnet netip.Prefix, bridge netip.Addr) problem.List {
	problems, _ := problem.Of(c.parsed.Validate(policy.Network{Subnet: subnet, BridgeAddr: bridge}))
	return cniTerms(problems)
}

func (c *config) unknownKeys() (problems problem.List) {
	var entry map[string]json.RawMessage
	if err := json.Unmarshal(c.raw, &entry); err != nil {
		return problem.List{{Key: "configuration", Reason: err.Error()}}
	}
	for _, key := range slices.Sorted(maps.Keys(entry)) {
		if slices.Contains(entryKeys, key) || strings.HasPrefix(key, "cni.dev/") {
			continue
		}
		p := problem.Problem{Key: key, Value: strings.Trim(string(entry[key]), `"`), Reason: "unknown key"}
		if instead, ok := bridgeKeys[key]; ok {
			p.Reason = "belongs to the bridge plugin; " + instead
		} else if isPolicyKey(key) {
			p.Reason = "belongs into the object policy"
		} else if near := problem.Nearest(key, entryKeys); near != "" {
			p.Nearest = near
		} else {
			p.Accepted = "policy, ipam, bridge, mtu, role, dns, capabilities"
		}
		problems = append(problems, p)
	}
	return problems
}

func isPolicyKey(key string) bool {
	return slices.ContainsFunc(policy.Doc(), func(d policy.KeyDoc) bool { return d.Key == key || d.Key == policyPrefix+key })
}

// policyPrefix begins the policy's keys on every surface but this one, where the object's name says it.
const policyPrefix = "mcpnet."

// policyOptions turns the policy object, and what has a place of its own in CNI, into options as other surfaces have them.
func (c *config) policyOptions() (options map[string]string, problems problem.List) {
	options = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(c.Policy)) {
		value, ok := optionValue(c.Policy[key])
		if !ok {
			problems = append(problems, problem.Problem{Key: "policy." + key, Value: string(c.Policy[key]), Reason: "not a value of an option", Accepted: "a string, a number, or an array of strings"})
			continue
		}
		name := policyPrefix + strings.TrimPrefix(key, policyPrefix)
		if _, twice := options[name]; twice {
			problems = append(problems, problem.Problem{Key: "policy." + key, Value: value, Reason: "given twice, with and without " + policyPrefix})
		}
		options[name] = value
	}
	if c.Bridge != "" {
		options[policy.KeyBridge] = c.Bridge
	}
	if c.MTU != nil {
		options[policy.KeyMTU] = fmt.Sprint(*c.MTU)
	}
	return options, problems
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

// cniTerms names problems as a conflist has them.
func cniTerms(problems problem.List) problem.List {
	names := map[string]string{policy.KeyBridge: "bridge", policy.KeyMTU: "mtu", "--subnet": "ipam.subnet", "--gateway": "ipam.gateway", "--ipv6": "ipam.ranges"}
	out := slices.Clone(problems)
	for i := range out {
		p := &out[i]
		if name, ok := names[p.Key]; ok {
			p.Key = name
		} else {
			p.Key = "policy." + strings.TrimPrefix(p.Key, policyPrefix)
		}
		p.Nearest, p.Accepted = withoutPrefix(p.Nearest), withoutPrefix(p.Accepted)
		p.Accepted = strings.ReplaceAll(p.Accepted, "--gateway", "ipam.gateway")
	}
	return out
}

func withoutPrefix(s string) string { return strings.ReplaceAll(s, policyPrefix, "") }

// invalid is the error of a configuration that is refused (CNI, section "Error": 7).
func (c *config) invalid(problems problem.List) error {
	return types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("mcpnet: network %q: %v", c.Name, problems), "")
}

// nameOf finds the network's name in a configuration that cannot be read as a whole.
func nameOf(data []byte) string {
	var named struct{ Name string }
	_ = json.NewDecoder(bytes.NewReader(data)).Decode(&named)
	return named.Name
}

// describeJSON says where JSON is not what it should be.
func describeJSON(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Sprintf("%s: a JSON %s is not accepted here", strings.TrimPrefix(kind.Field, "PluginConf."), kind.Value)
	}
	return err.Error()
}
