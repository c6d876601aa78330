package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/store/internal/format"
)

// View reads a store. It never changes anything in the directory, and it needs no lock: every document is whole at any
// time. Who needs several documents that fit together takes RLock.
type View struct{ dir string }

// OpenView opens a directory to read only. One that does not exist holds nothing.
func OpenView(dir string) *View { return &View{dir: dir} }

// Dir is the store's directory.
func (v *View) Dir() string { return v.dir }

// Identity tells this store from every other: eight hexadecimal digits that never change. A store that nobody has
// opened for writing has none, which is an fs.ErrNotExist.
func (v *View) Identity() (string, error) { return format.Dir(v.dir).Identity() }

// read calls f with the documents, wherever an older mcpnet left them.
func (v *View) read(f func(documents) error) error {
	return format.Dir(v.dir).Read(func(docs string) error { return f(documents(docs)) })
}

// Load reads every document.
func (v *View) Load() (c Contents, err error) {
	err = v.read(func(d documents) (err error) {
		c, err = d.load()
		return ignoreMissing(err)
	})
	return c, err
}

// Networks reads the document of every network. Those that cannot be read are an error that names them, beside the
// others.
func (v *View) Networks() (networks []Network, err error) {
	err = v.read(func(d documents) (err error) {
		networks, err = d.readNetworks()
		return err
	})
	return networks, err
}

// Network reads one network's document. One that is missing is an fs.ErrNotExist, one that cannot be read a *Problem.
func (v *View) Network(id string) (n Network, err error) {
	if err := checkID(id); err != nil {
		return Network{}, err
	}
	err = v.read(func(d documents) (err error) {
		n, err = d.readNetwork(id)
		return err
	})
	return n, err
}

// Endpoint reads one endpoint's document. One that is missing is an fs.ErrNotExist, one that cannot be read a *Problem.
func (v *View) Endpoint(network, id string) (e Endpoint, err error) {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return Endpoint{}, err
	}
	err = v.read(func(d documents) (err error) {
		e, err = d.readEndpoint(network, id)
		return err
	})
	return e, err
}

// HasEndpoints reports whether a network has any.
func (v *View) HasEndpoints(network string) (has bool, err error) {
	err = v.read(func(d documents) error {
		ids, err := d.endpoints(network)
		has = len(ids) > 0
		return ignoreMissing(err)
	})
	return has, err
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
