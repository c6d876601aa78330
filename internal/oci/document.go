// Package oci reads and changes what an engine gives an OCI runtime: bundles and process documents (OCI runtime
// specification, config.md), and the runtime's command line and state. Documents are edited as raw JSON, so that fields
// that mcpnet does not know stay as they are.
package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
	"github.com/mcpnet/mcpnet/internal/strictjson"
)

// ConfigFile is the name of a bundle's document.
const ConfigFile = "config.json"

// object is a JSON object whose members are kept as they are written.
type object map[string]json.RawMessage

// Document is a bundle's config.json, or the process document of an exec.
type Document struct {
	path   string
	bundle string // the directory that a relative root file system is in
	root   object
	// platform is the member linux as linux has read it, which half of the questions are about.
	platform object
}

// Parse reads a bundle's document. The path is for messages, and for Write.
func Parse(path string, data []byte) (*Document, error) { return parse(path, data, specs.Spec{}) }

// parse refuses a document that the real runtime could read in another way: its own reader may take a key in any case.
func parse(path string, data []byte, shape any) (*Document, error) {
	d := &Document{path: path, bundle: filepath.Dir(path)}
	if err := strictjson.Check(data, shape); err != nil {
		return nil, fmt.Errorf("%s: not a JSON object that every program reads alike: %w", path, err)
	}
	if err := json.Unmarshal(data, &d.root); err != nil {
		return nil, fmt.Errorf("%s: not a JSON object: %w", path, err)
	}
	if d.root == nil {
		return nil, fmt.Errorf("%s: is null, not a JSON object", path)
	}
	return d, nil
}

// Read reads the file of a bundle's document.
func Read(path string) (*Document, error) { return read(path, specs.Spec{}) }

// In names the directory of the bundle, where the document is in another one.
func (d *Document) In(bundle string) { d.bundle = bundle }

// ReadProcess reads the file of the process document of an exec.
func ReadProcess(path string) (*Document, error) { return read(path, specs.Process{}) }

func read(path string, shape any) (*Document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data, shape)
}

// Bytes is the document as JSON.
func (d *Document) Bytes() ([]byte, error) { return json.Marshal(d.root) }

// Write replaces the document's file: readers see the old one or the new one, whole.
func (d *Document) Write() error {
	data, err := d.Bytes()
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	// The file lives as long as its container does, and an exec would wait for the disk.
	return atomicfile.Write(d.path, data, info.Mode().Perm())
}

// child is the object that a member holds; a member that is missing or null is none.
func (o object) child(name string) (object, error) {
	var c object
	raw, ok := o[name]
	if !ok {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// put sets a member.
func (o object) put(name string, value any) error {
	raw, err := json.Marshal(value)
	if err == nil {
		o[name] = raw
	}
	return err
}

// get reads a member into a value; one that is missing leaves it as it is.
func (o object) get(name string, value any) error {
	raw, ok := o[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// errNoProcess says that a bundle describes no process.
var errNoProcess = errors.New("has no process")
