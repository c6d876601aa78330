package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/docker"
	"github.com/mcpnet/mcpnet/internal/evidence"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// newSync makes the sync of a daemon's engine with a Docker engine that lists networks, and no container.
func newSync(d *daemon, networks string) *engineSync {
	d.t.Helper()
	socket := filepath.Join(d.t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	check(d.t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.44")
		switch {
		case strings.HasSuffix(r.URL.Path, "/networks"):
			_, _ = w.Write([]byte(networks))
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			_, _ = w.Write([]byte("[]"))
		}
	})}
	go func() { _ = server.Serve(l) }()
	d.t.Cleanup(func() { server.Close() })
	client, err := docker.Open(socket)
	check(d.t, err)
	d.t.Cleanup(func() { client.Close() })
	log, attestations := slog.New(slog.DiscardHandler), attest.In(d.t.TempDir())
	return &engineSync{engine: d.engine, docker: client, attestations: attestations, log: log, wake: newNotifier(),
		evidence: evidence.NewRecordCollector(d.engine, client, attestations, log), missing: map[string]time.Time{}}
}

// TestCollectAgain: what a look could not collect, because of another network, the next one collects.
func TestCollectAgain(t *testing.T) {
	t.Parallel() // beside TestNeverReady
	d := newDaemon(t).ready()
	make := func(id, subnet string) {
		t.Helper()
		prefix := netip.MustParsePrefix(subnet)
		p, err := policy.Parse(map[string]string{policy.KeyGateway: prefix.Addr().Next().Next().String() + ":8080", policy.KeyEgress: "off",
			policy.KeyBridge: id})
		check(t, err)
		check(t, d.engine.CreateNetwork(t.Context(), topology.Network{ID: id, Bridge: p.Bridge, Subnet: prefix,
			BridgeAddr: prefix.Addr().Next(), Policy: p}))
	}
	make("bad", "172.21.0.0/16")
	s := newSync(d, `[{"Id":"bad","Name":"bad","Driver":"mcpnet"}]`)
	mark := d.world.Pinned("bad").Link("bad").Attrs().Alias
	pinTheirs(d, "bad", "")
	if err := s.look(t.Context()); err == nil {
		t.Fatal("a network that is another's is no error")
	}
	// Now the bad one is gone, and something is left over.
	check(t, ns.HostPins(d.world.Pins).Remove("bad", nil))
	pinTheirs(d, "mcp-left", strings.Replace(mark, "bad", "left", 1))
	check(t, s.look(t.Context()))
	if _, err := os.Lstat(d.world.Pinned("mcp-left").Path()); !os.IsNotExist(err) {
		t.Errorf("the left-over namespace stays: %v", err)
	}
	if !s.collected {
		t.Error("collects for ever")
	}
}

// pinTheirs puts a namespace under a name, whatever has it, with a bridge that bears a mark.
func pinTheirs(d *daemon, name, mark string) {
	d.t.Helper()
	theirs, path := testnet.New(d.t, "theirs-"+name), d.world.Pinned(name).Path()
	theirs.Run("ip", "link", "add", name, "type", "bridge")
	if mark != "" {
		theirs.Run("ip", "link", "set", name, "alias", mark)
	}
	check(d.t, ns.HostPins(d.world.Pins).Remove(name, nil))
	check(d.t, os.WriteFile(path, nil, 0o600))
	d.host.Run("mount", "--bind", theirs.Path(), path)
}

