package docker_test

import (
	"path/filepath"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestCompose brings the example stack up, as its comment says, and down again.
func TestCompose(t *testing.T) {
	onComposeVersions(t, composeStack)
}

func composeStack(t *testing.T, version string) {
	root := testengine.ModuleRoot(t)
	world := testnet.NewWorld(t)
	l := &lab{t: t, world: world, Engine: testengine.Start(t, testengine.Options{
		Version: version, NetNS: world.Host.Path(), Binds: []string{root},
	})}
	l.InstallPlugin(testengine.BuildPlugin(t))
	service := testengine.GoFile(t, "/service", "test/demo/gateway")
	probe := testengine.GoFile(t, "/bin/probe", "test/demo/probe")
	for name, port := range map[string]string{"example-gateway": ":8080", "example-server": ":3000"} {
		l.ImportImage(testengine.Image{
			Tag: name, Files: []testengine.File{service, probe},
			Changes: []string{`CMD ["/service", "-name", "` + name + `", "-listen", "` + port + `"]`},
		})
	}
	compose := func(args ...string) string {
		t.Helper()
		out, err := l.Exec("env", append([]string{
			"GATEWAY_IMAGE=example-gateway", "SERVER_IMAGE=example-server",
			"docker", "compose", "-f", filepath.Join(root, "examples/compose/compose.yaml"),
		}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	compose("up", "-d")
	files, search, gateway := compose("ps", "-q", "files"), compose("ps", "-q", "search"), compose("ps", "-q", "gateway")

	l.reaches(files, "gateway:8080")
	l.reaches(search, "gateway:8080")
	l.reaches(gateway, "files:3000")
	l.denied(files, "search:3000")
	l.denied(search, testnet.HostAddr.String()+":8080")
	compose("down")
	if out := l.MustDocker("network", "ls", "--quiet", "--filter", "driver=mcpnet"); out != "" {
		t.Errorf("networks left behind: %s", out)
	}
}
