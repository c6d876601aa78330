package hello

const (
	extensionServerName = 0
	// RFC 9849, and the drafts that came before it.
	extensionECH  = 0xfe0d
	extensionESNI = 0xffce

	nameTypeHost = 0
)

// serverName reads the server name of a ClientHello (RFC 8446 4.1.2, RFC 5246 7.4.1.2, RFC 6066 3).
func serverName(sent []byte) (string, error) {
	message, err := clientHello(sent)
	if err != nil {
		return "", err
	}
	extensions, ok := extensionsOf(message)
	if !ok {
		return "", refuse(BadHello, "malformed before its extensions")
	}
	found, err := index(extensions)
	if err != nil {
		return "", err
	}
	for _, hiding := range []int{extensionECH, extensionESNI} {
		if _, there := found[hiding]; there {
			return "", refuse(EncryptedHello, "extension %#04x", hiding)
		}
	}
	names, there := found[extensionServerName]
	if !there {
		return "", refuse(SNIMissing, "no server_name extension")
	}
	return onlyName(names)
}

// extensionsOf reads up to the extensions, which a hello may be without.
func extensionsOf(message vector) (vector, bool) {
	version, ok1 := message.number(2)
	_, ok2 := message.bytes(32)
	session, ok3 := message.inner(1)
	suites, ok4 := message.inner(2)
	compression, ok5 := message.inner(1)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return nil, false
	}
	if version>>8 != 3 || len(session) > 32 || len(suites) == 0 || len(suites)%2 != 0 || len(compression) == 0 {
		return nil, false
	}
	if len(message) == 0 {
		return nil, true
	}
	extensions, ok := message.inner(2)
	return extensions, ok && len(message) == 0
}

// index is the extensions by their type, each of which may come once.
func index(extensions vector) (map[int]vector, error) {
	found := map[int]vector{}
	for len(extensions) > 0 {
		kind, ok1 := extensions.number(2)
		body, ok2 := extensions.inner(2)
		if !ok1 || !ok2 {
			return nil, refuse(BadHello, "malformed extensions")
		}
		if _, there := found[kind]; there {
			return nil, refuse(BadHello, "extension %#04x twice", kind)
		}
		found[kind] = body
	}
	return found, nil
}

// onlyName reads a list of server names that holds one host name and nothing else.
func onlyName(extension vector) (string, error) {
	list, ok1 := extension.inner(2)
	kind, ok2 := list.number(1)
	host, ok3 := list.inner(2)
	if !ok1 || !ok2 || !ok3 || len(extension) != 0 || len(list) != 0 || kind != nameTypeHost {
		return "", refuse(BadHello, "a server_name extension that does not hold one host name")
	}
	name, ok := hostName(string(host))
	if !ok {
		return "", refuse(BadHello, "a server name that is no host name")
	}
	return name, nil
}
