// Command gateway is the smallest MCP gateway that shows something: it answers
// on each of its ports, datagrams included, and fetches from a server behind it when asked to.
//
//	gateway -name gateway -listen :8080,:9090
//
// The demo's servers and its neighbours are this program too.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

func main() {
	name := flag.String("name", "gateway", "who answers")
	listen := flag.String("listen", ":8080", "addresses, comma-separated")
	flag.Parse()
	handler := routes(*name)
	failed := make(chan error)
	for addr := range strings.SplitSeq(*listen, ",") {
		server := &http.Server{Addr: addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
		go func() { failed <- server.ListenAndServe() }()
		go func() { failed <- echo(addr) }()
	}
	log.Fatal(<-failed)
}

// echo sends datagrams back.
func echo(addr string) error {
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	b := make([]byte, 64)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return err
		}
		if _, err := conn.WriteTo(b[:n], from); err != nil {
			log.Print(err)
		}
	}
}

// routes answers who is there, a list of MCP tools, and what a server behind
// the gateway says.
func routes(name string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s answers %s\n", name, r.RemoteAddr)
	})
	mux.HandleFunc("POST /mcp", listTools)
	mux.HandleFunc("GET /servers/{server}", func(w http.ResponseWriter, r *http.Request) {
		forward(w, r, "http://"+r.PathValue("server")+"/")
	})
	return mux
}

// listTools answers a JSON-RPC request with one tool, whatever was asked.
func listTools(w http.ResponseWriter, r *http.Request) {
	var call struct {
		ID json.RawMessage `json:"id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"jsonrpc": "2.0", "id": call.ID,
		"result": map[string]any{"tools": []map[string]string{{"name": "fetch"}}},
	})
}

// forward passes on what the server at the URL answers.
func forward(w http.ResponseWriter, r *http.Request, url string) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}
