package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/mcpnet/mcpnet/internal/ipam"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/printed"
	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/strictjson"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/internal/version"
)

// netavarkAPI is the version of netavark's plugin API (plugin-API.md).
const netavarkAPI = "1.0.0"

// netavark serves one call of netavark or Podman. An error goes to standard output as {"error": …}, alone.
func netavark(args []string, in io.Reader, out io.Writer) (exit int) {
	answer, err := serveNetavark(args, in)
	if err != nil {
		answer, exit = map[string]string{"error": "mcpnet: " + printed.Lines(err.Error())}, 1
	}
	if answer == nil {
		return exit
	}
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		slog.Error("answer", "error", err)
		return 1
	}
	return exit
}

func serveNetavark(args []string, in io.Reader) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	verb, netns := args[0], ""
	if len(args) > 1 {
		netns = args[1]
	}
	switch verb {
	case "info":
		return map[string]string{"version": version.String(), "api_version": netavarkAPI}, nil
	case "create":
		if err := needRoot(); err != nil {
			return nil, err
		}
		return createNetavark(in)
	case "setup", "teardown":
		if netns == "" {
			return nil, fmt.Errorf("%s: the path of a network namespace is missing", verb)
		}
		var call netavarkCall
		data, err := io.ReadAll(in)
		if err == nil {
			err = strictjson.Unmarshal(data, &call)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: standard input: %w", verb, err)
		}
		if verb == "setup" {
			return call.setup(ctx, netns)
		}
		return nil, call.teardown(ctx)
	}
	return nil, fmt.Errorf("%q is not a call of netavark's plugin API: create, setup, teardown or info", verb)
}

// needRoot refuses user namespaces. For rootless containers Podman has a namespace in the host's place, and mcpnet
// has no control of the program that leads out of it.
func needRoot() error {
	ids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return err
	}
	if fields := strings.Fields(string(ids)); len(fields) == 3 && fields[0] == "0" && fields[1] == "0" &&
		os.Geteuid() == 0 {
		return nil
	}
	return errors.New("rootless Podman is not supported: its networks lie in a namespace of Podman's own, " +
		"whose way out (pasta) mcpnet does not hold; run Podman as root")
}

// netavarkCall is one setup or teardown.
type netavarkCall struct{ request.NetavarkCall }

func (c netavarkCall) attachmentID() string { return endpointID(c.ContainerID, c.Options.Interface) }

// netavarkStatus is StatusBlock.
type netavarkStatus struct {
	Interfaces map[string]netavarkInterface `json:"interfaces"`
	DNS        []string                     `json:"dns_server_ips,omitempty"`
	Search     []string                     `json:"dns_search_domains,omitempty"`
}

type netavarkInterface struct {
	MAC     string            `json:"mac_address"`
	Subnets []netavarkAddress `json:"subnets"`
}

type netavarkAddress struct {
	IPNet   string `json:"ipnet"`
	Gateway string `json:"gateway,omitempty"`
}

func openNetavark(ctx context.Context) (*percall.Front, error) {
	return openStore(ctx, surface.Netavark, nil)
}

// setup attaches a container. netavark does not undo a driver that fails, so Attach leaves nothing when it fails.
func (c netavarkCall) setup(ctx context.Context, netns string) (any, error) {
	if err := needRoot(); err != nil {
		return nil, err
	}
	if err := checkSandbox(netns); err != nil {
		return nil, err
	}
	n, err := c.Network.Words().Network()
	if err != nil {
		return nil, err
	}
	p, err := c.Words(c.attachmentID()).Endpoint(n)
	if err != nil {
		return nil, fmt.Errorf("network %s: container %s: %w", n.DisplayName(), printed.Name(c.ContainerName), err)
	}
	e, err := openNetavark(ctx)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	attachment := plan.Attachment{Endpoint: p, Sandbox: netns}
	n, attachment.Endpoint, err = attach(ctx, e, n, attachment)
	if err != nil {
		return nil, err
	}
	return c.status(n, attachment), nil
}

func (c netavarkCall) status(n topology.Network, a plan.Attachment) netavarkStatus {
	inside := plan.Peer(n, a)
	address := netavarkAddress{IPNet: inside.Addr.String()}
	for _, r := range inside.Routes {
		if r.Dst.Bits() == 0 {
			address.Gateway = r.Via.String()
		}
	}
	s := netavarkStatus{Interfaces: map[string]netavarkInterface{a.Interface: {MAC: a.MAC.String(),
		Subnets: []netavarkAddress{address}}}}
	s.DNS = request.Resolvers(n, a.Endpoint, c.Network.DNSServers)
	return s
}

// teardown detaches a container. What is missing already is no error.
func (c netavarkCall) teardown(ctx context.Context) error {
	e, err := openNetavark(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	if _, _, err := e.Detach(ctx, c.Network.ID, c.attachmentID()); err != nil {
		return err
	}
	if err := attestations.Forget(c.attachmentID()); err != nil {
		return err
	}
	return e.SweepSometimes(ctx, c.Network.ID)
}

// createNetavark completes a network that Podman is about to make, and refuses what would fail later. It makes
// nothing in the kernel; the first container does. Fields that it does not know pass through.
func createNetavark(in io.Reader) (any, error) {
	var fields map[string]json.RawMessage
	var n request.NetavarkNetwork
	data, err := io.ReadAll(in)
	if err == nil {
		err = json.Unmarshal(data, &fields)
	}
	if err == nil {
		err = strictjson.Unmarshal(data, &n)
	}
	if err != nil {
		return nil, fmt.Errorf("create: standard input: %w", err)
	}
	used, err := usedSubnets()
	if err != nil {
		return nil, err
	}
	if n, err = n.Complete(used); err != nil {
		return nil, err
	}
	chosen := map[string]any{"subnets": n.Subnets, "dns_enabled": false,
		"ipam_options": map[string]string{"driver": ipam.HostLocal}}
	for key, value := range chosen {
		if fields[key], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// usedSubnets are those of the host's interfaces.
func usedSubnets() (used []netip.Prefix, err error) {
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			used = append(used, p)
		}
	}
	return used, err
}
