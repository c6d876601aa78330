package hello

import (
	"bytes"
	"strings"
)

const (
	lineEnd = "\r\n"
	// maxMethod is longer than every registered method.
	maxMethod = 32
)

// requestHost reads the host of the first request of a connection.
func requestHost(sent []byte) (string, error) {
	if len(sent) < len(preface) && strings.HasPrefix(preface, string(sent)) {
		return "", ErrMore
	}
	if frames, is := bytes.CutPrefix(sent, []byte(preface)); is {
		return streamHost(frames)
	}
	return headHost(sent)
}

// headHost reads the host of a request of HTTP/1 (RFC 9112).
func headHost(sent []byte) (string, error) {
	if err := checkMethod(sent); err != nil {
		return "", err
	}
	end := bytes.Index(sent, []byte(lineEnd+lineEnd))
	head := sent
	if end >= 0 {
		head = sent[:end+len(lineEnd)]
	}
	if err := checkControls(head); err != nil {
		return "", err
	}
	if end < 0 {
		return "", ErrMore
	}
	line, fields, _ := strings.Cut(string(head), lineEnd)
	target, err := targetHost(line)
	if err != nil {
		return "", err
	}
	host, err := fieldHost(fields)
	if err != nil {
		return "", err
	}
	if target != "" && target != host {
		return "", refuse(BadRequest, "the target names another host than the Host field")
	}
	return host, nil
}

// checkMethod refuses at the first byte what does not begin with a method.
func checkMethod(sent []byte) error {
	for i, c := range sent {
		switch {
		case c == ' ' && i > 0:
			return nil
		case !isToken(rune(c)) || i == maxMethod:
			return refuse(NoRequest, "does not begin with a method")
		}
	}
	return nil
}

// checkControls refuses line ends that are not CR LF, and other control characters: programs differ in what they make
// of them.
func checkControls(head []byte) error {
	for i, c := range head {
		switch {
		case c == '\n' && (i == 0 || head[i-1] != '\r'):
			return refuse(BadRequest, "a line ends without CR")
		case c == '\r' && i+1 < len(head) && head[i+1] != '\n':
			return refuse(BadRequest, "CR within a line")
		case c == '\n' || c == '\r' || c == '\t':
		case c < ' ' || c == 0x7f:
			return refuse(BadRequest, "a control character")
		}
	}
	return nil
}

// targetHost reads a request line. It gives the host of a target that has one.
func targetHost(line string) (string, error) {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[1] == "" || strings.Contains(line, "\t") {
		return "", refuse(BadRequest, "a request line that does not have three parts")
	}
	method, target, version := parts[0], parts[1], parts[2]
	switch {
	case version != "HTTP/1.1" && version != "HTTP/1.0":
		return "", refuse(BadRequest, "no version of HTTP/1")
	case method == "CONNECT":
		return "", refuse(ProxyRequest, "CONNECT")
	case target[0] == '/' || (target == "*" && method == "OPTIONS"):
		return "", nil
	}
	return absoluteHost(target)
}

// absoluteHost is the host of a target in absolute form.
func absoluteHost(target string) (string, error) {
	scheme, rest, is := strings.Cut(target, "://")
	if !is || (!strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https")) {
		return "", refuse(BadRequest, "a target that is neither a path nor a URL of HTTP")
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	name, ok := authorityName(rest)
	if !ok {
		return "", refuse(BadRequest, "the target's host is no host name")
	}
	return name, nil
}

// fieldHost reads the only Host field.
func fieldHost(fields string) (string, error) {
	host, hosts := "", 0
	for line := range strings.Lines(fields) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, lineEnd), ":")
		if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isToken(r) }) {
			return "", refuse(BadRequest, "a header line that does not begin with a name and a colon")
		}
		if strings.EqualFold(name, "host") {
			host, hosts = strings.Trim(value, " \t"), hosts+1
		}
	}
	if hosts > 1 {
		return "", refuse(BadRequest, "several Host fields")
	}
	if host == "" {
		return "", refuse(HostMissing, "no Host field, or an empty one")
	}
	name, ok := authorityName(host)
	if !ok {
		return "", refuse(BadRequest, "a Host that is no host name")
	}
	return name, nil
}

// isToken tells whether a character may stand in a method or in a field's name (RFC 9110 5.6.2).
func isToken(r rune) bool {
	return !notInLabel(r) || strings.ContainsRune("!#$%&'*+.^`|~", r)
}
