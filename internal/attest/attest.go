// Package attest passes attestations from mcpnet-runtime, which starts containers, to the process that decides about
// their endpoints. A file for each endpoint and for each container says what the container holds. Only root may write
// the files and their directories: a reader refuses an attestation that anybody else could have written.
package attest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
	"github.com/mcpnet/mcpnet/internal/policy"
)

// Dir is the directory below the host's /run.
const Dir = "mcpnet"

// Attestation says that a container was started with no more than these capabilities and with no_new_privileges, and
// with no interface but its endpoints'.
type Attestation struct {
	Network   string      `json:"network"`
	Endpoint  string      `json:"endpoint"`
	Container string      `json:"container"` // the engine's id
	Caps      policy.Caps `json:"caps"`
}

// Hardened says that a container, wherever it is attached, runs with no more than these capabilities and with
// no_new_privileges.
type Hardened struct {
	Container string      `json:"container"` // the engine's id
	Caps      policy.Caps `json:"caps"`
}

// Directory holds the attestations of one host.
type Directory struct{ path string }

// In is the directory at a path, which is Dir of a host's /run.
func In(path string) Directory { return Directory{path} }

func (d Directory) endpoints() folder  { return folder(filepath.Join(d.path, "attested")) }
func (d Directory) containers() folder { return folder(filepath.Join(d.path, "hardened")) }

// Attest writes the attestation of an endpoint.
func (d Directory) Attest(a Attestation) error { return d.endpoints().write(a.Endpoint, a) }

// Attested reads the attestation of an endpoint; ok is false where there is none.
func (d Directory) Attested(endpoint string) (a Attestation, ok bool, err error) {
	ok, err = d.endpoints().read(endpoint, &a)
	if ok && a.Endpoint != endpoint {
		return Attestation{}, false, fmt.Errorf("attestation of endpoint %s: is about %s", endpoint, a.Endpoint)
	}
	return a, ok, err
}

// Forget removes the attestation of an endpoint. A missing one is no error.
func (d Directory) Forget(endpoint string) error { return d.endpoints().remove(endpoint) }

// Harden writes the attestation of a container.
func (d Directory) Harden(h Hardened) error { return d.containers().write(h.Container, h) }

// Hardened reads the attestation of a container; ok is false where there is none.
func (d Directory) Hardened(container string) (h Hardened, ok bool, err error) {
	ok, err = d.containers().read(container, &h)
	if ok && h.Container != container {
		return Hardened{}, false, fmt.Errorf("attestation of container %s: is about %s", container, h.Container)
	}
	return h, ok, err
}

// ForgetContainer removes the attestation of a container. A missing one is no error.
func (d Directory) ForgetContainer(container string) error { return d.containers().remove(container) }

// notification begins the name of a file that says nothing but that there is a new endpoint.
const notification = "notify."

// Notify tells whoever watches that there is a new endpoint. Where nobody watches, nothing happens.
func (d Directory) Notify() error {
	f, err := os.CreateTemp(string(d.endpoints()), notification+"*")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("attestations: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Watch calls handle with the endpoint of each attestation that is written, and with "" for each notification, until
// the context ends. It makes the directory.
func (d Directory) Watch(ctx context.Context, handle func(endpoint string)) error {
	path := string(d.endpoints())
	if err := os.MkdirAll(path, dirMode); err != nil {
		return fmt.Errorf("attestations: %w", err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("attestations: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(path); err != nil {
		return fmt.Errorf("attestations: %s: %w", path, err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-watcher.Events:
			if !ok {
				return errors.New("attestations: the watch ended")
			}
			if event.Name == path && event.Has(fsnotify.Remove) {
				return fmt.Errorf("attestations: %s was removed", path)
			}
			if endpoint, ok := subject(event); ok {
				handle(endpoint)
			}
		case err := <-watcher.Errors:
			return fmt.Errorf("attestations: %w", err)
		}
	}
}

// subject is the endpoint that an event of the directory is about. Temporary files are about none.
func subject(e fsnotify.Event) (endpoint string, ok bool) {
	name := filepath.Base(e.Name)
	if !e.Has(fsnotify.Create) || atomicfile.IsTemporary(name) {
		return "", false
	}
	if strings.HasPrefix(name, notification) {
		return "", true
	}
	return strings.CutSuffix(name, suffix)
}
