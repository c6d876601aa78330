package testengine

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/moby/moby/client"
)

// PluginName is the reference under which mcpnet is installed. It must not
// resolve to mcpnet:latest: the engine would then look no further for `-d
// mcpnet`, and find no driver of exactly that name.
const PluginName = "mcpnet/driver:latest"

// InstallPlugin creates and enables the plugin in dir (config.json and rootfs/)
// under PluginName, with the settings given as NAME=VALUE. The test fails when
// that cannot be done.
func (e *Engine) InstallPlugin(dir string, settings ...string) {
	e.t.Helper()
	if err := e.installPlugin(dir, settings); err != nil {
		e.t.Fatalf("docker %s: plugin %s: %v\n%s", e.opts.Version, dir, err, e.daemon.logs.tail(25))
	}
}

func (e *Engine) installPlugin(dir string, settings []string) error {
	ctx := context.Background()
	pipe, w := io.Pipe()
	go func() {
		archive := tar.NewWriter(w)
		err := archive.AddFS(os.DirFS(dir))
		if err == nil {
			err = archive.Close()
		}
		w.CloseWithError(err)
	}()
	_, err := e.client.PluginCreate(ctx, pipe, client.PluginCreateOptions{RepoName: PluginName})
	pipe.Close()
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if len(settings) > 0 {
		if _, err := e.client.PluginSet(ctx, PluginName, client.PluginSetOptions{Args: settings}); err != nil {
			return fmt.Errorf("set %v: %w", settings, err)
		}
	}
	if _, err := e.client.PluginEnable(ctx, PluginName, client.PluginEnableOptions{Timeout: 30}); err != nil {
		return fmt.Errorf("enable: %w", err)
	}
	return nil
}
