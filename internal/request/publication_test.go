package request_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/request"
)

// portMap is what Docker 20.10 and 28.5 send (libnetwork's types.PortBinding as JSON).
func portMap(t *testing.T, bindings string) map[string]any {
	t.Helper()
	var options map[string]any
	if err := json.Unmarshal([]byte(`{"com.docker.network.portmap":`+bindings+`}`), &options); err != nil {
		t.Fatal(err)
	}
	return options
}

func TestDockerPublications(t *testing.T) {
	for name, c := range map[string]struct{ bindings, want string }{
		"none": {"null", "[]"},
		"two": {`[{"Proto":6,"IP":"","Port":8080,"HostIP":"127.0.0.1","HostPort":18011,"HostPortEnd":18011},{"Proto":6,"IP":"","Port":9090,"HostIP":"","HostPort":18010,"HostPortEnd":18010}]`,
			"[127.0.0.1:18011->8080 0.0.0.0:18010->9090]"},
		"everywhere": {`[{"Proto":6,"Port":8080,"HostIP":"0.0.0.0","HostPort":80}]`, "[0.0.0.0:80->8080]"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := request.DockerPublications(portMap(t, c.bindings))
			got := []string{}
			for _, p := range all {
				got = append(got, fmt.Sprintf("%s->%d", p.Host(), p.To.Port()))
			}
			if err != nil || fmt.Sprint(got) != c.want {
				t.Errorf("%s %v, want %s", got, err, c.want)
			}
		})
	}
}

// TestDockerPublicationsRefused: what mcpnet does not publish is refused whole, with every problem and what to do.
func TestDockerPublicationsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		bindings string
		want     []string
	}{
		"udp":       {`[{"Proto":17,"Port":53,"HostPort":53}]`, []string{"53:53/udp", "TCP ports only"}},
		"any port":  {`[{"Proto":6,"Port":80}]`, []string{"0:80/tcp", "has to be one that is named"}},
		"a range":   {`[{"Proto":6,"Port":80,"HostPort":8000,"HostPortEnd":8010}]`, []string{"has to be one that is named"}},
		"IPv6":      {`[{"Proto":6,"Port":80,"HostPort":80,"HostIP":"::"}]`, []string{"IPv4"}},
		"no number": {`[{"Proto":6,"Port":"x","HostPort":80}]`, []string{"-p"}},
		"several":   {`[{"Proto":17,"Port":53,"HostPort":53},{"Proto":6,"Port":80}]`, []string{"2 problems", "TCP ports only", "named"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := request.DockerPublications(portMap(t, c.bindings))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("lacks %q: %v", part, err)
				}
			}
		})
	}
}
