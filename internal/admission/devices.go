package admission

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// What a device of the host is.
const (
	memory   = "the host's memory"
	hardware = "the host's hardware"
	frames   = "frames past the network"
	keyboard = "the host's keyboard and terminal"
	disk     = "a disk of the host"
)

// hostDevices is the table of devices that are a way out of the network, by their names below /dev (path.Match):
// through them a container reads and writes the host's memory or disks, drives its hardware, types on its keyboard, or
// speaks with somebody past its network. Terminals, sound, video, graphics, kmsg, fuse, kvm and net/tun are none: the
// last needs NET_ADMIN, and makes links in the container alone.
var hostDevices = []struct{ why, names string }{
	{memory, "mem kmem xen"},
	{hardware, "port vfio iommu uio[0-9]* bus cpu nvram snapshot mei[0-9]* ipmi* fw[0-9]* usbmon* vhci char"},
	{frames, "vhost* vsock vmci infiniband"},
	{keyboard, "input uinput uhid userio hidraw* usb/hiddev* console vcs*"},
	{disk, "sd[a-z]* sg[0-9]* bsg hd[a-z] hd[a-z][0-9]* vd[a-z]* xvd[a-z]* nvme* ng[0-9]* mmcblk* pmem* dax[0-9]* dm-* mapper " +
		"md[0-9]* md loop* nbd* rbd* zd* zvol zram* drbd* bcache* ublk* dasd* ram[0-9]* mtd* ubi* st[0-9]* nst[0-9]* sr[0-9]* fd[0-9]* " +
		"disk block raw btrfs-control"},
}

// hostNumbers is the same by numbers, for character devices that have the same ones on every host (Linux,
// admin-guide/devices.txt, linux/miscdevice.h). Without minors it is all of the major.
var hostNumbers = []struct {
	why    string
	major  uint64
	minors []uint64
}{
	{memory, 1, []uint64{1, 2, 4}},
	{keyboard, 7, nil}, // what the host's terminals show
	{disk, 9, nil},     // tapes
	{hardware, 10, []uint64{137, 144, 196, 231}},
	{keyboard, 10, []uint64{223, 239, 240}},
	{disk, 10, []uint64{234, 236, 237}},
	{frames, 10, []uint64{238, 241}},
	{keyboard, 13, nil},
	{disk, 21, nil}, // SCSI
	{disk, 90, nil}, // flash memory
	{disk, 162, nil},
	{hardware, 171, nil}, // FireWire
	{keyboard, 180, minors(96, 16)},
	{hardware, 189, nil}, // USB
	{hardware, 202, nil}, // the processors' registers
	{frames, 231, nil},   // InfiniBand
}

func minors(from, count uint64) (out []uint64) {
	for n := range count {
		out = append(out, from+n)
	}
	return out
}

// WayOutOfDevice tells why a device of the host, by its path there, is a way out of the network for a container that
// may use it; bad is false where it is none.
func WayOutOfDevice(device string) (reason string, bad bool) {
	p := path.Clean(device)
	below, ok := strings.CutPrefix(p, "/dev/")
	if !ok {
		return "the host's devices", p == "/dev" // a device elsewhere has a name that says nothing
	}
	if numbers, ok := strings.CutPrefix(below, "char/"); ok {
		return WayOutOfDeviceRule("c " + numbers + " rw")
	}
	name, _, _ := strings.Cut(below, "/")
	for _, d := range hostDevices {
		for pattern := range strings.FieldsSeq(d.names) {
			first, _ := path.Match(pattern, name)
			if all, _ := path.Match(pattern, below); first || all {
				return d.why, true
			}
		}
	}
	return "", false
}

// WayOutOfDeviceRule is WayOutOfDevice for a rule of the device cgroup, such as "b 8:* rwm": every block device is one,
// and so are a character device with a number in the table and a rule for one among others. That a node may be made
// harms nobody.
func WayOutOfDeviceRule(rule string) (reason string, bad bool) {
	fields := strings.Fields(rule)
	if len(fields) < 2 || len(fields) > 2 && !strings.ContainsAny(fields[2], "rw") {
		return "", false
	}
	major, minor, _ := strings.Cut(fields[1], ":")
	switch {
	case fields[0] == "a", major == "*":
		return "every device of the host", true
	case fields[0] == "b":
		return disk, true
	}
	return wayOutOfNumber(major, minor)
}

func wayOutOfNumber(major, minor string) (reason string, bad bool) {
	number, err := strconv.ParseUint(major, 10, 32)
	if err != nil {
		return "", false
	}
	one, err := strconv.ParseUint(minor, 10, 32)
	every := err != nil // "*"
	for _, d := range hostNumbers {
		if d.major == number && (every || d.minors == nil || slices.Contains(d.minors, one)) {
			return d.why, true
		}
	}
	return "", false
}
