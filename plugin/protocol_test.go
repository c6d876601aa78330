package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/go-plugins-helpers/network"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/operator"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/internal/version"
)

// daemon is the plugin as Docker meets it: its handler on a socket, over an engine on a host of its own.
type daemon struct {
	t      *testing.T
	driver *driver
	world  *testnet.World
	host   *testnet.NS
	engine *resident.Front
	client http.Client
	calls  atomic.Int32 // how often the driver asked for a look at Docker's list
}

// newDaemon serves calls without an engine behind them yet.
func newDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{t: t, driver: newDriver(slog.New(slog.DiscardHandler))}
	handler := network.NewHandler(d.driver)
	serveOperator(handler, d.driver)
	socket := filepath.Join(t.TempDir(), "mcpnet.sock")
	l, err := listenUnix(socket)
	check(t, err)
	go func() { _ = handler.Serve(l) }()
	t.Cleanup(func() { l.Close() })
	d.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	return d
}

// ready gives the daemon its engine.
func (d *daemon) ready() *daemon {
	d.t.Helper()
	d.world = testnet.NewWorld(d.t)
	d.host = d.world.Host
	e, err := resident.Open(d.t.Context(), resident.Config{StoreDir: d.t.TempDir(), NetNS: d.host.Path(),
		Pins: ns.HostPins(d.world.Pins), Owner: topology.OwnerDocker, Log: slog.New(slog.DiscardHandler)})
	check(d.t, err)
	d.t.Cleanup(func() { e.Close() })
	check(d.t, e.Start(d.t.Context()))
	d.engine = e
	d.driver.serve(e, func() { d.calls.Add(1) }, func(string) error { return nil })
	return d
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// post sends a call as it stands and gives what came back.
func (d *daemon) post(call, body string) (status int, answer string) {
	d.t.Helper()
	response, err := d.client.Post("http://plugin/"+call, "application/json", strings.NewReader(body))
	check(d.t, err)
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	check(d.t, err)
	return response.StatusCode, string(b)
}

type object = map[string]any

// call sends a call; its error is what Docker shows the user.
func (d *daemon) call(name string, request object, answer any) error {
	d.t.Helper()
	b, err := json.Marshal(request)
	check(d.t, err)
	status, body := d.post("NetworkDriver."+name, string(b))
	if status != http.StatusOK {
		var failure struct{ Err string }
		check(d.t, json.Unmarshal([]byte(body), &failure))
		return errors.New(failure.Err)
	}
	if answer != nil {
		check(d.t, json.NewDecoder(bytes.NewReader([]byte(body))).Decode(answer))
	}
	return nil
}

// calls that carry a request.
var decoding = []string{"CreateNetwork", "DeleteNetwork", "CreateEndpoint", "DeleteEndpoint", "EndpointOperInfo", "Join", "Leave",
	"AllocateNetwork", "FreeNetwork", "DiscoverNew", "DiscoverDelete", "ProgramExternalConnectivity", "RevokeExternalConnectivity"}

// TestBrokenRequests: Docker's retries can come with an empty body. They are the caller's fault, not the driver's.
func TestBrokenRequests(t *testing.T) {
	d := newDaemon(t).ready()
	for _, call := range decoding {
		for _, body := range []string{"", "{", "[]", "no json"} {
			if status, answer := d.post("NetworkDriver."+call, body); status != http.StatusBadRequest {
				t.Errorf("%s with %q: %d %s", call, body, status, answer)
			}
		}
	}
}

func TestRequestsWithoutIDs(t *testing.T) {
	d := newDaemon(t).ready()
	for call, missing := range map[string]string{"CreateNetwork": "NetworkID", "DeleteNetwork": "NetworkID", "CreateEndpoint": "NetworkID",
		"DeleteEndpoint": "NetworkID", "Join": "NetworkID", "Leave": "NetworkID"} {
		if err := d.call(call, object{}, nil); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s {}: %v", call, err)
		}
	}
	check(t, d.call("CreateNetwork", wellFormed(nil), nil))
	for _, call := range []string{"CreateEndpoint", "DeleteEndpoint", "Join", "Leave"} {
		if err := d.call(call, object{"NetworkID": "4f2a9c1e"}, nil); err == nil || !strings.Contains(err.Error(), "EndpointID") {
			t.Errorf("%s without an endpoint: %v", call, err)
		}
	}
}

func TestUnknownNetwork(t *testing.T) {
	d := newDaemon(t).ready()
	ids := object{"NetworkID": "unknown", "EndpointID": "e"}
	for _, call := range []string{"CreateEndpoint", "Join"} {
		if err := d.call(call, ids, nil); err == nil || !strings.Contains(err.Error(), "unknown: no such mcpnet network") {
			t.Errorf("%s: %v", call, err)
		}
	}
	for _, call := range []string{"Leave", "DeleteEndpoint", "DeleteNetwork"} { // the engine may repeat them
		check(t, d.call(call, ids, nil))
	}
}

func TestActivation(t *testing.T) {
	d := newDaemon(t) // not ready: the engine asks while it starts
	if _, answer := d.post("Plugin.Activate", ""); !strings.Contains(answer, "NetworkDriver") {
		t.Errorf("got %s", answer)
	}
	var c network.CapabilitiesResponse
	check(t, d.call("GetCapabilities", nil, &c))
	if c.Scope != "local" || c.ConnectivityScope != "local" {
		t.Errorf("%+v", c)
	}
}

// TestOperator: the operator's command asks on the driver's socket.
func TestOperator(t *testing.T) {
	d := newDaemon(t).ready()
	check(t, d.call("CreateNetwork", wellFormed(nil), nil))
	var s report.Status
	status, body := d.post(strings.TrimPrefix(operator.StatusPath, "/"), "")
	if err := json.Unmarshal([]byte(body), &s); err != nil || status != http.StatusOK || len(s.Networks) != 1 || s.Version != version.String() {
		t.Errorf("%d, %v: %s", status, err, body)
	}
	var p report.Plan
	status, body = d.post(strings.TrimPrefix(operator.PlanPath, "/"), "")
	if err := json.Unmarshal([]byte(body), &p); err != nil || status != http.StatusOK || p.Schema != report.PlanSchema || p.Steps == nil {
		t.Errorf("%d, %v: %s", status, err, body)
	}
}

// TestCallsWait: a call that comes early waits for the networks to be up.
func TestCallsWait(t *testing.T) {
	d := newDaemon(t)
	done := make(chan error, 1)
	go func() { done <- d.call("CreateNetwork", wellFormed(nil), nil) }()
	select {
	case err := <-done:
		t.Fatalf("answered before the plugin was ready: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	d.ready()
	check(t, <-done)
}

// TestFailedStart: a plugin that cannot work says why to whoever asks.
func TestFailedStart(t *testing.T) {
	d := newDaemon(t)
	d.driver.refuse(errors.New("this kernel has no nft_fwd_netdev"))
	if err := d.call("CreateNetwork", wellFormed(nil), nil); err == nil || err.Error() != "mcpnet: this kernel has no nft_fwd_netdev" {
		t.Errorf("got %v", err)
	}
	if status, answer := d.post("mcpnet.Status", ""); status == http.StatusOK || !strings.Contains(answer, "no nft_fwd_netdev") {
		t.Errorf("got %d %s", status, answer)
	}
}

// TestNeverReady takes as long as a call may.
func TestNeverReady(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	began := time.Now()
	err := d.call("Join", object{"NetworkID": "n", "EndpointID": "e"}, nil)
	if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "still bringing the networks up") || took > 10*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}
