package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// connect succeeds when the connection is accepted.
func connect(to string) (string, error) {
	conn, err := dialer.Dial("tcp", to)
	if err != nil {
		return "", err
	}
	return "connected", conn.Close()
}

// transfer moves bytes in one direction and compares what arrived with what was sent.
func transfer(client *http.Client, kind, url string, size int64) (string, error) {
	want, err := sum(noise(size))
	if err != nil {
		return "", err
	}
	var got string
	if kind == "fetch" {
		got, err = fetch(client, fmt.Sprintf("%s/noise?size=%d", url, size))
	} else {
		got, err = send(client, url+"/sum", noise(size))
	}
	if err == nil && got != want {
		err = fmt.Errorf("got %s, want %s", got, want)
	}
	return got, err
}

func fetch(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	return sum(response.Body)
}

func send(client *http.Client, url string, body io.Reader) (string, error) {
	response, err := client.Post(url, "application/octet-stream", body)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	return string(got), err
}

// idle leaves a connection without traffic. The server speaks first after the pause of a stream, the client when it
// asks again.
func idle(client *http.Client, kind, url string, pause time.Duration) (string, error) {
	if kind == "stream" {
		return get(client, fmt.Sprintf("%s/stream?pause=%s", url, pause), "first\nlast\n", false)
	}
	if _, err := get(client, url, "hello\n", false); err != nil {
		return "", err
	}
	time.Sleep(pause)
	return get(client, url, "hello\n", true)
}

// get reads an answer. A connection that was meant to live on, and did not, would be replaced in silence.
func get(client *http.Client, url, want string, onSame bool) (string, error) {
	var reused bool
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err == nil && (string(got) != want || reused != onSame) {
		err = fmt.Errorf("got %q, on the same connection: %v", got, reused)
	}
	return string(got), err
}

// query asks a name server for an address.
func query(network, server, name string) (string, error) {
	question, err := question(name)
	if err != nil {
		return "", err
	}
	conn, err := dialer.Dial(network, server)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	if network == "tcp" {
		question = append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)
	}
	if _, err := conn.Write(question); err != nil {
		return "", err
	}
	return answer(network, conn)
}

func question(name string) ([]byte, error) {
	n, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, err
	}
	return (&dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 4711, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}).Pack()
}

func answer(network string, conn net.Conn) (string, error) {
	buf := make([]byte, 4096)
	size, err := conn.Read(buf)
	if err != nil {
		return "", err
	}
	buf = buf[:size]
	if network == "tcp" {
		buf = buf[min(2, size):]
	}
	var m dnsmessage.Message
	if err := m.Unpack(buf); err != nil {
		return "", err
	}
	if len(m.Answers) == 0 {
		return "", errors.New(m.RCode.String())
	}
	return m.Answers[0].Body.GoString(), nil
}
