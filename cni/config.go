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
	"github.com/mcpnet/mcpnet/internal/strictjson"
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

// shape is a configuration with the result of the plugin before, as plugins read it.
type shape struct {
	config
	Prev struct {
		Interfaces []current.Interface `json:"interfaces"`
		IPs        []struct {
			Interface int    `json:"interface"`
			Address   string `json:"address"`
			Gateway   string `json:"gateway"`
		} `json:"ips"`
		DNS types.DNS `json:"dns"`
	} `json:"prevResult"`
}

// parseEntry reads what every verb needs.
func parseEntry(data []byte) (*config, error) {
	c := &config{raw: data}
	err := strictjson.Check(data, shape{})
	if err == nil {
		err = json.Unmarshal(data, c)
	}
	if err != nil {
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

// openIPAM opens the IPAM plugin of main mode. A plugin that knows the network's addresses completes the network.
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

// ipamProblem makes a problem of an error of the IPAM plugin.
func ipamProblem(err error) problem.Problem {
	var bad ipam.BadConfig
	if errors.As(err, &bad) {
		return problem.Problem{Key: bad.Key, Value: bad.Value, Reason: bad.Reason, Accepted: bad.Accepted}
	}
	return problem.Problem{Key: "ipam", Reason: err.Error()}
}

// refused makes an error of CNI from the problems that request finds.
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

// describeJSON names the field that has the wrong type.
func describeJSON(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Sprintf("%s: a JSON %s is not accepted here", fieldName(kind.Field), kind.Value)
	}
	return err.Error()
}

// fieldName removes the embedded part of config from a field's name.
func fieldName(field string) string {
	for _, part := range []string{"PluginConf.", "CNIConfig."} {
		field = strings.TrimPrefix(field, part)
	}
	return field
}
