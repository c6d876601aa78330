package load

import (
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// run is how many packets are timed together. It is short, a quarter of a millisecond: the median of many leaves out
// those in which the kernel ran something else.
const run = 100

// packets writes a frame to a device. A veth carries it through to its end within the system call, so the time of the
// call is that of the whole path, with the sender's own part.
func packets(s Spec) (Result, error) {
	device, err := net.InterfaceByName(s.Device)
	if err != nil {
		return Result{}, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Result{}, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: device.Index}); err != nil {
		return Result{}, fmt.Errorf("bind to %s: %w", s.Device, err)
	}
	var times []time.Duration
	sent := 0
	for began := time.Now(); time.Since(began) < s.For; {
		start := time.Now()
		for range run {
			if _, err := raw(unix.SYS_WRITE, fd, s.Frame); err != nil {
				return Result{}, fmt.Errorf("packet %d: %w", sent, err)
			}
			sent++
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return Result{PerPacket: float64(times[len(times)/2].Nanoseconds()) / run, Sent: sent}, nil
}
