package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// acceptors is how many connections a server converses with at once.
	acceptors = 8
	// message is the length of a request and of an answer.
	message = 64
	// settling is how long bulk traffic runs before it counts: slow start is over then.
	settling = 200 * time.Millisecond
	// A connection's first byte says what the server does with it.
	sink, echo = 'S', 'E'
)

// raw is read or write without the runtime's bookkeeping, which costs as much as the kernel's work on a small message.
func raw(call uintptr, fd int, buf []byte) (int, error) {
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func readFull(fd int, buf []byte) error {
	for len(buf) > 0 {
		n, err := raw(unix.SYS_READ, fd, buf)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.EOF
		}
		buf = buf[n:]
	}
	return nil
}

func writeFull(fd int, buf []byte) error {
	for len(buf) > 0 {
		n, err := raw(unix.SYS_WRITE, fd, buf)
		if err != nil {
			return err
		}
		buf = buf[n:]
	}
	return nil
}

func sockaddr(at netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}
}

func serve(s Spec) error {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.SetsockoptInt(l, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.Bind(l, sockaddr(s.At)), unix.Listen(l, 1024)); err != nil {
		return fmt.Errorf("listen on %s: %w", s.At, err)
	}
	for range acceptors {
		go accept(l)
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func accept(l int) {
	buf := make([]byte, 256<<10)
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(l), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		if errno != 0 {
			continue
		}
		converse(int(fd), buf)
		_ = unix.Close(int(fd))
	}
}

func converse(fd int, buf []byte) {
	if readFull(fd, buf[:1]) != nil {
		return
	}
	if buf[0] == sink {
		for n := 1; n > 0; {
			n, _ = raw(unix.SYS_READ, fd, buf)
		}
		return
	}
	noDelay(fd)
	for readFull(fd, buf[:message]) == nil && writeFull(fd, buf[:message]) == nil {
	}
}

func noDelay(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// dial connects and says what the connection is for, together with what follows.
func dial(at unix.Sockaddr, first []byte) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	noDelay(fd)
	if err = unix.Connect(fd, at); err == nil {
		err = writeFull(fd, first)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func bulk(s Spec) (Result, error) {
	var bytes atomic.Int64
	failed := make(chan error, s.Flows)
	for range s.Flows {
		fd, err := dial(sockaddr(s.At), []byte{sink})
		if err != nil {
			return Result{}, err
		}
		go func() {
			buf := make([]byte, 128<<10)
			for {
				n, err := raw(unix.SYS_WRITE, fd, buf)
				if err != nil {
					failed <- err
					return
				}
				bytes.Add(int64(n))
			}
		}()
	}
	time.Sleep(settling)
	began, before := time.Now(), bytes.Load()
	time.Sleep(s.For)
	sent, took := bytes.Load()-before, time.Since(began)
	select {
	case err := <-failed:
		return Result{}, err
	default:
		return Result{PerSecond: float64(sent) * 8 / took.Seconds()}, nil
	}
}

func ask(s Spec) (Result, error) {
	fd, err := dial(sockaddr(s.At), []byte{echo})
	if err != nil {
		return Result{}, err
	}
	noDelay(fd)
	buf, times := make([]byte, message), make([]time.Duration, 0, 1<<20)
	began := time.Now()
	for last := began; last.Sub(began) < s.For && len(times) < cap(times); {
		if err := errors.Join(writeFull(fd, buf), readFull(fd, buf)); err != nil {
			return Result{}, err
		}
		now := time.Now()
		times = append(times, now.Sub(last))
		last = now
	}
	took := time.Since(began)
	slices.Sort(times)
	return Result{PerSecond: float64(len(times)) / took.Seconds(), Median: times[len(times)/2], P99: times[len(times)*99/100]}, nil
}

func connects(s Spec) (Result, error) {
	var done atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, s.Flows)
	began := time.Now()
	for range s.Flows {
		group.Go(func() {
			first := append([]byte{echo}, make([]byte, message)...)
			for at := sockaddr(s.At); time.Since(began) < s.For; done.Add(1) {
				if err := connect(at, first); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	select {
	case err := <-failed:
		return Result{}, err
	default:
		return Result{PerSecond: float64(done.Load()) / took.Seconds()}, nil
	}
}

func connect(at unix.Sockaddr, first []byte) error {
	fd, err := dial(at, first)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var answer [message]byte
	return readFull(fd, answer[:])
}
