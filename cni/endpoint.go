package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/request"
)

// endpointID is the id of an attachment: a hash of container and interface (CNI, section "Attachment").
func endpointID(containerID, ifName string) string {
	sum := sha256.Sum256([]byte(containerID + "\x00" + ifName))
	return hex.EncodeToString(sum[:])
}

// wantedBy collects what CNI_ARGS, args, capabilities and a pod's annotations ask for.
func (c *config) wantedBy(args *skel.CmdArgs) (request.EndpointWords, error) {
	env, err := parseArgs(args.Args)
	if err != nil {
		return request.EndpointWords{}, err
	}
	w := c.EndpointWords(env, c.IPAM.Type)
	w.ID, w.Container, w.Interface = endpointID(args.ContainerID, args.IfName), args.ContainerID, args.IfName
	if err := w.Check(); err != nil {
		return w, c.refused(err)
	}
	return w, nil
}

// policyPrefix begins the arguments of CNI_ARGS that are mcpnet's.
const policyPrefix = "mcpnet."

// knownArgs are the arguments of CNI_ARGS that mean something, here or to every plugin.
var knownArgs = []string{"IgnoreUnknown", "IP", "MAC"}

// parseArgs reads CNI_ARGS. Like CNI's library it refuses an unknown argument unless the runtime says IgnoreUnknown. Of
// an argument with two values programs take the first or the last.
func parseArgs(text string) (map[string]string, error) {
	args := map[string]string{}
	for pair := range strings.SplitSeq(text, ";") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, types.NewError(types.ErrInvalidEnvironmentVariables,
				fmt.Sprintf("mcpnet: CNI_ARGS: %q is not KEY=VALUE", pair), "")
		}
		if before, twice := args[key]; twice && before != value {
			return nil, types.NewError(types.ErrInvalidEnvironmentVariables,
				fmt.Sprintf("mcpnet: CNI_ARGS: %q is given twice", key), "")
		}
		args[key] = value
	}
	lenient := slices.Contains([]string{"1", "true", "TRUE", "True", "t", "T"}, args["IgnoreUnknown"])
	for _, key := range slices.Sorted(maps.Keys(args)) {
		if !lenient && !slices.Contains(knownArgs, key) && !strings.HasPrefix(key, policyPrefix) {
			return nil, types.NewError(types.ErrInvalidEnvironmentVariables,
				fmt.Sprintf("mcpnet: CNI_ARGS: unknown argument %q; accepted: IP, MAC, %s, and any other with "+
					"IgnoreUnknown=1", key, policy.KeyRole), "")
		}
	}
	return args, nil
}
