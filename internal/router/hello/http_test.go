package hello

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

func TestHost(t *testing.T) {
	for sent, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n":                                    "a.example",
		"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n":                                    "a.example",
		"POST /x?y=://z HTTP/1.1\r\nA: b:c\r\nhOST:\tA.Example:8080 \r\nX:\r\n\r\n":    "a.example",
		"GET / HTTP/1.1\r\nHost: a.example.\r\n\r\n":                                   "a.example",
		"GET / HTTP/1.1\r\nHost: a.example:\r\n\r\n":                                   "a.example",
		"GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n":                   "a.example",
		"GET HTTPS://A.example:443?x HTTP/1.1\r\nHost: a.example\r\n\r\n":              "a.example",
		"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n":                                "a.example",
		"OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n":                 "a.example",
		"PROPFIND / HTTP/1.1\r\nHost: a_b.example\r\nX: caf\xc3\xa9\t!\r\n\r\n":        "a_b.example",
		"P / HTTP/1.1\r\nHost: p.example\r\n\r\n":                                      "p.example",
		"PRI * HTTP/1.1\r\nHost: a.example\r\n\r\n":                                    "",
		"GET /\xe2\x82\xac HTTP/1.1\r\nHost: a.example\r\n\r\n":                        "a.example",
		"GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c\r\nHTTP2-Settings:\r\n\r\n": "a.example",
	} {
		if want == "" {
			checkRefused(t, sent, HTTP, []byte(sent), BadRequest)
			continue
		}
		checkPrefixes(t, sent, HTTP, []byte(sent), want)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(sent)))
		if err != nil {
			t.Errorf("%q: net/http reads %v", sent, err)
		} else if got, _ := authorityName(r.Host); got != want {
			t.Errorf("%q: net/http reads %q", sent, got)
		}
	}
}

func TestHostRefused(t *testing.T) {
	for sent, want := range map[string]Reason{
		"\x16\x03\x01": NoRequest,
		"\r\nGET / HTTP/1.1\r\nHost: a.b\r\n\r\n": NoRequest,
		" GET / HTTP/1.1\r\nHost: a.b\r\n\r\n":    NoRequest,
		"{\"a\"":                                  NoRequest,
		strings.Repeat("G", 33):                   NoRequest,
		"SSH-2.0-x\r\n":                           NoRequest,
		"\x00":                                    NoRequest,

		"GET / HTTP/1.1\n":                                                   BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b\n":                                      BadRequest,
		"GET / HTTP/1.1\rHost: a.b\r\n":                                      BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b\rX: y\r\n":                              BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b\x00":                                    BadRequest,
		"GET / HTTP/1.1\r\nX: \x0b":                                          BadRequest,
		"GET /\x7f":                                                          BadRequest,
		"GET / HTTP/1.1\r\nX: y\r\n Host: a.b\r\n\r\n":                       BadRequest,
		"GET / HTTP/1.1\r\n Host: a.b\r\n\r\n":                               BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b\r\n\tc\r\n\r\n":                         BadRequest,
		"GET / HTTP/1.1\r\nHost : a.b\r\n\r\n":                               BadRequest,
		"GET / HTTP/1.1\r\nHost\t: a.b\r\n\r\n":                              BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b\r\nX\r\n\r\n":                           BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b\r\n: x\r\n\r\n":                         BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b\r\nHost: a.b\r\n\r\n":                   BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b\r\nhost: c.d\r\n\r\n":                   BadRequest,
		"GET / HTTP/1.1\r\nHost:\r\nhost: c.d\r\n\r\n":                       BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b, c.d\r\n\r\n":                           BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b c.d\r\n\r\n":                            BadRequest,
		"GET / HTTP/1.1\r\nHost: u@a.b\r\n\r\n":                              BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b:80:90\r\n\r\n":                          BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b:x\r\n\r\n":                              BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b..\r\n\r\n":                              BadRequest,
		"GET / HTTP/1.1\r\nHost: a.b/c\r\n\r\n":                              BadRequest,
		"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n":                              BadRequest,
		"GET  / HTTP/1.1\r\nHost: a.b\r\n\r\n":                               BadRequest,
		"GET /  HTTP/1.1\r\nHost: a.b\r\n\r\n":                               BadRequest,
		"GET / HTTP/1.1 \r\nHost: a.b\r\n\r\n":                               BadRequest,
		"GET /\tHTTP/1.1\r\nHost: a.b\r\n\r\n":                               BadRequest,
		"GET / x HTTP/1.1\r\nHost: a.b\r\n\r\n":                              BadRequest,
		"GET /\r\nHost: a.b\r\n\r\n":                                         BadRequest,
		"GET / HTTP/2.0\r\nHost: a.b\r\n\r\n":                                BadRequest,
		"GET / HTTP/0.9\r\nHost: a.b\r\n\r\n":                                BadRequest,
		"GET / http/1.1\r\nHost: a.b\r\n\r\n":                                BadRequest,
		"GET / HTTP/1.10\r\nHost: a.b\r\n\r\n":                               BadRequest,
		"GET * HTTP/1.1\r\nHost: a.b\r\n\r\n":                                BadRequest,
		"GET a.b HTTP/1.1\r\nHost: a.b\r\n\r\n":                              BadRequest,
		"GET http://c.d/ HTTP/1.1\r\nHost: a.b\r\n\r\n":                      BadRequest,
		"GET http://a.b@c.d/ HTTP/1.1\r\nHost: a.b\r\n\r\n":                  BadRequest,
		"GET http://a.b\\@c.d/ HTTP/1.1\r\nHost: a.b\r\n\r\n":                BadRequest,
		"GET http:///x HTTP/1.1\r\nHost: a.b\r\n\r\n":                        BadRequest,
		"GET ftp://a.b/ HTTP/1.1\r\nHost: a.b\r\n\r\n":                       BadRequest,
		"GET http:a.b HTTP/1.1\r\nHost: a.b\r\n\r\n":                         BadRequest,
		"PRI * HTTP/2.0\r\n\r\nXX":                                           BadRequest,
		"GET http://a.b/ HTTP/1.1\r\nX: y\r\n\r\n":                           HostMissing,
		"GET / HTTP/1.0\r\n\r\n":                                             HostMissing,
		"GET / HTTP/1.1\r\nX: y\r\n\r\n":                                     HostMissing,
		"GET / HTTP/1.1\r\nHost: \t\r\n\r\n":                                 HostMissing,
		"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b\r\n\r\n":                      ProxyRequest,
		"GET / HTTP/1.1\r\nX: " + strings.Repeat("y", Max) + "\r\nHost: a.b": TooLarge,
		"GET / HTTP/1.1\r\nHost: a.b\r\nX: " + strings.Repeat("y", Max):      TooLarge,
		"GET /" + strings.Repeat("y", Max):                                   TooLarge,
	} {
		checkRefused(t, sent[:min(len(sent), 100)], HTTP, []byte(sent), want)
	}
}
