// Command probe makes one attempt to reach something and prints how that ended,
// as a line of JSON. It runs inside a container and always exits 0: an attempt
// that fails is a result.
//
//	probe http 172.20.0.100:8080
//	probe udp 172.20.0.100:8080
//	probe dns secret.example
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// limit is longer than the kernel takes to give up a neighbour (three seconds),
// so that its answer is seen.
const limit = 6 * time.Second

// result is what the demo reads.
type result struct {
	Answered bool          `json:"answered"`
	Detail   string        `json:"detail"`
	Took     time.Duration `json:"took"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: probe http HOST:PORT[/PATH] | udp HOST:PORT | dns NAME")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	began := time.Now()
	r := attempt(ctx, os.Args[1], os.Args[2])
	r.Took = time.Since(began)
	json.NewEncoder(os.Stdout).Encode(r)
}

func attempt(ctx context.Context, kind, target string) result {
	var detail string
	var err error
	switch kind {
	case "http":
		detail, err = get(ctx, "http://"+target)
	case "udp":
		detail, err = exchange(ctx, target)
	case "dns":
		detail, err = resolve(ctx, target)
	default:
		err = fmt.Errorf("no attempt called %q", kind)
	}
	if err != nil {
		return result{Detail: reason(err)}
	}
	return result{Answered: true, Detail: detail}
}

// get asks over a connection of its own. Any answer at all is an answer.
func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return "", errors.New(resp.Status)
	}
	return resp.Status, nil
}

// exchange sends a datagram and waits for one.
func exchange(ctx context.Context, target string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", target)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("?")); err != nil {
		return "", err
	}
	if _, err := conn.Read(make([]byte, 64)); err != nil {
		return "", err
	}
	return "datagram", nil
}

func resolve(ctx context.Context, name string) (string, error) {
	resolver := net.Resolver{PreferGo: true}
	addrs, err := resolver.LookupNetIP(ctx, "ip4", name)
	if err != nil {
		return "", err
	}
	return addrs[0].String(), nil
}

// reason names the kernel's answer in a word or two.
func reason(err error) string {
	for errno, text := range map[syscall.Errno]string{
		syscall.ENETUNREACH:  "network unreachable",
		syscall.EHOSTUNREACH: "host unreachable",
		syscall.ECONNREFUSED: "refused",
		// What a kernel says that has no IPv6 at all.
		syscall.EADDRNOTAVAIL: "network unreachable",
		syscall.ECONNRESET:    "reset",
		syscall.EACCES:        "prohibited",
		syscall.EPERM:         "prohibited",
	} {
		if errors.Is(err, errno) {
			return text
		}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && !dns.IsTimeout {
		return "name not resolved"
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return "no answer"
	}
	return err.Error()
}
