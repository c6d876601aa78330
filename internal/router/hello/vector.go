package hello

// vector is what is left to read of a structure of TLS. A read that finds too little is false.
type vector []byte

func (v *vector) bytes(size int) (vector, bool) {
	if len(*v) < size {
		return nil, false
	}
	out := (*v)[:size]
	*v = (*v)[size:]
	return out, true
}

// number reads a number of size bytes.
func (v *vector) number(size int) (int, bool) {
	b, ok := v.bytes(size)
	n := 0
	for _, c := range b {
		n = n<<8 | int(c)
	}
	return n, ok
}

// inner reads a vector that its length stands before, in size bytes.
func (v *vector) inner(size int) (vector, bool) {
	n, ok := v.number(size)
	if !ok {
		return nil, false
	}
	return v.bytes(n)
}
