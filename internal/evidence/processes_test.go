package evidence

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestNextLook: a container that starts at once is found at once, and one that never starts costs no look more than
// every endpoint does.
func TestNextLook(t *testing.T) {
	var looks []time.Duration
	for at := time.Duration(0); at < time.Minute; at += nextLook(at) {
		looks = append(looks, at)
	}
	for i, at := range looks[1:] {
		pause := at - looks[i]
		if pause < minInterval || pause > maxInterval || pause > minInterval && pause > looks[i]/4 {
			t.Errorf("after %v the next look is %v later", looks[i], pause)
		}
	}
	if n := len(looks); n > 30 {
		t.Errorf("%d looks in a minute at an endpoint that is never decided", n)
	}
	if last := nextLook(time.Hour); last != maxInterval {
		t.Errorf("after an hour the next look is %v later, want %v", last, maxInterval)
	}
}

// good is a process of a container that conforms.
var good = admission.Process{PID: 7, Thread: 7, Start: 1, Name: "server", Caps: policy.DefaultCaps, Sealed: true}

func newProcessCollector(t *testing.T, h *host) *ProcessCollector {
	c := NewProcessCollector(quiet(), attestations(t))
	c.networks = h
	c.interfaces = func(int) ([]string, error) { return h.names, nil }
	c.mountsOf = func(int) ([]admission.Mount, bool, error) { return h.mounts, true, nil }
	return c
}

// judgeTwice judges a container in two looks, as one leaves a doubt.
func judgeTwice(c *ProcessCollector, h *host, processes ...admission.Process) verdict {
	var v verdict
	for range 2 {
		next := newFindings()
		v = c.judge(h.examined[0], processes, &next)
		c.findings = next
	}
	return v
}

