package firewalld

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// ErrClosed says that the bus has ended the connection.
var ErrClosed = errors.New("the system bus has closed the connection")

// Watch tells when firewalld starts, and of every change that it tells of: a reload, zones, their interfaces. It
// returns an error when the bus is gone, or there is none.
func Watch(ctx context.Context, bus string, changed func()) error {
	conn, err := connect(ctx, bus)
	if err != nil {
		return err
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"),
			dbus.WithMatchArg(0, service)},
		{dbus.WithMatchSender(service)},
	} {
		if err := conn.AddMatchSignalContext(ctx, match...); err != nil {
			return fmt.Errorf("system bus %s: %w", bus, err)
		}
	}
	changed() // nobody tells what happened before
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, open := <-signals:
			if !open {
				return ErrClosed
			}
			changed()
		}
	}
}
