package docker

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/mcpnet/mcpnet/internal/admission"
)

// TestLives: a paused container's processes go on when nobody looks any more.
func TestLives(t *testing.T) {
	for state, want := range map[string]bool{"running": true, "paused": true, "restarting": true, "created": false, "exited": false, "dead": false} {
		if lives(state) != want {
			t.Errorf("%s: %v", state, !want)
		}
	}
}

// TestRecord: whatever a user asked for that may be a way out is in the record.
func TestRecord(t *testing.T) {
	got := recordOf(&container.HostConfig{Privileged: true, CapAdd: []string{"A"}, CapDrop: []string{"B"}, SecurityOpt: []string{"C"}, PidMode: "host",
		IpcMode: "container:x", UTSMode: "host", MaskedPaths: []string{"/m"}, ReadonlyPaths: []string{"/r"},
		Resources: container.Resources{Devices: []container.DeviceMapping{{PathOnHost: "/dev/x"}}, DeviceCgroupRules: []string{"a"}}})
	want := admission.Record{Privileged: true, CapAdd: []string{"A"}, CapDrop: []string{"B"}, SecurityOpt: []string{"C"}, PID: "host", IPC: "container:x",
		UTS: "host", MaskedPaths: []string{"/m"}, ReadonlyPaths: []string{"/r"}, Devices: []string{"/dev/x"}, DeviceRules: []string{"a"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChange(t *testing.T) {
	connect := events.Message{Type: events.NetworkEventType, Action: events.ActionConnect,
		Actor: events.Actor{ID: "net", Attributes: map[string]string{"container": "c", "name": "other"}}}
	if diff := cmp.Diff(Change{Connected: true, Container: "c", NetworkID: "net", Network: "other"}, changeOf(connect)); diff != "" {
		t.Error(diff)
	}
	started := events.Message{Type: events.ContainerEventType, Action: events.ActionStart, Actor: events.Actor{ID: "c"}}
	if diff := cmp.Diff(Change{Container: "c"}, changeOf(started)); diff != "" {
		t.Error(diff)
	}
}

// TestHostPaths: a volume of Docker's own driver shows of the host what its options say.
func TestHostPaths(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		want    []string
	}{
		{nil, []string{}},
		{map[string]string{"type": "none", "o": "bind", "device": "/run/docker"}, []string{"/run/docker"}},
		{map[string]string{"type": "proc", "device": "proc"}, []string{"proc", "/proc"}},
		{map[string]string{"type": "overlay", "device": "overlay", "o": "ro,lowerdir=/etc:/root"}, []string{"overlay", "/etc", "/root"}},
		{map[string]string{"type": "overlay", "device": "overlay", "o": "lowerdir=/a,upperdir=/b,workdir=/c"}, []string{"overlay", "/a", "/b", "/c"}},
		{map[string]string{"type": "nfs", "o": "addr=192.0.2.1", "device": ":/data"}, []string{":/data"}},
	} {
		if diff := cmp.Diff(c.want, hostPaths(c.options)); diff != "" {
			t.Errorf("%v: %s", c.options, diff)
		}
	}
}
