package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
)

// Schema is the version of the documents that this mcpnet writes. It reads older ones through the migrations. It does
// not read newer ones, so that it never acts on half of one.
const Schema = 2

// Kind is what a document describes.
type Kind string

// The kinds of documents.
const (
	OfNetwork  Kind = "network"
	OfEndpoint Kind = "endpoint"
)

// extension ends the names of documents.
const extension = ".json"

// kindOf tells the kind of a document by its path below the documents; ok is false for other files.
func kindOf(path string) (k Kind, ok bool) {
	parent, name := filepath.Split(path)
	switch {
	case name == "network"+extension:
		return OfNetwork, true
	case filepath.Base(parent) == "endpoints" && filepath.Ext(name) == extension:
		return OfEndpoint, true
	}
	return "", false
}

// object is a JSON object whose members are kept as they are written.
type object map[string]json.RawMessage

// migrations turn a document of schema 1 into one of schema 2, one of schema 2 into one of schema 3, and so on.
var migrations = []func(Kind, object) error{toSchema2}

// toSchema2 marks networks. Their wires are in the host's network namespace, where an mcpnet of schema 1 put them.
func toSchema2(k Kind, o object) error {
	if k == OfNetwork {
		o["legacy"] = json.RawMessage("true")
	}
	return nil
}

// ErrNewer says that a newer mcpnet wrote something.
var ErrNewer = errors.New("a newer mcpnet wrote it")

// Convert turns a document of any schema into one of this mcpnet's.
func Convert(k Kind, data []byte) ([]byte, error) { return convert(k, data, Schema) }

// convert turns a document of any schema up to a version into one of that version.
func convert(k Kind, data []byte, version int) ([]byte, error) {
	var head struct{ Schema int }
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	switch {
	case head.Schema == version:
		return data, nil
	case head.Schema > version:
		return nil, fmt.Errorf("schema %d, this mcpnet reads up to %d: %w", head.Schema, version, ErrNewer)
	case head.Schema < 1:
		return nil, errors.New("has no schema")
	}
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, err
	}
	for i := head.Schema; i < version; i++ {
		if err := migrations[i-1](k, o); err != nil {
			return nil, fmt.Errorf("schema %d to %d: %w", i, i+1, err)
		}
	}
	o["schema"] = fmt.Append(nil, version)
	return json.MarshalIndent(o, "", "  ")
}
