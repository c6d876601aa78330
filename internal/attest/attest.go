// Package attest carries word from mcpnet-runtime, which starts containers, to whoever decides about their endpoints: a
// file for each endpoint and for each container says what the container holds. The directories are root's on the host.
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

// Attestation says that a container was started with no more than these capabilities and with no_new_privileges, and with
// no interface but its endpoints'.
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

// Word is the directories of one host.
type Word struct{ dir string }

// In is the word below a directory, which is Dir of a host's /run.
func In(dir string) Word { return Word{dir} }

func (w Word) endpoints() folder  { return folder(filepath.Join(w.dir, "attested")) }
func (w Word) containers() folder { return folder(filepath.Join(w.dir, "hardened")) }

// Attest leaves word about an endpoint.
func (w Word) Attest(a Attestation) error { return w.endpoints().write(a.Endpoint, a) }

// Attested reads the word about an endpoint; ok is false where there is none.
func (w Word) Attested(endpoint string) (a Attestation, ok bool, err error) {
	ok, err = w.endpoints().read(endpoint, &a)
	if ok && a.Endpoint != endpoint {
		return Attestation{}, false, fmt.Errorf("attestation of endpoint %s: is about %s", endpoint, a.Endpoint)
	}
	return a, ok, err
}

// Forget takes the word about an endpoint back. None is no error.
func (w Word) Forget(endpoint string) error { return w.endpoints().remove(endpoint) }

// Harden leaves word about a container.
func (w Word) Harden(h Hardened) error { return w.containers().write(h.Container, h) }

// Hardened reads the word about a container; ok is false where there is none.
func (w Word) Hardened(container string) (h Hardened, ok bool, err error) {
	ok, err = w.containers().read(container, &h)
	if ok && h.Container != container {
		return Hardened{}, false, fmt.Errorf("word about container %s: is about %s", container, h.Container)
	}
	return h, ok, err
}

// ForgetContainer takes the word about a container back. None is no error.
func (w Word) ForgetContainer(container string) error { return w.containers().remove(container) }

// knock begins the name of a file that says nothing but that somebody is there.
const knock = "knock"

// Knock asks whoever watches to look at an endpoint that is new. Where nobody does, nothing happens.
func (w Word) Knock() error {
	path := filepath.Join(string(w.endpoints()), fmt.Sprintf("%s.%d", knock, os.Getpid()))
	err := os.WriteFile(path, nil, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, os.Remove(path))
}

// Watch tells the endpoint of each attestation that is left, and "" for each knock, until the context ends. It makes the
// directory.
func (w Word) Watch(ctx context.Context, heard func(endpoint string)) error {
	dir := string(w.endpoints())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("attestations: %w", err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("attestations: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(dir); err != nil {
		return fmt.Errorf("attestations: %s: %w", dir, err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-watcher.Events:
			if !ok {
				return errors.New("attestations: the watch ended")
			}
			if event.Name == dir && event.Has(fsnotify.Remove) {
				return fmt.Errorf("attestations: %s was removed", dir)
			}
			if endpoint, ok := said(event); ok {
				heard(endpoint)
			}
		case err := <-watcher.Errors:
			return fmt.Errorf("attestations: %w", err)
		}
	}
}

// said reads an event of the directory; what is being written is no word yet.
func said(e fsnotify.Event) (endpoint string, ok bool) {
	name := filepath.Base(e.Name)
	if !e.Has(fsnotify.Create) || atomicfile.IsTemporary(name) {
		return "", false
	}
	if strings.HasPrefix(name, knock+".") {
		return "", true
	}
	return strings.CutSuffix(name, suffix)
}
