package docker

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"

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

// TestHostMounts: a volume of Docker's own driver shows of the host what its options say.
func TestHostMounts(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		want    []string
	}{
		{nil, nil},
		{map[string]string{"type": "none", "o": "bind", "device": "/run/docker"}, []string{"/run/docker"}},
		{map[string]string{"type": "none", "o": "rbind", "device": "../etc"}, []string{"/etc"}},
		{map[string]string{"type": "ext4", "device": "dev/sda1"}, []string{"/dev/sda1"}},
		{map[string]string{"type": "proc", "device": "proc"}, []string{"/proc", "/proc"}},
		{map[string]string{"type": "overlay", "device": "overlay", "o": "ro,lowerdir=/etc:root"}, []string{"/overlay", "/etc", "/root"}},
		{map[string]string{"type": "nfs", "o": "addr=192.0.2.1", "device": ":/data"}, nil},
		{map[string]string{"type": "cifs", "o": "addr=192.0.2.1", "device": "//run/docker"}, nil},
		{map[string]string{"type": "tmpfs", "device": "tmpfs"}, nil},
	} {
		var got []string
		for _, m := range hostMounts(c.options, true) {
			if got = append(got, m.Source); !m.ReadOnly {
				t.Errorf("%v: %s is written", c.options, m.Source)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v: %s", c.options, diff)
		}
	}
}

// TestOverlayIsWritten: the upper and the work directory of an overlay are written to, however it is mounted.
func TestOverlayIsWritten(t *testing.T) {
	written := map[string]bool{}
	for _, m := range hostMounts(map[string]string{"type": "overlay", "device": "overlay", "o": "lowerdir=/a,upperdir=/b,workdir=/c"}, true) {
		written[m.Source] = !m.ReadOnly
	}
	if diff := cmp.Diff(map[string]bool{"/overlay": false, "/a": false, "/b": true, "/c": true}, written); diff != "" {
		t.Error(diff)
	}
}

// TestMounted: what a volume's driver gives is judged by its place on the host; Docker's own driver's volumes are in a
// place that Docker keeps for them.
func TestMounted(t *testing.T) {
	api := http.NewServeMux()
	api.HandleFunc("/volumes/{name}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"Name":%q,"Driver":"local","Options":{"type":"none","o":"bind","device":"/srv/%s"}}`, r.PathValue("name"), r.PathValue("name"))
	})
	socket := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	engine := http.Server{Handler: http.StripPrefix("/v1.44", api)}
	go func() { _ = engine.Serve(l) }()
	defer engine.Close()
	t.Setenv("DOCKER_API_VERSION", "1.44")
	c, err := Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.mounted(t.Context(), []container.MountPoint{
		{Type: mount.TypeBind, Source: "/srv"},
		{Type: mount.TypeVolume, Name: "data", Driver: "local", Source: "/var/lib/docker/volumes/data/_data", RW: true},
		{Type: mount.TypeVolume, Name: "v", Driver: "another", Source: "/etc"},
		{Type: mount.TypeTmpfs, Destination: "/tmp"},
	})
	want := []admission.Mount{{Source: "/srv", ReadOnly: true}, {Source: "/srv/data"}, {Source: "/etc", ReadOnly: true}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}
