// Command mcpnet-plugin is the Docker network driver: it serves the remote driver protocol, keeps the kernel as the
// store says, and repairs rules that go missing. It runs as a managed plugin (see config.json) or as a service; as a
// service it also repairs networks of CNI and netavark, and with -docker "" only those.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/docker/go-plugins-helpers/network"

	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/docker"
	"github.com/mcpnet/mcpnet/internal/evidence"
	"github.com/mcpnet/mcpnet/internal/logging"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/router"
	"github.com/mcpnet/mcpnet/internal/router/process"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/version"
)

// hostRun is where a managed plugin sees the host's /run.
const hostRun = "/host/run"

// hostMounts is where it sees the mount table of the host's first process.
const hostMounts = "/host/proc/mountinfo"

type config struct {
	socket, alias, store, dockerSocket, netns, resolvers string
	attestations                                         attest.Directory
	version, managed                                     bool
}

func parseFlags() config {
	run := "/run"
	c := config{}
	if _, err := os.Stat(hostRun); err == nil {
		run, c.managed = hostRun, true
	}
	flag.StringVar(&c.socket, "socket", "/run/docker/plugins/mcpnet.sock", "`path` of the driver's socket")
	flag.StringVar(&c.alias, "alias", hostRun+"/docker/plugins/mcpnet.sock",
		"`path` of a second socket, by which the engine finds the driver under the plain name mcpnet; empty: none")
	flag.StringVar(&c.store, "store", surface.DefaultRoot, "`directory` of the networks and endpoints")
	flag.StringVar(&c.dockerSocket, "docker", run+"/docker.sock",
		"`path` of the engine's socket; empty: no driver for Docker")
	flag.StringVar(&c.netns, "netns", "", "`path` of the network namespace to work in; empty: this process's own")
	flag.StringVar(&c.resolvers, "resolvers", "/etc/resolv.conf", "`file` that names the resolvers for names of mcpnet.allow, in the form of resolv.conf(5)")
	c.attestations = attest.In(filepath.Join(run, attest.Dir))
	flag.BoolVar(&c.version, "version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(),
			"mcpnet-plugin is the Docker network driver \"mcpnet\". Docker starts it as a managed plugin.\n"+
				"As a service it also repairs networks of CNI and netavark: mcpnet-plugin -docker \"\" does only that.\n"+
				"The environment variable MCPNET_LOG (debug, info, warn, error) says how much it reports.\n\nOptions:\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if !c.managed && c.alias == hostRun+"/docker/plugins/mcpnet.sock" {
		c.alias = ""
	}
	return c
}

// pins is where networks' namespaces are pinned.
func (c config) pins() ns.Pins {
	if c.managed {
		return ns.GuestPins(hostRun+"/netns").As("/run/netns", hostMounts)
	}
	return ns.HostPins(surface.Namespaces(os.Getenv(surface.NamespacesVariable)))
}

// bus is the address of the host's system bus. That of this process is another host's where it works in another
// network namespace.
func (c config) bus() string {
	named := os.Getenv(surface.SystemBusVariable)
	switch {
	case c.managed:
		return "unix:path=" + hostRun + "/dbus/system_bus_socket"
	case c.netns != "":
		return named
	}
	return surface.SystemBus(named)
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == process.Argument {
		process.Main()
		return
	}
	c := parseFlags()
	if c.version {
		fmt.Println("mcpnet-plugin", version.String())
		return
	}
	log := c.log()
	slog.SetDefault(log)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, c, log); err != nil {
		log.Error("mcpnet-plugin ends", "error", err)
		os.Exit(1)
	}
}

// log is for Docker, or for whoever started a service.
func (c config) log() *slog.Logger {
	level := logging.Level(slog.LevelInfo)
	if c.managed {
		return logging.Managed(level)
	}
	return logging.Standard(level)
}

// run serves the socket at once, since the engine waits for it, but answers no call before the kernel is as the store
// says. On SIGTERM it ends and leaves rules and links in place.
func run(ctx context.Context, c config, log *slog.Logger) error {
	if err := os.MkdirAll(c.store, 0o700); err != nil {
		return fmt.Errorf("store: %w", err) // no trial heals that
	}
	if !c.managed {
		repairPerCall(ctx, c, log)
	}
	if c.dockerSocket == "" {
		log.Info("mcpnet-plugin ready", "version", version.String(), "for", perCallOwners())
		<-ctx.Done()
		return nil
	}
	d := newDriver(log)
	handler := network.NewHandler(d)
	serveOperator(handler, d)
	listeners, err := listen(c, log)
	if err != nil {
		return err
	}
	defer listeners.close()
	failed := make(chan error, 3)
	for _, l := range listeners {
		go func() { failed <- handler.Serve(l) }()
	}

	if err := c.pins().Prepare(); err != nil {
		log.Warn("networks' namespaces", "error", err) // the first network is refused with it
	}
	var e *resident.Front
	untilDone(ctx, log, func() (err error) {
		if e, err = startDocker(ctx, c, log); err != nil {
			d.refuse(err)
		}
		return err
	})
	if e == nil {
		return ctx.Err()
	}
	defer e.Close()
	client, err := docker.Open(c.dockerSocket)
	if err != nil {
		return err
	}
	defer client.Close()
	collector := evidence.NewRecordCollector(e, client, c.attestations, log)
	s := &engineSync{engine: e, docker: client, evidence: collector, attestations: c.attestations, log: log,
		wake: newNotifier(), missing: map[string]time.Time{}}
	d.serve(e, s.wake.notify, c.attestations.Forget)
	go e.Watch(ctx)
	go collector.Watch(ctx)
	go s.run(ctx)

	log.Info("mcpnet-plugin ready", "version", version.String())
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}
}

// startDocker opens the store of Docker's networks, and makes the kernel what it says. What keeps it from that may
// pass: another plugin that has not ended yet, or the nft command.
func startDocker(ctx context.Context, c config, log *slog.Logger) (*resident.Front, error) {
	e, err := resident.Open(ctx, resident.Config{StoreDir: surface.Docker.Store(c.store), NetNS: c.netns, Pins: c.pins(),
		Owner: surface.Docker.Owner, Bus: c.bus(), Log: log,
		Names: resident.Names{Resolvers: func() ([]netip.AddrPort, error) { return router.Resolvers(c.resolvers) }}})
	if err != nil {
		return nil, err
	}
	if err := e.Start(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// callTime bounds every call. The engine holds the container's lock meanwhile, and does not bound it.
const callTime = 9 * time.Second
