// Command peer is both ends of the traffic that the tests of test/docker send: it serves HTTP on ports, and makes one
// attempt and prints how that ended as a line of JSON, as test/demo/probe does. An attempt that fails is a result.
//
//	peer serve 8080 9090
//	peer tcp 172.20.0.100:8080
//	peer fetch http://172.20.0.100:8080 1000000
//	peer send http://172.20.0.100:8080 1000000
//	peer stream http://172.20.0.100:8080 65s
//	peer again http://172.20.0.100:8080 65s
//	peer query udp 203.0.113.53:53 secret.example
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// dialer sends no keep-alive segments: a connection that idles has to live by itself.
var dialer = net.Dialer{Timeout: 6 * time.Second, KeepAlive: -1}

type result struct {
	Answered bool          `json:"answered"`
	Detail   string        `json:"detail"`
	Took     time.Duration `json:"took"`
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: peer serve PORT... | tcp|fetch|send|stream|again|query ARGUMENT...")
		os.Exit(2)
	}
	if os.Args[1] == "serve" {
		fmt.Fprintln(os.Stderr, serve(os.Args[2:]))
		os.Exit(1)
	}
	began := time.Now()
	detail, err := attempt(os.Args[1], os.Args[2:])
	r := result{Answered: err == nil, Detail: detail, Took: time.Since(began)}
	if err != nil {
		r.Detail = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(r)
}

func attempt(kind string, args []string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}}
	switch {
	case kind == "tcp" && len(args) == 1:
		return connect(args[0])
	case kind == "query" && len(args) == 3:
		return query(args[0], args[1], args[2])
	case len(args) != 2:
		return "", fmt.Errorf("%s: wrong arguments", kind)
	}
	switch kind {
	case "fetch", "send":
		size, err := strconv.ParseInt(args[1], 10, 64)
		if err != nil {
			return "", err
		}
		return transfer(client, kind, args[0], size)
	case "stream", "again":
		pause, err := time.ParseDuration(args[1])
		if err != nil {
			return "", err
		}
		return idle(client, kind, args[0], pause)
	}
	return "", errors.New("no attempt called " + kind)
}
