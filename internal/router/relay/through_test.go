package relay_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/relay"
)

// hosts is a server of the cloud for every name: it says how it was asked.
var hosts = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s for %s", r.Proto, r.Host)
})

// serveWeb serves HTTP/1, HTTP/2 with prior knowledge, and both under TLS.
func (w *world) serveWeb() {
	w.t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	secrets := &tls.Config{Certificates: []tls.Certificate{certificate(w.t)}}
	server := &http.Server{Handler: hosts, Protocols: protocols, TLSConfig: secrets}
	w.t.Cleanup(func() { server.Close() })
	plain, err := w.cloud.Listen(at(cloudAddr, 80))
	if err != nil {
		w.t.Fatal(err)
	}
	secret, err := w.cloud.Listen(at(cloudAddr, 443))
	if err != nil {
		w.t.Fatal(err)
	}
	go server.Serve(plain)
	go server.ServeTLS(secret, "", "")
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{api, dock},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// client is a client of HTTP on the server, which resolves every name to the address of api.
func (w *world) client(change func(*http.Transport)) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols),
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			number := map[string]uint16{"80": 80, "443": 443}[port]
			return w.dialFrom(serverAddr, at(apiAddr, number))
		}}
	transport.Protocols.SetHTTP1(true)
	change(transport)
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// protocols are ways to ask, and what the server of the cloud says that it was asked in.
var protocols = map[string]struct {
	scheme, seen string
	mismatch     relay.Reason
	change       func(*http.Transport)
}{
	"HTTP/1.1": {"http", "HTTP/1.1", relay.HostMismatch, func(*http.Transport) {}},
	"h2c": {"http", "HTTP/2.0", relay.HostMismatch, func(t *http.Transport) {
		t.Protocols.SetHTTP1(false)
		t.Protocols.SetUnencryptedHTTP2(true)
	}},
	"TLS 1.2": {"https", "HTTP/1.1", relay.SNIMismatch, func(t *http.Transport) {
		t.TLSClientConfig.MaxVersion = tls.VersionTLS12
	}},
	"TLS 1.3": {"https", "HTTP/1.1", relay.SNIMismatch, func(t *http.Transport) {
		t.TLSClientConfig.MinVersion = tls.VersionTLS13
	}},
	"h2": {"https", "HTTP/2.0", relay.SNIMismatch, func(t *http.Transport) { t.Protocols.SetHTTP2(true) }},
}

// TestThrough: a client reaches the name that owns the address it connects to, and no other one at the same real
// address.
func TestThrough(t *testing.T) {
	w := newWorld(t, nil)
	w.serveWeb()
	for what, p := range protocols {
		client := w.client(p.change)
		if got, err := get(client, p.scheme+"://"+api+"/"); err != nil || got != p.seen+" for "+api {
			t.Errorf("%s: %q, %v", what, got, err)
		}
		opened := w.events.wait(t, relay.Opened, "")
		if opened.Server != serverAddr || opened.Original.Addr() != apiAddr || opened.Target.Name != api {
			t.Errorf("%s: opened %+v", what, opened)
		}
		client.CloseIdleConnections()
		// A client that is gone answers the last words of the other side with a reset.
		if closed := w.events.wait(t, relay.Closed, "", relay.Reset); closed.Sent == 0 || closed.Received == 0 {
			t.Errorf("%s: closed %+v", what, closed)
		}
		if got, err := get(client, p.scheme+"://"+dock+"/"); err == nil {
			t.Errorf("%s: another name is answered %q", what, got)
		}
		if denied := w.events.wait(t, relay.Denied, p.mismatch); denied.Asked != dock || denied.Target.Name != api {
			t.Errorf("%s: denied %+v", what, denied)
		}
	}
}

func get(client *http.Client, url string) (string, error) {
	r, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return string(body), err
}
