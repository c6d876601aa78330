package hello

const (
	recordHeader    = 5
	maxFragment     = 1 << 14
	typeAlert       = 21
	typeHandshake   = 22
	typeClientHello = 1
	messageHeader   = 4
)

// clientHello puts the first handshake message together. It copies only where the message is spread over records.
func clientHello(sent []byte) (vector, error) {
	m, err := measure(sent)
	if err != nil {
		return nil, err
	}
	switch {
	case m.have > 0 && m.header[0] != typeClientHello:
		return nil, refuse(NoHello, "a handshake message of type %d", m.header[0])
	case m.have < messageHeader:
		return nil, ErrMore
	case m.want() > Max:
		return nil, refuse(TooLarge, "a hello of %d bytes", m.want())
	case m.have < m.want():
		return nil, ErrMore
	case m.have > m.want() || m.open:
		// RFC 8446 5.1: what comes next is under other keys, so a record ends here.
		return nil, refuse(BadHello, "bytes behind the hello in its record")
	}
	return assemble(sent, m.want())[messageHeader:], nil
}

// measured is what the records tell of the message without putting it together.
type measured struct {
	header [messageHeader]byte
	have   int
	open   bool // the last record is not whole
}

// want is how long the message is, or as much of it as tells.
func (m *measured) want() int {
	if m.have < messageHeader {
		return messageHeader
	}
	return messageHeader + int(m.header[1])<<16 + int(m.header[2])<<8 + int(m.header[3])
}

// measure reads records up to the first one that the message does not need.
func measure(sent []byte) (m measured, err error) {
	for m.have < m.want() && !m.open {
		fragment, rest, err := record(sent)
		if err != nil {
			return m, err
		}
		if m.have < messageHeader {
			copy(m.header[m.have:], fragment)
		}
		m.have += len(fragment)
		m.open = rest == nil
		sent = rest
	}
	return m, nil
}

// assemble is the message of size bytes, which measure has found to be there.
func assemble(sent []byte, size int) vector {
	first, rest, _ := record(sent)
	if len(first) == size {
		return first
	}
	message := append(make(vector, 0, size), first...)
	for len(message) < size {
		var fragment []byte
		fragment, rest, _ = record(rest)
		message = append(message, fragment...)
	}
	return message
}

// record splits the first record off. Of a record that is not whole, rest is nil and the fragment is what is there of
// it.
func record(sent []byte) (fragment, rest []byte, err error) {
	if err := checkRecord(sent); err != nil {
		return nil, nil, err
	}
	if len(sent) < recordHeader {
		return nil, nil, nil
	}
	size := int(sent[3])<<8 | int(sent[4])
	switch {
	case size == 0:
		return nil, nil, refuse(BadHello, "an empty record")
	case size > maxFragment:
		return nil, nil, refuse(BadHello, "a record of %d bytes", size)
	}
	body := sent[recordHeader:]
	if len(body) < size {
		return body, nil, nil
	}
	return body[:size], body[size:], nil
}

// checkRecord looks at as much of a record's type and version as there is.
func checkRecord(sent []byte) error {
	switch {
	case len(sent) == 0:
		return nil
	case sent[0] == typeAlert:
		return refuse(NoHello, "an alert")
	case sent[0]&0x80 != 0:
		return refuse(NoHello, "a hello of SSL 2, or no TLS")
	case sent[0] != typeHandshake:
		return refuse(NoHello, "a record of type %d", sent[0])
	case len(sent) > 1 && sent[1] != 3:
		return refuse(NoHello, "a record of version %d", sent[1])
	}
	return nil
}
