package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/router/relay"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// sockets are those that the process answers at. They outlive it: what arrives between two processes waits.
type sockets struct{ files []*os.File }

// listen makes them in the network's namespace.
func listen(in ns.Handle, at netip.Addr) (s sockets, err error) {
	err = in.Do(func() error {
		packet, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, topology.FilterPort)))
		if err != nil {
			return err
		}
		defer packet.Close()
		if err := s.keep(packet); err != nil {
			return err
		}
		for _, port := range []uint16{topology.FilterPort, topology.RelayPort} {
			l, err := relay.Listen(context.Background(), netip.AddrPortFrom(at, port))
			if err != nil {
				return err
			}
			defer l.Close()
			if err := s.keep(l); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return s, errors.Join(err, s.close())
	}
	return s, nil
}

// keep holds a socket of which what made it is closed.
func (s *sockets) keep(socket any) error {
	f, err := socket.(interface{ File() (*os.File, error) }).File()
	if err == nil {
		s.files = append(s.files, f)
	}
	return err
}

func (s sockets) close() error {
	var failed []error
	for _, f := range s.files {
		failed = append(failed, f.Close())
	}
	return errors.Join(failed...)
}

// factory makes sockets that connect beyond the network, on a thread that lives in its namespace: to enter it for each
// would take a thread each.
type factory struct {
	from     netip.Addr
	requests chan request
	ended    chan struct{}
}

type request struct {
	work func() error
	done chan<- error
}

func newFactory(in ns.Handle, from netip.Addr) (*factory, error) {
	f := &factory{from: from, requests: make(chan request), ended: make(chan struct{})}
	ready := make(chan error, 1)
	go func() {
		ready <- in.Do(func() error {
			runtime.LockOSThread()
			ready <- nil
			f.serve()
			return nil
		})
	}()
	return f, <-ready
}

func (f *factory) serve() {
	for {
		select {
		case <-f.ended:
			return
		case r := <-f.requests:
			r.done <- r.work()
		}
	}
}

func (f *factory) close() { close(f.ended) }

// socket makes one, unless the factory is closed.
func (f *factory) socket() (int, error) {
	fd := -1
	err := f.do(func() (err error) {
		fd, err = outward(f.from)
		return err
	})
	return fd, err
}

// do works on the factory's thread, unless the factory is closed.
func (f *factory) do(work func() error) error {
	done := make(chan error, 1)
	select {
	case <-f.ended:
		return net.ErrClosed
	case f.requests <- request{work, done}:
		return <-done
	}
}

// outward makes a socket that finds the way out of the namespace, which only what is marked as permitted does.
func outward(from netip.Addr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, err
	}
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, topology.MarkPermitted),
		unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}))
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// Bounds of a connection to a name: of one attempt, and of how many addresses are tried.
const (
	attemptTime = 3 * time.Second
	attempts    = 3
)

// dial connects to the first of the addresses that answers.
func (f *factory) dial(ctx context.Context, addrs []netip.Addr, port uint16) (*os.File, error) {
	var failed []error
	for _, a := range addrs[:min(attempts, len(addrs))] {
		conn, err := f.connect(ctx, netip.AddrPortFrom(a, port))
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

func (f *factory) connect(ctx context.Context, to netip.AddrPort) (*os.File, error) {
	fd, err := f.socket()
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	file := os.NewFile(uintptr(fd), to.String()) // not blocking, so that the runtime waits for it
	if err == nil {
		return file, nil
	}
	if errors.Is(err, unix.EINPROGRESS) {
		err = connected(ctx, file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", to, err), file.Close())
	}
	return file, nil
}

// connected waits until a connection is there (connect(2), EINPROGRESS).
func connected(ctx context.Context, file *os.File) error {
	deadline := time.Now().Add(attemptTime)
	if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	if err := file.SetWriteDeadline(deadline); err != nil {
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var state error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if code != 0 {
			err = unix.Errno(code)
		}
		if state = err; err != nil {
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err == nil // not yet: ENOTCONN
	})
	return errors.Join(err, state, file.SetWriteDeadline(time.Time{}))
}
