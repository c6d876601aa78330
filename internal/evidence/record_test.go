package evidence

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/docker"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// engine is a Docker engine's answers.
type engine struct {
	*RecordCollector
	host    *host
	list    docker.List
	records map[string]admission.Record
	asked   []string
}

// hard is the record of a container that conforms.
var hard = admission.Record{CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}, MaskedPaths: []string{"/proc/kcore"},
	ReadonlyPaths: []string{"/proc/sys", "/proc/sysrq-trigger"}}

// newEngine has a conforming server on the network mcp, and a container beside it.
func newEngine(t *testing.T) *engine {
	e := &engine{host: newHost(t, "server"), records: map[string]admission.Record{"server-id": hard, "other-id": {}}}
	e.list = docker.List{Containers: []docker.Container{{ID: "other-id", Name: "other", Living: true}, {ID: "server-id", Name: "server", Living: true}},
		Attachments: []docker.Attachment{{NetworkID: "mcp", EndpointID: "server", Container: "server", ContainerID: "server-id", Running: true}}}
	e.RecordCollector = NewRecordCollector(e.host, nil, attestations(t), quiet())
	e.RecordCollector.records.inspect = func(_ context.Context, id string) (admission.Record, error) {
		e.asked = append(e.asked, id)
		record, ok := e.records[id]
		if !ok {
			return record, errors.New("busy")
		}
		return record, nil
	}
	return e
}

func (e *engine) judge(t *testing.T) topology.Admission {
	t.Helper()
	check(t, e.Judge(t.Context(), e.list))
	return e.host.admission["server"]
}

// TestRecordOnce: a record is read once while its container is listed, the servers' first, and none without a server.
func TestRecordOnce(t *testing.T) {
	e := newEngine(t)
	for range 2 {
		if a := e.judge(t); a.State != topology.Conforms || a.By != admission.ByRecord {
			t.Errorf("%+v", a)
		}
	}
	if !slices.Equal(e.asked, []string{"server-id", "other-id"}) {
		t.Errorf("asked for %v", e.asked)
	}
	e = newEngine(t)
	e.host.examined = nil
	check(t, e.Judge(t.Context(), e.list))
	if len(e.asked) > 0 {
		t.Errorf("without a server asked for %v", e.asked)
	}
}

// TestJoined: a container that joins the server's pid or ipc namespace says so in its own record alone.
func TestJoined(t *testing.T) {
	for namespace, record := range map[string]admission.Record{"pid": {PID: "container:server"}, "ipc": {IPC: "container:server-id"}} {
		e := newEngine(t)
		e.records["other-id"] = record
		a := e.judge(t)
		if !a.WayOut || a.Reason != "its "+namespace+" namespace is also that of other" {
			t.Errorf("%s: %+v", namespace, a)
		}
		e.list.Containers[0].Living = false
		if a := e.judge(t); a.State != topology.Conforms {
			t.Errorf("%s, it has ended: %+v", namespace, a)
		}
	}
}

// TestAttested: what the runtime attests says nothing of what the record shows beside capabilities, and nothing at all
// where it is more than the policy permits.
func TestAttested(t *testing.T) {
	e := newEngine(t)
	record := hard
	record.CapAdd, record.PID = []string{"NET_ADMIN"}, "container:other"
	e.records["server-id"] = record
	check(t, e.attestations.Attest(attest.Attestation{Network: "mcp", Endpoint: "server", Container: "server-id", Caps: policy.DefaultCaps}))
	if a := e.judge(t); !a.WayOut || strings.Contains(a.Reason, "NET_ADMIN") || !strings.Contains(a.Reason, "--pid container:other") {
		t.Errorf("%+v", a)
	}
	raw, _ := policy.Cap("NET_RAW")
	check(t, e.attestations.Attest(attest.Attestation{Network: "mcp", Endpoint: "server", Container: "server-id", Caps: raw}))
	if a := e.judge(t); !strings.Contains(a.Reason, "NET_ADMIN") {
		t.Errorf("attested with more: %+v", a)
	}
}

