// Package operator is the way from the operator's command to a running plugin: HTTP on the driver's socket.
package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/mcpnet/mcpnet/internal/report"
)

// Paths that the plugin answers beside the driver's protocol.
const (
	StatusPath = "/mcpnet.Status"
	PlanPath   = "/mcpnet.Plan"
)

// Client asks a plugin.
type Client struct {
	socket string
	http   http.Client
}

// NewClient makes a client for the plugin at a socket's path.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Status asks what is in force.
func (c *Client) Status(ctx context.Context) (s report.Status, err error) {
	return s, c.get(ctx, StatusPath, &s)
}

// Plan asks what would be changed now.
func (c *Client) Plan(ctx context.Context) (p report.Plan, err error) {
	return p, c.get(ctx, PlanPath, &p)
}

// ErrNoPlugin says that no plugin answers.
var ErrNoPlugin = errors.New("no mcpnet plugin answers")

func (c *Client) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://mcpnet"+path, nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%s: permission denied: run this as root or with sudo", c.socket)
	}
	if err != nil {
		return fmt.Errorf("%w at %s: install it with `make plugin` (on hosts without Docker: mcpnet install --help), or enable it (docker plugin ls; docker plugin enable mcpnet/driver): %w", ErrNoPlugin, c.socket, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		var failure struct{ Err string }
		if err := json.NewDecoder(response.Body).Decode(&failure); err != nil || failure.Err == "" {
			return fmt.Errorf("%s: answered %s", c.socket, response.Status)
		}
		return errors.New(failure.Err)
	}
	return json.NewDecoder(response.Body).Decode(into)
}
