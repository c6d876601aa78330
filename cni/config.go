package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	cniversion "github.com/containernetworking/cni/pkg/version"

	"github.com/mcpnet/mcpnet/internal/ipam"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/request"
)

// config is a network's configuration as it came on standard input, with what the runtime added for one attachment.
type config struct {
	types.PluginConf
	request.CNIConfig
	// Attachments is what libraries before containernetworking/cni#1101 call ValidAttachments.
	Attachments []types.GCAttachment `json:"cni.dev/attachments"`

	raw    []byte
	prev   *current.Result // of the plugin before, in a chain
	words  request.NetworkWords
	policy policy.Policy
	ipam   ipam.Plugin // nil in a chain
}

// parseEntry reads what every verb needs. Wrong input is named whole.
func parseEntry(data []byte) (*config, error) {
	c := &config{raw: data}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure,
			fmt.Sprintf("mcpnet: network %q: %v", nameOf(data), describeJSON(err)), "")
	}
	if err := cniversion.ParsePrevResult(&c.PluginConf); err != nil {
		return nil, c.invalid(problem.List{{Key: "prevResult", Reason: err.Error(),
			Accepted: "the result of the plugin before, in the network's cniVersion"}})
	}
	if c.PrevResult != nil {
		prev, err := current.NewResultFromResult(c.PrevResult)
		if err != nil {
			return nil, c.invalid(problem.List{{Key: "prevResult", Reason: err.Error(),
				Accepted: "the result of the plugin before"}})
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
	c.words = c.NetworkWords(c.Name, c.raw)
	c.policy, err = c.words.Policy()
	if !c.chained() {
		c.openIPAM()
		if c.words.Subnet.IsValid() {
			_, err = c.words.Network()
		} else {
			_, err = c.words.Policy()
		}
	}
	if err != nil {
		return nil, c.refused(err)
	}
	return c, nil
}

// openIPAM takes the IPAM plugin of main mode, and the network's addresses from it where it knows them already.
func (c *config) openIPAM() {
	plugin, err := ipam.Open(c.IPAM.Type, c.raw, c.policy.GatewayAddrs())
	if err != nil {
		c.words.Problems = append(c.words.Problems, ipamProblem(err))
		return
	}
	c.ipam = plugin
	if subnet, bridge, known := plugin.Subnet(); known {
		c.words.Subnet, c.words.BridgeAddr = subnet, bridge
	}
}

// ipamProblem names what is wrong with ipam.
func ipamProblem(err error) problem.Problem {
	var bad ipam.BadConfig
	if errors.As(err, &bad) {
		return problem.Problem{Key: bad.Key, Value: bad.Value, Reason: bad.Reason, Accepted: bad.Accepted}
	}
	return problem.Problem{Key: "ipam", Reason: err.Error()}
}

// refused gives what request finds wrong the form of CNI.
func (c *config) refused(err error) error {
	if problems, other := problem.Of(err); other == nil {
		return c.invalid(problems)
	}
	return err
}

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
		return fmt.Sprintf("%s: a JSON %s is not accepted here", fieldName(kind.Field), kind.Value)
	}
	return err.Error()
}

// fieldName is a field without the part of config that holds it.
func fieldName(field string) string {
	for _, part := range []string{"PluginConf.", "CNIConfig."} {
		field = strings.TrimPrefix(field, part)
	}
	return field
}