// TestMissingIsForgotten: what was missing once, and then went in the usual way, is not remembered.
func TestMissingIsForgotten(t *testing.T) {
	t.Parallel() // beside TestNeverReady
	d := newDaemon(t).ready()
	check(t, d.call("CreateNetwork", wellFormed(nil), nil))
	networks, err := d.engine.Networks(t.Context())
	check(t, err)
	id := networks[0].ID
	s := newSync(d, `[{"Id":"`+id+`","Name":"n","Driver":"mcpnet"}]`)
	for i := range 50 {
		e := topology.Endpoint{ID: "e" + string(rune('a'+i%26)) + string(rune('a'+i/26)), NetworkID: id, Role: topology.RoleServer,
			IP: netip.AddrFrom4([4]byte{172, 20, 240, byte(i + 1)})}
		_, err := d.engine.CreateEndpoint(t.Context(), e)
		check(t, err)
		check(t, s.look(t.Context()))
		check(t, d.engine.DeleteEndpoint(t.Context(), id, e.ID))
	}
	check(t, s.look(t.Context()))
	if len(s.missing) > 0 {
		t.Errorf("%d objects that are gone are remembered", len(s.missing))
	}
}

// TestListed: what the engine's list says of endpoints is noted, and makes a candidate a gateway.
func TestListed(t *testing.T) {
	d := newDaemon(t).ready()
	check(t, d.call("CreateNetwork", wellFormed(nil), nil))
	networks, err := d.engine.Networks(t.Context())
	check(t, err)
	n := networks[0]
	s, known := newSync(d, "[]"), map[string]topology.Network{n.ID: n}
	server := docker.Attachment{NetworkID: n.ID, EndpointID: "s", Container: "s", Running: true, Address: netip.MustParseAddr("172.20.240.1"),
		MAC: "02:42:ac:14:f0:01"}
	gateway := docker.Attachment{NetworkID: n.ID, EndpointID: "g", Container: "g", Running: true, Address: n.Policy.GatewayAddrs()[0],
		MAC: "02:6b:ac:14:00:64"}
	for a, want := range map[*docker.Attachment]topology.Role{&server: topology.RoleServer, &gateway: topology.RoleCandidate} {
		e, err := listedEndpoint(n, *a)
		if check(t, err); e.ID != a.EndpointID || e.Container != a.Container || e.IP != a.Address || e.MAC.String() != a.MAC || e.Role != want {
			t.Fatalf("%+v", e)
		}
		e.Container = ""
		_, err = d.engine.CreateEndpoint(t.Context(), e)
		check(t, err)
	}
	look := func() (all map[string]topology.Endpoint) {
		t.Helper()
		_, err := s.endpoints(t.Context(), known, []docker.Attachment{server, gateway})
		check(t, err)
		have, err := d.engine.Endpoints(t.Context())
		check(t, err)
		all = map[string]topology.Endpoint{}
		for _, e := range have {
			all[e.ID] = e
		}
		return all
	}
	if e := look()["g"]; e.Container != "g" || e.Role != topology.RoleCandidate || !strings.Contains(e.Reason, "outside --ip-range") {
		t.Errorf("%+v", e)
	}
	server.Container, gateway.Asked = "renamed", true
	all := look()
	if e := all["s"]; e.Container != "renamed" || e.Role != topology.RoleServer {
		t.Errorf("%+v", e)
	}
	if e := all["g"]; e.Role != topology.RoleGateway || !strings.Contains(e.Reason, "was asked for (container g)") {
		t.Errorf("%+v", e)
	}
	for _, role := range []topology.Role{topology.RoleServer, topology.RoleCandidate} { // one that went meanwhile
		if err := s.decide(t.Context(), topology.Endpoint{ID: "gone", NetworkID: n.ID, Role: role}, gateway); err == nil {
			t.Errorf("%s: no error", role)
		}
	}
}

// TestServedLater: a plugin whose start failed serves when the reason is gone; until then it says why not.
func TestServedLater(t *testing.T) {
	t.Parallel() // beside TestNeverReady
	d := newDaemon(t)
	d.driver.refuse(context.DeadlineExceeded)
	if err := d.call("DeleteNetwork", object{"NetworkID": "n"}, nil); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
	attempts := 0
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	untilDone(ctx, slog.New(slog.DiscardHandler), func() error {
		if attempts++; attempts == 1 {
			return context.DeadlineExceeded
		}
		d.ready()
		return nil
	})
	check(t, d.call("DeleteNetwork", object{"NetworkID": "n"}, nil))
}
