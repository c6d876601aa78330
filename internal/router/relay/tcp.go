package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keepAlive finds out within two minutes that the other side is gone without a word, as a container that was killed.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}

// Listen makes a listener in the caller's network namespace. It does not speak Multipath TCP, of whose connections the
// kernel does not tell the original destination, and which it does not splice.
func Listen(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	// Connections inherit what the listener has: that saves four system calls for each.
	config := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return errors.Join(raw.Control(func(fd uintptr) { err = keepAlives(int(fd)) }), err)
	}}
	config.SetMultipathTCP(false)
	return config.Listen(ctx, "tcp4", at.String())
}

// keepAlives sets keepAlive.
func keepAlives(fd int) error {
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAlive.Idle.Seconds())),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAlive.Interval.Seconds())),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAlive.Count))
}

// Dialer makes the connections of the default Dial, and of others that only add to it.
func Dialer() *net.Dialer {
	d := &net.Dialer{KeepAliveConfig: keepAlive}
	d.SetMultipathTCP(false)
	return d
}

// reset ends a connection so that the other side knows at once. What is not sent yet is lost.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// waitReadable waits without a buffer and without a pipe for bytes or the end. It returns the connection's error, which
// the kernel tells once only.
func waitReadable(raw syscall.RawConn) error {
	var failed error
	var one [1]byte
	err := raw.Read(func(fd uintptr) bool {
		_, _, failed = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	if err != nil {
		return err
	}
	return failed
}

// waitReset waits for the error of a connection whose other side sends no more. It returns nil once the connection is
// closed here.
func waitReset(raw syscall.RawConn) error {
	var failed error
	_ = raw.Read(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = syscall.Errno(code)
		}
		failed = err
		return failed != nil
	})
	return failed
}
