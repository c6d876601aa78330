package docs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrivileges: README and SECURITY name all that the managed plugin asks for.
func TestPrivileges(t *testing.T) {
	var config struct {
		Network struct{ Type string }
		Linux   struct {
			Capabilities    []string
			AllowAllDevices bool
			Devices         []any
		}
		Mounts          []struct{ Source string }
		PropagatedMount string
		IPCHost         bool `json:"ipcHost"`
		PIDHost         bool `json:"pidHost"`
	}
	text, err := os.ReadFile(filepath.Join(root, "config.json"))
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	if config.IPCHost || config.PIDHost || config.Linux.AllowAllDevices || len(config.Linux.Devices) > 0 || config.Network.Type != "host" {
		t.Errorf("the plugin asks for what no page says: %+v", config)
	}
	asked := config.Linux.Capabilities
	for _, m := range config.Mounts {
		asked = append(asked, "`"+m.Source+"`")
	}
	for path, wanted := range map[string][]string{"README.md": asked, "SECURITY.md": append(asked, "`"+config.PropagatedMount+"`")} {
		var table string
		for _, line := range readPage(t, path).lines {
			if strings.HasPrefix(line, "|") {
				table += line + "\n"
			}
		}
		for _, what := range append(wanted, "the host's network") {
			if !strings.Contains(table, what) {
				t.Errorf("%s does not say that the plugin asks for %s", path, what)
			}
		}
	}
}
