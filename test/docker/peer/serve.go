package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// noise is the same sequence of bytes on both sides, so that each knows the sum of what the other sends.
func noise(size int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{}), size) }

func sum(r io.Reader) (string, error) {
	h := sha256.New()
	size, err := io.Copy(h, r)
	return fmt.Sprintf("%d bytes, %x", size, h.Sum(nil)), err
}

func serve(ports []string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	mux.HandleFunc("GET /noise", func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.ParseInt(r.FormValue("size"), 10, 64)
		io.Copy(w, noise(size))
	})
	mux.HandleFunc("POST /sum", func(w http.ResponseWriter, r *http.Request) {
		got, err := sum(r.Body)
		if err != nil {
			got = err.Error()
		}
		io.WriteString(w, got)
	})
	mux.HandleFunc("GET /stream", stream)
	failed := make(chan error)
	for _, port := range ports {
		l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp4", ":"+port)
		if err != nil {
			return err
		}
		go func() { failed <- http.Serve(l, mux) }()
	}
	return <-failed
}

// stream is an answer that pauses, as that of an MCP server with nothing to say.
func stream(w http.ResponseWriter, r *http.Request) {
	pause, _ := time.ParseDuration(r.FormValue("pause"))
	fmt.Fprintln(w, "first")
	w.(http.Flusher).Flush()
	time.Sleep(pause)
	fmt.Fprintln(w, "last")
}
