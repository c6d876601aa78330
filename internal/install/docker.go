package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// dockerAdd registers the runtimes in a daemon.json (dockerd(8)). Everything else in it stays as it is written. The runtimes
// have no arguments: Docker would make a shell script of them, which does not quote.
func dockerAdd(content []byte, setDefault, force bool) ([]byte, error) {
	if err := checkJSON(content); err != nil {
		return nil, err
	}
	if r := gjson.GetBytes(content, "runtimes"); r.Exists() && !r.IsObject() {
		return nil, fmt.Errorf("runtimes is %s, not an object: mend the file", r.Raw)
	}
	bare := len(bytes.TrimSpace(content)) == 0
	if bare {
		content = []byte("{}")
	}
	for _, r := range registered {
		have := gjson.GetBytes(content, "runtimes."+r.name)
		if have.Exists() && have.Get("path").String() != r.path && !force {
			return nil, fmt.Errorf("runtimes.%s is %s, which mcpnet did not write: remove it, or replace it with --force", r.name, have.Raw)
		}
		var err error
		if content, err = sjson.SetBytes(content, "runtimes."+r.name, map[string]string{"path": r.path}); err != nil {
			return nil, err
		}
	}
	if setDefault {
		have := gjson.GetBytes(content, "default-runtime").String()
		if have != "" && have != "runc" && have != selectiveName && !force {
			return nil, fmt.Errorf("default-runtime is %q: mcpnet-runtime runs runc or crun, unless /etc/mcpnet/runtime.json names another runtime's program; then repeat this with --force", have)
		}
		var err error
		if content, err = sjson.SetBytes(content, "default-runtime", selectiveName); err != nil {
			return nil, err
		}
	}
	if bare {
		var b bytes.Buffer
		if err := json.Indent(&b, content, "", "  "); err != nil {
			return nil, err
		}
		content = append(b.Bytes(), '\n')
	}
	return content, checkJSON(content)
}

// dockerStrip takes out what dockerAdd puts in.
func dockerStrip(content []byte) ([]byte, error) {
	if err := checkJSON(content); err != nil {
		return nil, err
	}
	drop := func(path string) (err error) {
		content, err = sjson.DeleteBytes(content, path)
		return err
	}
	var failed []error
	for _, r := range registered {
		if gjson.GetBytes(content, "runtimes."+r.name+".path").String() == r.path {
			failed = append(failed, drop("runtimes."+r.name))
		}
	}
	if r := gjson.GetBytes(content, "runtimes"); r.IsObject() && len(r.Map()) == 0 {
		failed = append(failed, drop("runtimes"))
	}
	if gjson.GetBytes(content, "default-runtime").String() == selectiveName {
		failed = append(failed, drop("default-runtime"))
	}
	return content, errors.Join(failed...)
}

// checkJSON accepts an object, or nothing.
func checkJSON(content []byte) error {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil
	}
	var object map[string]json.RawMessage
	err := json.Unmarshal(content, &object)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + bytes.Count(content[:syntax.Offset], []byte("\n"))
		return fmt.Errorf("is not valid JSON, line %d: %w; mend it first, dockerd does not start with it either", line, err)
	}
	if err != nil || object == nil {
		return errors.New("is not a JSON object: mend it first, dockerd does not start with it either")
	}
	return nil
}