// TestJudgeProcesses: every way out of a container is one by itself, whatever the runtime attests.
func TestJudgeProcesses(t *testing.T) {
	holding := func(name string) admission.Process {
		p := good
		more, _ := policy.Cap(name)
		p.Caps |= more
		return p
	}
	raw, _ := policy.Cap("NET_RAW")
	elsewhere := admission.Process{PID: 9, Start: 1, Name: "spy", Elsewhere: []string{"pid"}}
	for name, tt := range map[string]struct {
		processes []admission.Process
		outlets   core.Outlets
		attested  *policy.Caps
		says      string
		wayOut    bool
		by        string
	}{
		"nobody yet":       {nil, core.Outlets{}, nil, "", false, ""},
		"good":             {[]admission.Process{good}, core.Outlets{Endpoints: []string{"a"}}, nil, "", false, admission.ByProcesses},
		"attested":         {nil, core.Outlets{}, &policy.DefaultCaps, "", false, admission.ByRuntime},
		"attested, more":   {nil, core.Outlets{}, &raw, "", false, ""},
		"too much":         {[]admission.Process{good, holding("NET_RAW")}, core.Outlets{}, nil, "NET_RAW", false, admission.ByProcesses},
		"a way out":        {[]admission.Process{holding("NET_ADMIN")}, core.Outlets{}, nil, "NET_ADMIN", true, admission.ByProcesses},
		"second interface": {[]admission.Process{good}, core.Outlets{Others: []string{"eth1"}}, nil, "another way out: eth1", true, admission.ByProcesses},
		"two networks":     {[]admission.Process{good}, core.Outlets{Endpoints: []string{"a", "b"}}, nil, "on 2 mcpnet networks", true, admission.ByProcesses},
		"joined":           {[]admission.Process{good, elsewhere}, core.Outlets{}, nil, "spy", true, admission.ByProcesses},
		"a mount":          {[]admission.Process{good}, core.Outlets{}, nil, "Podman's socket", true, admission.ByProcesses},
		"attested, out":    {[]admission.Process{good}, core.Outlets{Others: []string{"eth1"}}, &policy.DefaultCaps, "eth1", true, admission.ByProcesses},
	} {
		h := newHost(t, "server")
		h.outlets = tt.outlets
		if name == "a mount" {
			h.mounts = []admission.Mount{{Source: "/srv"}, {Source: "/run/podman/podman.sock"}}
		}
		c := newProcessCollector(t, h)
		if tt.attested != nil {
			check(t, c.attestations.Attest(attest.Attestation{Network: "mcp", Endpoint: "server", Container: "server", Caps: *tt.attested}))
		}
		v := judgeTwice(c, h, tt.processes...)
		if !strings.Contains(v.Reason, tt.says) || (v.Reason == "") != (tt.says == "") || v.WayOut != tt.wayOut || v.By != tt.by {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestOneLook: the first process of a runtime holds everything for milliseconds, so one look proves nothing.
func TestOneLook(t *testing.T) {
	h := newHost(t, "server")
	c := newProcessCollector(t, h)
	all := good
	all.Caps = policy.AllCaps
	next := newFindings()
	if v := c.judge(h.examined[0], []admission.Process{all}, &next); !v.doubtful || v.State != topology.AdmissionWaiting {
		t.Errorf("one look: %+v", v)
	}
	c.findings = next
	again, next := all, newFindings()
	again.Start++ // another process that has got its number
	if v := c.judge(h.examined[0], []admission.Process{again}, &next); !v.doubtful || v.State != topology.AdmissionWaiting {
		t.Errorf("another process: %+v", v)
	}
}

// TestYoung: on a busy machine a runtime's process stays what it is for longer than two looks.
func TestYoung(t *testing.T) {
	h := newHost(t, "server")
	c := newProcessCollector(t, h)
	h.mounts = []admission.Mount{{Source: "/"}}
	var now unix.Timespec
	check(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &now))
	fresh := good
	fresh.Start = uint64(time.Duration(now.Nano()) / tick)
	if v := judgeTwice(c, h, fresh); !v.doubtful || v.State != topology.AdmissionWaiting {
		t.Errorf("a process that has just begun: %+v", v)
	}
	h.mounts = nil // it has entered its container
	if v := judgeTwice(c, h, fresh); v.doubtful || v.State != topology.Conforms {
		t.Errorf("it conforms: %+v", v)
	}
}

// TestBegunInside: what a container's own process has begun is judged when it is seen, however young it is; of what was
// put there from the host, always another one, it takes looks in a row.
func TestBegunInside(t *testing.T) {
	h := newHost(t, "server")
	c := newProcessCollector(t, h)
	var now unix.Timespec
	check(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &now))
	child := good
	child.Start, child.Caps, child.PID = uint64(time.Duration(now.Nano())/tick), policy.AllCaps, 100
	look := func() (v verdict) {
		next := newFindings()
		child.PID++
		v = c.judge(h.examined[0], []admission.Process{good, child}, &next)
		c.findings = next
		return v
	}
	if v := look(); !v.doubtful || v.State != topology.AdmissionWaiting {
		t.Errorf("put there: %+v", v)
	}
	c.doubted["server"] = time.Now().Add(-doubtTime)
	if v := look(); !v.WayOut {
		t.Errorf("put there, always: %+v", v)
	}
	child.Caps = good.Caps
	look()
	child.Caps = policy.AllCaps
	if v := look(); v.WayOut {
		t.Errorf("put there once more: %+v", v)
	}
	child.Inside = true
	if v := look(); !v.WayOut || v.doubtful {
		t.Errorf("begun inside: %+v", v)
	}
}

// TestNestedMounts: mounts of a container in a user namespace of its own are judged, and what a process that has shut
// itself off mounts for itself is not.
func TestNestedMounts(t *testing.T) {
	nested := good
	nested.Nested, nested.Thread = true, 8
	for name, processes := range map[string][]admission.Process{"the container": {nested}, "a process": {good, nested}} {
		h := newHost(t, "server")
		c := newProcessCollector(t, h)
		c.mountsOf = func(thread int) ([]admission.Mount, bool, error) {
			if thread == nested.Thread {
				return []admission.Mount{{Source: "/etc"}}, true, nil
			}
			return nil, true, nil
		}
		if v := judgeTwice(c, h, processes...); v.WayOut != (name == "the container") {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestNewInterface: an interface that comes is looked at by the next look, and what stays is not looked at again.
func TestNewInterface(t *testing.T) {
	h := newHost(t, "server")
	h.names = []string{"eth0", "lo"}
	c := newProcessCollector(t, h)
	if v := judgeTwice(c, h, good); v.State != topology.Conforms || h.looks != 1 {
		t.Errorf("%d looks, %+v", h.looks, v)
	}
	h.names, h.outlets.Others = []string{"eth0", "eth1", "lo"}, []string{"eth1"}
	if v := judgeTwice(c, h, good); !v.WayOut || h.looks != 2 {
		t.Errorf("%d looks, %+v", h.looks, v)
	}
}

// TestUnseenOutlets: a container whose interfaces cannot be seen is told of, and looked at again; one that has ended is
// not.
func TestUnseenOutlets(t *testing.T) {
	for unseen, want := range map[error]int{fs.ErrPermission: 1, fs.ErrNotExist: 0} {
		h := newHost(t, "server")
		h.unseen = unseen
		c := newProcessCollector(t, h)
		judgeTwice(c, h, good)
		check(t, c.tell(t.Context(), nil))
		if len(h.lacking) != want || h.looks != 2 {
			t.Errorf("%v: %d looks, lacking %+v", unseen, h.looks, h.lacking)
		}
		h.unseen = nil
		judgeTwice(c, h, good)
		check(t, c.tell(t.Context(), nil))
		if len(h.lacking) > 0 || h.looks != 3 {
			t.Errorf("seen again: %d looks, lacking %+v", h.looks, h.lacking)
		}
	}
}

// TestTell: what is lacking is recorded when it changes, and at the first look, since an earlier service may have left
// something.
func TestTell(t *testing.T) {
	h := newHost(t, "server")
	c := newProcessCollector(t, h)
	h.lacking = append(h.lacking, lackingFinding("host", "of an earlier service", ""))
	check(t, c.tell(t.Context(), nil))
	if len(h.lacking) > 0 {
		t.Errorf("still lacking: %+v", h.lacking)
	}
	check(t, c.tell(t.Context(), errors.New("hidden")))
	if len(h.lacking) != 1 || !strings.Contains(h.lacking[0].Meaning, "hidden") {
		t.Errorf("lacking %+v", h.lacking)
	}
}
