package hello

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
)

func TestAwaitsSettings(t *testing.T) {
	s := settled()
	_ = s.WriteWindowUpdate(0, 1)
	whole := s.out.Bytes()
	bounds := map[int]bool{len(whole): true, len(whole) - frameHeader - 4: true} // behind each of the frames
	for i := range len(whole) + 1 {
		if got := AwaitsSettings(whole[:i]); got != bounds[i] {
			t.Errorf("%d of %d bytes: %t", i, len(whole), got)
		}
	}
	_ = s.WriteHeaders(headers(getFrom(":authority", "a.example")))
	if AwaitsSettings(s.out.Bytes()) {
		t.Error("behind HEADERS")
	}
	if AwaitsSettings([]byte("GET / HTTP/1.1\r\n")) {
		t.Error("HTTP/1")
	}
}

// TestWithoutAck: one acknowledgement goes, wherever it stands, and everything else stays.
func TestWithoutAck(t *testing.T) {
	for at := range 4 {
		with, without := newStream(), newStream()
		for i, write := range []func(*stream){
			func(s *stream) { _ = s.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}) },
			func(s *stream) { _ = s.WriteHeaders(headers(getFrom(":authority", "a.example"))) },
			func(s *stream) { _ = s.WriteData(1, true, []byte("\x00\x00\x00\x04\x01\x00\x00\x00\x00")) },
			func(s *stream) { _ = s.WriteSettingsAck() }, // of the server's own
		} {
			if i == at {
				_ = with.WriteSettingsAck()
			}
			write(with)
			write(without)
		}
		if got, ok := WithoutAck(bytes.Clone(with.out.Bytes())); !ok || !bytes.Equal(got, without.out.Bytes()) {
			t.Errorf("at %d: %q, %t", at, got, ok)
		}
		cut := without.out.Bytes()[:without.out.Len()-1]
		if got, ok := WithoutAck(bytes.Clone(cut)); ok || !bytes.Equal(got, cut) {
			t.Errorf("without one: %q, %t", got, ok)
		}
	}
	if got, ok := WithoutAck([]byte("GET / HTTP/1.1\r\n")); ok || string(got) != "GET / HTTP/1.1\r\n" {
		t.Errorf("HTTP/1: %q, %t", got, ok)
	}
}
