package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/docker/go-plugins-helpers/network"

	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// driver is a running mcpnet-plugin on a host of its own, asked over its socket as Docker asks it.
type driver struct {
	t     *testnet.Program
	world *testnet.World
	cmd   *exec.Cmd
	http  *http.Client
	// variant tells a driver that runs with another nft command than the machine's.
	variant string
	// size is how many endpoints are there between measurements.
	size            int
	server, gateway *testnet.NS
}

// startDriver takes variables of the environment.
func startDriver(t *testnet.Program, binary string, env ...string) *driver {
	d := &driver{t: t, world: newHost(t)}
	dir, err := os.MkdirTemp("", "mcpnet-bench-")
	must(t, err, "driver")
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "mcpnet.sock")
	d.cmd = d.world.Host.Command(binary, "-socket", socket, "-alias", "", "-store", filepath.Join(dir, "store"), "-docker", "/nonexistent")
	d.cmd.Env = append(os.Environ(), "MCPNET_LOG=error", surface.NamespacesVariable+"="+d.world.Pins)
	d.cmd.Env = append(d.cmd.Env, env...)
	d.cmd.Stderr = os.Stderr
	must(t, d.cmd.Start(), "driver")
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
	})
	d.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	must(t, d.await(), "driver")
	return d
}

// await waits for the first answer that needs the engine.
func (d *driver) await() error {
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = d.call("NetworkDriver.Leave", network.LeaveRequest{NetworkID: networkID, EndpointID: endpointID(0)}, nil); err == nil {
			return nil
		}
	}
	return err
}

// call asks the driver. An answer that is an error has the field Err.
func (d *driver) call(method string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	response, err := d.http.Post("http://driver/"+method, "application/vnd.docker.plugins.v1.2+json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		return err
	}
	var failure struct{ Err string }
	if err := json.Unmarshal(text.Bytes(), &failure); err != nil {
		return fmt.Errorf("%s: %w: %s", method, err, text.Bytes())
	}
	if failure.Err != "" {
		return fmt.Errorf("%s: %s", method, failure.Err)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text.Bytes(), answer)
}

func (d *driver) createNetwork() error {
	return d.call("NetworkDriver.CreateNetwork", network.CreateNetworkRequest{
		NetworkID: networkID,
		IPv4Data:  []*network.IPAMData{{AddressSpace: "LocalDefault", Pool: subnet.String(), Gateway: prefixed(bridgeAddr)}},
		Options:   map[string]any{"com.docker.network.generic": map[string]string{"mcpnet.gateway": service.String()}},
	}, nil)
}

// attach makes an endpoint and joins it. The option tells a gateway.
func (d *driver) attach(id, ip string, options map[string]any) (link string, err error) {
	err = d.call("NetworkDriver.CreateEndpoint", network.CreateEndpointRequest{
		NetworkID: networkID, EndpointID: id, Interface: &network.EndpointInterface{Address: ip}, Options: options}, nil)
	if err != nil {
		return "", err
	}
	var joined network.JoinResponse
	err = d.call("NetworkDriver.Join", network.JoinRequest{NetworkID: networkID, EndpointID: id, SandboxKey: "/run/docker/netns/" + id[:12]}, &joined)
	return joined.InterfaceName.SrcName, err
}

func (d *driver) attachServer(i int) (link string, err error) {
	return d.attach(endpointID(i), prefixed(address(i)), map[string]any{})
}

func (d *driver) detach(i int) error {
	return errors.Join(
		d.call("NetworkDriver.Leave", network.LeaveRequest{NetworkID: networkID, EndpointID: endpointID(i)}, nil),
		d.call("NetworkDriver.DeleteEndpoint", network.DeleteEndpointRequest{NetworkID: networkID, EndpointID: endpointID(i)}, nil))
}

// fill makes the network with its gateway and as many servers. The gateway and the server in the middle get their
// links.
func (d *driver) fill(size int) {
	must(d.t, d.createNetwork(), "network")
	// The engine's record, which would tell the range it assigns from, does not exist here: the option stands for it. The
	// driver waits for the record in vain, so this one call takes two seconds.
	link, err := d.attach(gatewayID, prefixed(service.Addr()), map[string]any{"mcpnet.role": "gateway"})
	must(d.t, err, "gateway")
	d.gateway = seat(d.t, d.world.Host, link, "gateway", service.Addr())
	park := parking(d.t, d.world.Host)
	for i := range size {
		link, err := d.attachServer(i)
		must(d.t, err, "server %d", i)
		if i == measured(size) {
			d.server = seat(d.t, d.world.Host, link, "server", address(i))
		} else {
			park(link)
		}
	}
	d.size = size
}

// series is the name of what is measured of it.
func (d *driver) series(what string) string { return fmt.Sprintf("%s %d%s", what, d.size, d.variant) }

// memory reads a line of /proc/PID/status, in MiB.
func (d *driver) memory(name string) (float64, error) {
	file := fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid)
	text := find(file, `(?m)^`+regexp.QuoteMeta(name)+`:\s*(\d+) kB$`)
	kib, err := strconv.Atoi(text)
	return float64(kib) / 1024, err
}
