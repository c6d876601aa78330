// Package daemon edits daemon.json, the settings of dockerd, in which the OCI runtime is registered with Docker.
package daemon

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// Path is where dockerd reads its settings. It has no drop-ins.
const Path = "/etc/docker/daemon.json"

const (
	runtimesKey = "runtimes"
	defaultKey  = "default-runtime"
)

// Editor puts mcpnet's runtimes into daemon.json, and takes them out again.
type Editor struct {
	// SetDefault makes mcpnet-default the default runtime.
	SetDefault bool
	// Force replaces a runtime of mcpnet's name that is another's, and a default runtime that mcpnet-runtime does not
	// run. They are recorded, and uninstalling restores them.
	Force bool
}

// replaceable are the default runtimes that mcpnet-runtime can stand in for, as JSON.
var replaceable = []string{`""`, `"runc"`, `"io.containerd.runc.v2"`, `"` + part.RuntimeName + `"`}

// runtimeValue is the value of a runtime's key. It holds no runtimeArgs: Docker would make a shell script of them.
func runtimeValue(name string) string {
	return fmt.Sprintf(`{"path": %q}`, part.RuntimePaths[name])
}

// Put adds the runtimes, and the default runtime where that is asked for.
func (d Editor) Put(text []byte, recorded manifest.Edit) ([]byte, manifest.Edit, error) {
	e := manifest.Edit{Was: recorded.Was, Made: recorded.Made}
	if len(bytes.TrimSpace(text)) == 0 { // dockerd reads this as no settings at all
		e.Was = new(string(text))
		text = []byte("{\n}\n")
	}
	doc, top, err := readObject(text)
	if err != nil {
		return nil, e, err
	}
	if len(top.Members) == 0 {
		e.Was = cmp.Or(e.Was, new(string(text)))
		top.AfterExtra = []byte("\n")
	}
	if err := d.putRuntimes(top, &e, recorded); err != nil {
		return nil, e, err
	}
	k, is, err := d.putDefault(top, recorded)
	if err != nil {
		return nil, e, err
	}
	if is {
		e.Keys = append(e.Keys, k)
	}
	after := doc.Pack()
	return after, e, d.validate(text, after)
}

// putRuntimes gives mcpnet's runtimes their values, in a new table where there is none.
func (d Editor) putRuntimes(top *hujson.Object, e *manifest.Edit, recorded manifest.Edit) error {
	runtimes, err := runtimesOf(top)
	switch {
	case err != nil:
		return err
	case runtimes == nil:
		runtimes = &hujson.Object{AfterExtra: config.Closing(top)}
		e.Made = []string{runtimesKey}
		config.Add(top, runtimesKey, runtimes, config.Indent(top, ""))
	case len(recorded.Keys) == 0 && len(runtimes.Members) > 0 && allOurs(runtimes):
		e.Made = []string{runtimesKey} // by an installation that was killed before it recorded that
	}
	for _, name := range part.RuntimeNames {
		indent := config.Indent(runtimes, string(config.Indent(top, "")))
		k, err := d.set(runtimes, name, indent, recorded)
		if err != nil {
			return err
		}
		e.Keys = append(e.Keys, k)
	}
	return nil
}

// set gives a runtime its value, unless another's is there.
func (d Editor) set(runtimes *hujson.Object, name string, indent hujson.Extra, recorded manifest.Edit) (
	manifest.Key, error,
) {
	value := runtimeValue(name)
	k := manifest.Key{Name: runtimesKey + "." + name, Value: value}
	old, was := recorded.Key(k.Name)
	if was {
		k.Previous = old.Previous
	}
	i := config.Member(runtimes, name)
	if i < 0 {
		config.Add(runtimes, name, config.MustParse(value), indent)
		return k, nil
	}
	now := config.Raw(runtimes.Members[i].Value)
	switch {
	case config.SameJSON(now, value):
		return k, nil
	case was && config.SameJSON(now, old.Value):
	case d.Force:
		k.Previous = now
	default:
		return k, fmt.Errorf("has a key %s that is not mcpnet's (%s): remove or rename it, or replace it with --force",
			k.Name, now)
	}
	runtimes.Members[i].Value.Value = config.MustParse(value)
	return k, nil
}

