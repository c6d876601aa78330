package engine

import (
	"os"
	"strings"
)

// bootID names the time since the kernel started, or is "" where the kernel does not tell.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
