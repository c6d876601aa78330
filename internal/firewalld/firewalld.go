// Package firewalld speaks with the host's firewalld, over its system bus. firewalld rejects what it would forward for
// an interface that nobody has put into a zone, and an acceptance elsewhere cannot override that. So uplinks join a
// zone of mcpnet's own: the host forwards what comes from there unless a rule of another zone or policy closes it, and
// opens no service to it. It holds no promise.
package firewalld

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/godbus/dbus/v5"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// Firewall is a firewalld that runs.
type Firewall struct{ conn *dbus.Conn }

// ErrAbsent says that no firewalld runs: the bus knows of none, or there is no bus.
var ErrAbsent = errors.New("firewalld does not run")

// Open connects to the firewalld on a bus, by the bus's address. It starts none. The connection ends with the
// context.
func Open(ctx context.Context, bus string) (*Firewall, error) {
	conn, err := connect(ctx, bus)
	if err != nil {
		return nil, err
	}
	var owner string
	err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, service).Store(&owner)
	if err == nil {
		return &Firewall{conn}, nil
	}
	if named(err, "org.freedesktop.DBus.Error.NameHasNoOwner") {
		err = ErrAbsent
	}
	return nil, errors.Join(fmt.Errorf("system bus %s: %w", bus, err), conn.Close())
}

// connect gives ErrAbsent where there is no bus: a firewalld that runs has one.
func connect(ctx context.Context, bus string) (*dbus.Conn, error) {
	conn, err := dbus.Dial(bus, dbus.WithContext(ctx))
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
		err = ErrAbsent
	}
	if err != nil {
		return nil, fmt.Errorf("system bus %s: %w", bus, err)
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if err == nil {
		err = conn.Hello()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("system bus %s: %w", bus, err), conn.Close())
	}
	return conn, nil
}

// Close ends the connection.
func (f *Firewall) Close() error { return f.conn.Close() }

// State is what firewalld has in force.
type State struct {
	// Prepared says that it has the zone of uplinks, and the policy by which the host forwards what comes from there.
	Prepared bool
	// Zones gives the zone of each interface that somebody has put into one.
	Zones map[string]string
}

// State reads what firewalld has in force.
func (f *Firewall) State(ctx context.Context) (s State, err error) {
	zones, err := f.names(ctx, inZones+"getZones")
	if err != nil {
		return s, err
	}
	policies, err := f.names(ctx, inPolicies+"getPolicies")
	if err != nil {
		return s, err
	}
	s.Prepared = slices.Contains(zones, topology.FirewallZone) && slices.Contains(policies, policy)
	var active map[string]map[string][]string
	if err := f.call(ctx, inForce, inZones+"getActiveZones").Store(&active); err != nil {
		return s, explain("active zones", err)
	}
	s.Zones = map[string]string{}
	for zone, members := range active {
		for _, name := range members["interfaces"] {
			s.Zones[name] = zone
		}
	}
	return s, nil
}

// Join puts an interface into the zone of uplinks. One that is in another zone stays there, which is an error.
func (f *Firewall) Join(ctx context.Context, name string) error {
	err := f.call(ctx, inForce, inZones+"addInterface", topology.FirewallZone, name).Err
	if is(err, "ALREADY_ENABLED", "ZONE_ALREADY_SET") {
		return nil
	}
	return explain("interface "+name, err)
}

// Leave takes an interface out of the zone of uplinks. One that is not in it is no error.
func (f *Firewall) Leave(ctx context.Context, name string) error {
	err := f.call(ctx, inForce, inZones+"removeInterface", topology.FirewallZone, name).Err
	if is(err, "UNKNOWN_INTERFACE", "NOT_ENABLED", "ZONE_CONFLICT", "INVALID_ZONE") {
		return nil
	}
	return explain("interface "+name, err)
}
