package install

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// dockerPath is where dockerd reads its settings. It has no drop-ins.
const dockerPath = "/etc/docker/daemon.json"

const (
	runtimesKey      = "runtimes"
	dockerDefaultKey = "default-runtime"
)

// dockerEditor edits daemon.json.
type dockerEditor struct {
	setDefault bool
	// force replaces a runtime of mcpnet's name that is another's, and a default runtime that mcpnet-runtime does not run. They
	// are recorded, and uninstalling brings them back.
	force bool
}

// replaceable are the default runtimes that mcpnet-runtime is as good as, as JSON.
var replaceable = []string{`""`, `"runc"`, `"io.containerd.runc.v2"`, `"` + runtimeName + `"`}

// dockerRuntime is the value of a runtime's key. It holds no runtimeArgs: Docker would make a shell script of them.
func dockerRuntime(name string) string {
	return fmt.Sprintf(`{"path": %q}`, runtimePaths[name])
}

func (d dockerEditor) put(text []byte, recorded edit) ([]byte, edit, error) {
	e := edit{Was: recorded.Was, Made: recorded.Made}
	if len(bytes.TrimSpace(text)) == 0 { // which dockerd takes for no settings at all
		e.Was = new(string(text))
		text = []byte("{\n}\n")
	}
	doc, top, err := readDaemon(text)
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
	k, is, err := d.defaultKey(top, recorded)
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
func (d dockerEditor) putRuntimes(top *hujson.Object, e *edit, recorded edit) error {
	runtimes, err := runtimesOf(top)
	switch {
	case err != nil:
		return err
	case runtimes == nil:
		runtimes = &hujson.Object{AfterExtra: closing(top)}
		e.Made = []string{runtimesKey}
		add(top, runtimesKey, runtimes, before(top, ""))
	case len(recorded.Keys) == 0 && len(runtimes.Members) > 0 && allOurs(runtimes):
		e.Made = []string{runtimesKey} // by an installation that was killed before it recorded that
	}
	for _, name := range runtimeNames {
		k, err := d.set(runtimes, name, dockerRuntime(name), before(runtimes, string(before(top, ""))), recorded)
		if err != nil {
			return err
		}
		k.Name = runtimesKey + "." + name
		e.Keys = append(e.Keys, k)
	}
	return nil
}

// set gives a runtime its value, unless another's is there.
func (d dockerEditor) set(runtimes *hujson.Object, name string, value string, extra hujson.Extra, recorded edit) (key, error) {
	k := key{Value: value}
	old, was := recorded.key(runtimesKey + "." + name)
	if was {
		k.Previous = old.Previous
	}
	i := member(runtimes, name)
	if i < 0 {
		add(runtimes, name, parsed(value), extra)
		return k, nil
	}
	now := raw(runtimes.Members[i].Value)
	switch {
	case sameJSON(now, value):
		return k, nil
	case was && sameJSON(now, old.Value):
	case d.force:
		k.Previous = now
	default:
		return k, fmt.Errorf("has a key %s.%s that is not mcpnet's (%s): remove or rename it, or replace it with --force", runtimesKey, name, now)
	}
	runtimes.Members[i].Value.Value = parsed(value)
	return k, nil
}

// defaultKey sets the default runtime where that is asked for. One that mcpnet set before stays recorded.
func (d dockerEditor) defaultKey(top *hujson.Object, recorded edit) (k key, is bool, err error) {
	ours := fmt.Sprintf("%q", defaultName)
	k = key{Name: dockerDefaultKey, Value: ours}
	old, was := recorded.key(dockerDefaultKey)
	if was {
		k.Previous = old.Previous
	}
	i := member(top, dockerDefaultKey)
	switch {
	case i >= 0 && sameJSON(raw(top.Members[i].Value), ours):
		return k, was || d.setDefault, nil
	case !d.setDefault:
		return k, false, nil
	case i >= 0 && !d.force && !slices.Contains(replaceable, raw(top.Members[i].Value)):
		return k, false, fmt.Errorf("sets %s to %s, and mcpnet-runtime runs runc or crun, or what /etc/mcpnet/runtime.json names: name that runtime's program there and repeat this with --force, or leave --set-default out",
			dockerDefaultKey, raw(top.Members[i].Value))
	case i < 0:
		k.Previous = ""
		add(top, dockerDefaultKey, parsed(ours), before(top, ""))
	default:
		k.Previous = raw(top.Members[i].Value)
		top.Members[i].Value.Value = parsed(ours)
	}
	return k, true, nil
}

func (dockerEditor) take(text []byte, recorded edit) ([]byte, error) {
	doc, top, err := readDaemon(text)
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
	if i := member(top, dockerDefaultKey); i >= 0 && namesGone(top.Members[i].Value, runtimes) {
		return nil, fmt.Errorf("names %s as its %s: name another there, and uninstall once more", raw(top.Members[i].Value), dockerDefaultKey)
	}
	if i := member(top, runtimesKey); i >= 0 && len(runtimes.Members) == 0 && slices.Contains(recorded.Made, runtimesKey) {
		drop(top, i)
	}
	if len(top.Members) == 0 && recorded.Was != nil {
		return []byte(*recorded.Was), nil
	}
	after := doc.Pack()
	_, err = keptJSON(text, after)
	return after, err
}

// restoreAll takes the keys away in the opposite order.
func restoreAll(top, runtimes *hujson.Object, keys []key) error {
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

// restore takes a key away, or brings back what it replaced. One that is gone already is left so, and so is another default.
func restore(object *hujson.Object, name string, k key) error {
	i := member(object, name)
	if i < 0 {
		return nil
	}
	now := raw(object.Members[i].Value)
	switch {
	case sameJSON(now, k.Value) && k.Previous == "":
		drop(object, i)
	case sameJSON(now, k.Value):
		object.Members[i].Value.Value = parsed(k.Previous)
	case k.Name != dockerDefaultKey:
		return fmt.Errorf("has another %s than mcpnet wrote (%s): remove it yourself if nothing needs it", k.Name, now)
	}
	return nil
}

// namesGone tells that a value names one of mcpnet's runtimes that the object does not hold: dockerd would not start.
func namesGone(v hujson.Value, runtimes *hujson.Object) bool {
	name, ok := v.Value.(hujson.Literal)
	return ok && isOurs(name.String()) && member(runtimes, name.String()) < 0
}

func (dockerEditor) empty(text []byte) bool {
	_, top, err := readDaemon(text)
	return len(bytes.TrimSpace(text)) == 0 || (err == nil && len(top.Members) == 0)
}

// validate checks a text before it is written: dockerd does not start with one that it cannot read.
func (d dockerEditor) validate(before, after []byte) error {
	now, err := keptJSON(before, after)
	if err != nil {
		return err
	}
	runtimes, _ := now[runtimesKey].(map[string]any)
	for _, name := range runtimeNames {
		if want := (map[string]any{"path": runtimePaths[name]}); !reflect.DeepEqual(runtimes[name], want) {
			return fmt.Errorf("would hold %v as %s.%s: report this as a bug", runtimes[name], runtimesKey, name)
		}
	}
	if d.setDefault && now[dockerDefaultKey] != defaultName {
		return fmt.Errorf("would hold %v as %s: report this as a bug", now[dockerDefaultKey], dockerDefaultKey)
	}
	return nil
}

// keptJSON parses the text that would be written, in which nothing but mcpnet's part may be another.
func keptJSON(before, after []byte) (now map[string]any, err error) {
	was := map[string]any{}
	for _, d := range []struct {
		text []byte
		into *map[string]any
	}{{before, &was}, {after, &now}} {
		decoder := json.NewDecoder(bytes.NewReader(d.text))
		decoder.UseNumber()
		if err := decoder.Decode(d.into); err != nil {
			return nil, fmt.Errorf("would be no valid JSON (%w): report this as a bug", err)
		}
	}
	ours := []string{dockerDefaultKey, runtimesKey + "." + runtimeName, runtimesKey + "." + defaultName}
	if inner, ok := was[runtimesKey].(map[string]any); ok && onlyOurs(inner) {
		ours = append(ours, runtimesKey)
	}
	return now, keeps(was, now, func(path string) bool { return slices.Contains(ours, path) })
}

func allOurs(runtimes *hujson.Object) bool {
	return !slices.ContainsFunc(runtimes.Members, func(m hujson.ObjectMember) bool {
		name := m.Name.Value.(hujson.Literal).String()
		return !isOurs(name) || !sameJSON(raw(m.Value), dockerRuntime(name))
	})
}

func onlyOurs(runtimes map[string]any) bool {
	for name := range runtimes {
		if !isOurs(name) {
			return false
		}
	}
	return true
}

func (e edit) key(name string) (key, bool) {
	i := slices.IndexFunc(e.Keys, func(k key) bool { return k.Name == name })
	if i < 0 {
		return key{}, false
	}
	return e.Keys[i], true
}