// putDefault sets the default runtime where that is asked for. One that mcpnet set before stays recorded.
func (d Editor) putDefault(top *hujson.Object, recorded manifest.Edit) (k manifest.Key, is bool, err error) {
	ours := fmt.Sprintf("%q", part.DefaultName)
	k = manifest.Key{Name: defaultKey, Value: ours}
	old, was := recorded.Key(defaultKey)
	if was {
		k.Previous = old.Previous
	}
	i := config.Member(top, defaultKey)
	switch {
	case i >= 0 && config.SameJSON(config.Raw(top.Members[i].Value), ours):
		return k, was || d.SetDefault, nil
	case !d.SetDefault:
		return k, false, nil
	case i >= 0 && !d.Force && !slices.Contains(replaceable, config.Raw(top.Members[i].Value)):
		return k, false, fmt.Errorf("sets %s to %s, "+
			"and mcpnet-runtime runs runc or crun, or what /etc/mcpnet/runtime.json names: "+
			"name that runtime's program there and repeat this with --force, or leave --set-default out",
			defaultKey, config.Raw(top.Members[i].Value))
	case i < 0:
		k.Previous = ""
		config.Add(top, defaultKey, config.MustParse(ours), config.Indent(top, ""))
	default:
		k.Previous = config.Raw(top.Members[i].Value)
		top.Members[i].Value.Value = config.MustParse(ours)
	}
	return k, true, nil
}

// Take removes what was put, and restores what it replaced.
func (Editor) Take(text []byte, recorded manifest.Edit) ([]byte, error) {
	doc, top, err := readObject(text)
	if err != nil {
		return nil, err
	}
	runtimes, err := runtimesOf(top)
	if err != nil {
		return nil, err
	}
	if err := restoreAll(top, runtimes, recorded.Keys); err != nil {
		return nil, err
	}
	if i := config.Member(top, defaultKey); i >= 0 && namesGone(top.Members[i].Value, runtimes) {
		return nil, fmt.Errorf("names %s as its %s: name another there, and uninstall once more",
			config.Raw(top.Members[i].Value), defaultKey)
	}
	if i := config.Member(top, runtimesKey); i >= 0 && len(runtimes.Members) == 0 &&
		slices.Contains(recorded.Made, runtimesKey) {
		config.Drop(top, i)
	}
	if len(top.Members) == 0 && recorded.Was != nil {
		return []byte(*recorded.Was), nil
	}
	after := doc.Pack()
	_, err = keptJSON(text, after)
	return after, err
}

// restoreAll removes the keys in the opposite order.
func restoreAll(top, runtimes *hujson.Object, keys []manifest.Key) error {
	for _, k := range slices.Backward(keys) {
		object, name := top, k.Name
		if inner, below := strings.CutPrefix(k.Name, runtimesKey+"."); below {
			object, name = runtimes, inner
		}
		if err := restore(object, name, k); err != nil {
			return err
		}
	}
	return nil
}

// restore removes a key, or restores what it replaced. A key that is gone already is ignored, and so is another
// default.
func restore(object *hujson.Object, name string, k manifest.Key) error {
	i := config.Member(object, name)
	if i < 0 {
		return nil
	}
	now := config.Raw(object.Members[i].Value)
	switch {
	case config.SameJSON(now, k.Value) && k.Previous == "":
		config.Drop(object, i)
	case config.SameJSON(now, k.Value):
		object.Members[i].Value.Value = config.MustParse(k.Previous)
	case k.Name != defaultKey:
		return fmt.Errorf("has another %s than mcpnet wrote (%s): remove it yourself if nothing needs it", k.Name, now)
	}
	return nil
}

// namesGone tells whether a value names a runtime of mcpnet's that the object does not hold: dockerd would not start.
func namesGone(v hujson.Value, runtimes *hujson.Object) bool {
	name, ok := v.Value.(hujson.Literal)
	return ok && part.IsRuntime(name.String()) && config.Member(runtimes, name.String()) < 0
}

// Empty tells whether a text holds no settings.
func (Editor) Empty(text []byte) bool {
	_, top, err := readObject(text)
	return len(bytes.TrimSpace(text)) == 0 || (err == nil && len(top.Members) == 0)
}

func allOurs(runtimes *hujson.Object) bool {
	return !slices.ContainsFunc(runtimes.Members, func(m hujson.ObjectMember) bool {
		name := m.Name.Value.(hujson.Literal).String()
		return !part.IsRuntime(name) || !config.SameJSON(config.Raw(m.Value), runtimeValue(name))
	})
}