// TestAttestedLate: an attestation that comes first admits by itself, and one that comes after a way out was seen does
// not let the server in again.
func TestAttestedLate(t *testing.T) {
	e := newEngine(t)
	check(t, e.attestations.Attest(attest.Attestation{Network: "mcp", Endpoint: "server", Container: "server-id", Caps: policy.DefaultCaps}))
	check(t, e.admitAttested(t.Context(), "server"))
	if a := e.host.admission["server"]; a.State != topology.Conforms || a.By != admission.ByRuntime {
		t.Errorf("nothing else is known: %+v", a)
	}
	e.list.Attachments[0].Others = []string{"out"}
	e.judge(t)
	check(t, e.admitAttested(t.Context(), "server"))
	if a := e.host.admission["server"]; !a.WayOut {
		t.Errorf("it is on another network: %+v", a)
	}
}

// TestConnected: the engine's event alone cuts a server that is connected elsewhere, before the list shows it, and what
// the list shows next does not let it in again.
func TestConnected(t *testing.T) {
	e := newEngine(t)
	e.judge(t)
	for what, event := range map[string]docker.Change{
		"another container": {Connected: true, Container: "other-id", NetworkID: "out", Network: "out"},
		"its own network":   {Connected: true, Container: "server-id", NetworkID: "mcp", Network: "mcp"},
		"a start":           {Container: "server-id"},
	} {
		check(t, e.Changed(t.Context(), event))
		if a := e.host.admission["server"]; a.State != topology.Conforms {
			t.Errorf("%s: %+v", what, a)
		}
	}
	connect := docker.Change{Connected: true, Container: "server-id", NetworkID: "out", Network: "out"}
	check(t, e.Changed(t.Context(), connect))
	if a := e.host.admission["server"]; !a.WayOut || !strings.Contains(a.Reason, "is also on out") {
		t.Errorf("after the event: %+v", a)
	}
	if a := e.judge(t); !a.WayOut {
		t.Errorf("the list does not show it yet: %+v", a)
	}
	e.list.Attachments[0].Others = []string{"out"}
	if a := e.judge(t); !a.WayOut || strings.Count(a.Reason, "out") != 1 {
		t.Errorf("the list shows it: %+v", a)
	}
	e.list.Attachments[0].Others = nil
	check(t, e.Changed(t.Context(), docker.Change{Disconnected: true, Container: "server-id", NetworkID: "out", Network: "out"}))
	if a := e.judge(t); a.State != topology.Conforms {
		t.Errorf("disconnected: %+v", a)
	}
	check(t, e.Changed(t.Context(), connect))
	if a := e.host.admission["server"]; !a.WayOut {
		t.Errorf("connected again: %+v", a)
	}
}

// TestConnections: an event that the list never confirms is forgotten.
func TestConnections(t *testing.T) {
	c, now := connections{}, time.Now()
	c.add("server", "out", now)
	if got := c.with("server", []string{"in"}, now.Add(connectedAge-1)); !slices.Equal(got, []string{"in", "out"}) {
		t.Errorf("soon: %v", got)
	}
	if got := c.with("server", nil, now.Add(connectedAge)); len(got) > 0 || len(c) > 0 {
		t.Errorf("late: %v, %v left", got, c)
	}
}

// TestUnread: a record that cannot be read is asked for again, and told of when that lasts.
func TestUnread(t *testing.T) {
	e := newEngine(t)
	delete(e.records, "server-id")
	if err := e.Judge(t.Context(), e.list); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("got %v", err)
	}
	if len(e.host.lacking) > 0 || len(e.host.admission) > 0 {
		t.Errorf("at once: %+v %+v", e.host.lacking, e.host.admission)
	}
	e.RecordCollector.records.unread["server-id"] = time.Now().Add(-time.Minute)
	_ = e.Judge(t.Context(), e.list)
	if len(e.host.lacking) != 1 || e.host.lacking[0].Object != "container server" {
		t.Errorf("after a minute: %+v", e.host.lacking)
	}
	e.records["server-id"] = hard
	if a := e.judge(t); a.State != topology.Conforms || len(e.host.lacking) > 0 {
		t.Errorf("read at last: %+v, lacking %+v", a, e.host.lacking)
	}
}

// TestUnlisted: an engine that does not answer is told of.
func TestUnlisted(t *testing.T) {
	e := newEngine(t)
	check(t, e.Unlisted(t.Context(), errors.New("no such socket")))
	if len(e.host.lacking) != 1 || !strings.Contains(e.host.lacking[0].Meaning, "no such socket") {
		t.Errorf("%+v", e.host.lacking)
	}
	if e.judge(t); len(e.host.lacking) > 0 {
		t.Errorf("it answers: %+v", e.host.lacking)
	}
}
