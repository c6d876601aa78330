package relay

import "time"

// Limits bound what servers can take of a relay. A process needs two file descriptors for each connection, and four
// more for each one that data flows over: pipes, which the kernel makes small where a user without CAP_SYS_RESOURCE
// has more than fs.pipe-user-pages-soft. Then it carries on, slower.
type Limits struct {
	Hello   time.Duration // for a whole hello; 10 s
	Silence time.Duration // for the next byte of a hello; 5 s
	Dial    time.Duration // for the connection to the name's own address; 10 s

	// Connections that are not let through yet. Each takes hello.Max bytes from its first byte on.
	HellosPerServer int // 128
	Hellos          int // 4,096

	// Connections in all.
	ConnectionsPerServer int // 1,024
	Connections          int // 16,384
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Hello, 10*time.Second)
	setDefault(&l.Silence, 5*time.Second)
	setDefault(&l.Dial, 10*time.Second)
	setDefault(&l.HellosPerServer, 128)
	setDefault(&l.Hellos, 4096)
	setDefault(&l.ConnectionsPerServer, 1024)
	setDefault(&l.Connections, 16384)
	return l
}

func setDefault[T comparable](value *T, usual T) {
	var none T
	if *value == none {
		*value = usual
	}
}
