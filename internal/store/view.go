package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// View reads a store. It never changes anything in the directory, and it needs no lock: every document is whole at any
// time. Who needs several documents that fit together takes RLock.
type View struct{ dir string }

// OpenView opens a directory to read only. One that does not exist holds nothing.
func OpenView(dir string) *View { return &View{dir: dir} }

// Dir is the store's directory.
func (v *View) Dir() string { return v.dir }

func (v *View) documents() documents { return documents(filepath.Join(v.dir, "networks")) }

// Load reads every document.
func (v *View) Load() (Contents, error) {
	c, err := v.documents().load()
	return c, ignoreMissing(err)
}

// Networks reads the document of every network. Those that cannot be read are an error that names them, beside the
// others.
func (v *View) Networks() (networks []Network, err error) {
	docs := v.documents()
	ids, err := docs.networks()
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var failed []error
	for _, id := range ids {
		n, err := docs.readNetwork(id)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it is being made or removed
		case err != nil:
			failed = append(failed, err)
		default:
			networks = append(networks, n)
		}
	}
	return networks, errors.Join(failed...)
}

// Network reads one network's document. One that is missing is an fs.ErrNotExist, one that cannot be read a *Problem.
func (v *View) Network(id string) (Network, error) {
	if err := checkID(id); err != nil {
		return Network{}, err
	}
	return v.documents().readNetwork(id)
}

// Endpoint reads one endpoint's document. One that is missing is an fs.ErrNotExist, one that cannot be read a *Problem.
func (v *View) Endpoint(network, id string) (Endpoint, error) {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return Endpoint{}, err
	}
	return v.documents().readEndpoint(network, id)
}

// HasEndpoints reports whether a network has any.
func (v *View) HasEndpoints(network string) (bool, error) {
	ids, err := v.documents().endpoints(network)
	return len(ids) > 0, ignoreMissing(err)
}

const factPrefix = "fact-"

// Fact is a value that PutFact kept, or "".
func (v *View) Fact(name string) string {
	value, err := os.ReadFile(filepath.Join(v.dir, factPrefix+name))
	if err != nil {
		return ""
	}
	return string(value)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// maxID is the longest id that engines use.
const maxID = 128

// checkID checks what becomes the name of a file. It does without a regular expression, which each process of CNI would
// compile anew.
func checkID(id string) error {
	valid := id != "" && len(id) <= maxID
	for i := range len(id) {
		b := id[i]
		letter := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
		valid = valid && (letter || i > 0 && (b == '_' || b == '.' || b == '-'))
	}
	if !valid {
		return fmt.Errorf("store: %q is not an id: letters, digits, _ . - only, at most %d", id, maxID)
	}
	return nil
}
