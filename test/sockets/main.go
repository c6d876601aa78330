// Command sockets makes sockets of every family, in every way that there is, and prints which it got: a line for each,
// with the way, the family, and "ok" or the error. Built for 386 it also takes the ways of 32-bit programs.
package main

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// families is AF_MAX and a few more.
const families = 50

// kinds are SOCK_STREAM, SOCK_DGRAM, SOCK_RAW and SOCK_SEQPACKET. Each family has others of them.
var kinds = []uintptr{1, 2, 3, 5}

// socketcall is the number of socketcall(2) of 386, which has no socket calls of its own on old kernels.
const socketcall = 102

func main() {
	for family := range uintptr(families) {
		try("socket", family, func(kind uintptr) syscall.Errno { return call(unix.SYS_SOCKET, family, kind, 0) })
		try("socketpair", family, func(kind uintptr) syscall.Errno {
			var pair [2]int32
			_, _, errno := unix.Syscall6(unix.SYS_SOCKETPAIR, family, kind, 0, uintptr(unsafe.Pointer(&pair)), 0, 0)
			return errno
		})
		if runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" {
			high := family | uintptr(1)<<(unsafe.Sizeof(family)*4)
			try("high", family, func(kind uintptr) syscall.Errno { return call(unix.SYS_SOCKET, high, kind, 0) })
		}
		if runtime.GOARCH == "386" {
			try("socketcall", family, func(kind uintptr) syscall.Errno {
				args := [3]uint32{uint32(family), uint32(kind), 0}
				return call(socketcall, 1, uintptr(unsafe.Pointer(&args)), 0)
			})
		}
	}
	var params [128]byte
	_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	fmt.Println("io_uring", families, text(errno))
}

func call(number, a, b, c uintptr) syscall.Errno {
	fd, _, errno := unix.Syscall(number, a, b, c)
	if errno == 0 {
		_ = unix.Close(int(fd))
	}
	return errno
}

// try prints the best that any kind of socket got.
func try(way string, family uintptr, make func(kind uintptr) syscall.Errno) {
	var worst syscall.Errno
	for _, kind := range kinds {
		errno := make(kind)
		if errno == 0 {
			fmt.Println(way, family, "ok")
			return
		}
		worst = errno
	}
	fmt.Println(way, family, text(worst))
}

func text(errno syscall.Errno) string {
	if errno == 0 {
		return "ok"
	}
	return unix.ErrnoName(errno)
}
