package firewalld

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// The names of firewalld.dbus(5).
const (
	service    = "org.fedoraproject.FirewallD1"
	inForce    = dbus.ObjectPath("/org/fedoraproject/FirewallD1")
	permanent  = dbus.ObjectPath("/org/fedoraproject/FirewallD1/config")
	inZones    = service + ".zone."
	inPolicies = service + ".policy."
	inConfig   = service + ".config."
)

func (f *Firewall) call(ctx context.Context, at dbus.ObjectPath, method string, arguments ...any) *dbus.Call {
	return f.conn.Object(service, at).CallWithContext(ctx, method, dbus.FlagNoAutoStart, arguments...)
}

func (f *Firewall) names(ctx context.Context, method string) (names []string, err error) {
	at := inForce
	if strings.HasPrefix(method, inConfig) {
		at = permanent
	}
	err = f.call(ctx, at, method).Store(&names)
	return names, explain(method[strings.LastIndex(method, ".")+1:], err)
}

// ErrOld says that a firewalld knows no policies.
var ErrOld = errors.New("firewalld is older than 0.9, which has no policies")

func explain(object string, err error) error {
	switch {
	case err == nil:
		return nil
	case named(err, "org.freedesktop.DBus.Error.UnknownMethod"), named(err, "org.freedesktop.DBus.Error.UnknownInterface"):
		err = ErrOld
	case named(err, "org.freedesktop.DBus.Error.ServiceUnknown"), named(err, "org.freedesktop.DBus.Error.NameHasNoOwner"),
		named(err, "org.freedesktop.DBus.Error.NoReply"): // it has ended meanwhile
		err = ErrAbsent
	}
	return fmt.Errorf("firewalld: %s: %w", object, err)
}

// named reports whether an error of the bus has a name.
func named(err error, name string) bool {
	var answer dbus.Error
	return errors.As(err, &answer) && answer.Name == name
}

// is reports whether an answer of firewalld is one of its errors: the text begins with the code.
func is(err error, codes ...string) bool {
	var answer dbus.Error
	if !errors.As(err, &answer) || answer.Name != service+".Exception" {
		return false
	}
	code, _, _ := strings.Cut(answer.Error(), ":")
	return slices.Contains(codes, code)
}
