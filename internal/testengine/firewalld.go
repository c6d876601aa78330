package testengine

import (
	"context"
	"io"
	"net"
	"strings"
	"syscall"
)

// systemBus is where the system bus of every host is.
const systemBus = "/run/dbus/system_bus_socket"

// Firewalls is the file tree of a Debian with the firewalls of hosts, on a host
// of a test. None of them runs.
type Firewalls struct {
	t       T
	sandbox *sandbox
}

// OpenFirewalls opens the tree that has a version of firewalld, in a network
// namespace, by its path. What runs in it ends with the test.
func OpenFirewalls(t T, version, netNS string) *Firewalls {
	t.Helper()
	r := release{"firewalld", version}
	r.need(t)
	tree, err := r.tree()
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	box, err := openSandbox(sandboxConfig{Tree: tree, Files: map[string]string{"/run/dbus/of-a-test": ""}}, netNS)
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	f := &Firewalls{t, box}
	t.Cleanup(func() {
		if err := box.close(); err != nil {
			t.Logf("%v: %v", r, err)
		}
	})
	return f
}

// Exec runs a program of the tree.
func (f *Firewalls) Exec(name string, args ...string) (string, error) {
	return capture(f.sandbox.command(name, args...), name, args)
}

// Run is Exec for a program that has to succeed.
func (f *Firewalls) Run(name string, args ...string) string {
	f.t.Helper()
	out, err := f.Exec(name, args...)
	if err != nil {
		f.t.Fatalf("%v", err)
	}
	return strings.TrimSpace(out)
}

// Start starts a program of the tree that stays, and waits until it is ready.
func (f *Firewalls) Start(ready func() error, name string, args ...string) {
	f.t.Helper()
	d := &daemon{name: name}
	err := d.run(f.sandbox.command(name, args...), func(context.Context) error { return ready() })
	if err != nil {
		f.t.Fatalf("%v", err)
	}
}

// StartBus starts a system bus.
func (f *Firewalls) StartBus() {
	f.t.Helper()
	ready := func() error { return dialed(f.Path(systemBus)) }
	f.Start(ready, "dbus-daemon", "--system", "--nofork", "--nopidfile", "--nosyslog")
}

// Path is where the machine finds a file of the tree.
func (f *Firewalls) Path(inside string) string { return f.sandbox.path(inside) }

// Firewalld is a real firewalld on the host of a test, with a system bus and a
// configuration of its own.
type Firewalld struct {
	*Firewalls
	daemon daemon
}

// StartFirewalld runs one in a network namespace, by its path, and waits until
// it answers. It ends with the test.
func StartFirewalld(t T, version, netNS string) *Firewalld {
	t.Helper()
	f := &Firewalld{OpenFirewalls(t, version, netNS), daemon{name: "firewalld"}}
	t.Cleanup(f.close)
	f.StartBus()
	f.Restart()
	return f
}

func dialed(socket string) error {
	c, err := net.Dial("unix", socket)
	if err == nil {
		err = c.Close()
	}
	return err
}

// Bus is the address of the system bus, on the machine.
func (f *Firewalld) Bus() string { return "unix:path=" + f.Path(systemBus) }

// Restart is Stop, unless firewalld has ended already, and a new start.
func (f *Firewalld) Restart() {
	f.t.Helper()
	f.Stop()
	cmd := f.sandbox.command("firewalld", "--nofork", "--nopid")
	answers := func(context.Context) error {
		_, err := f.Exec("firewall-cmd", "--state")
		return err
	}
	if err := f.daemon.run(cmd, answers); err != nil {
		f.t.Fatalf("firewalld: %v", err)
	}
}

// Stop ends firewalld as a service is ended. It takes its rules along.
func (f *Firewalld) Stop() { f.daemon.end(syscall.SIGTERM) }

// Kill ends firewalld. Its rules stay.
func (f *Firewalld) Kill() { f.daemon.end(syscall.SIGKILL) }

// Logs is what firewalld said.
func (f *Firewalld) Logs() string { return f.daemon.logs.String() }

// Cmd runs firewall-cmd, which has to succeed.
func (f *Firewalld) Cmd(args ...string) string {
	f.t.Helper()
	return f.Run("firewall-cmd", args...)
}

// ServeBus shows the system bus at another path, where programs look for it
// that see other files, such as those of an engine.
func (f *Firewalld) ServeBus(path string) {
	f.t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		f.t.Fatalf("system bus: %v", err)
	}
	f.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.relay(c)
		}
	}()
}

// relay carries what a client of the bus says. The bus takes both for root.
func (f *Firewalld) relay(client net.Conn) {
	defer client.Close()
	bus, err := net.Dial("unix", f.Path(systemBus))
	if err != nil {
		return
	}
	defer bus.Close()
	go func() {
		_, _ = io.Copy(client, bus)
		client.Close()
	}()
	_, _ = io.Copy(bus, client)
}

func (f *Firewalld) close() {
	if reporter, ok := f.t.(interface{ Failed() bool }); ok && reporter.Failed() {
		f.t.Logf("firewalld's log, its end:\n%s", f.daemon.logs.tail(25))
	}
	f.Kill()
}
