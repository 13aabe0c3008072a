package der

import "fmt"

// FromBER converts one BER element of at most max octets, as older programs write PKCS#12 and PKCS#8 files, to DER:
// indefinite lengths become definite, lengths take the fewest octets, constructed OCTET and BIT STRINGs become
// primitive. It is meant for key files and nothing else: what is signed or hashed must be DER as it arrives.
//
// An implicitly tagged OCTET STRING in segments can be told from an explicit tag only by its place: [0] as third field
// of a SEQUENCE behind an OBJECT IDENTIFIER and a SEQUENCE, where RFC 5652 clause 6.1 has encryptedContent, is made
// primitive if it holds OCTET STRINGs and nothing else; an empty one stays. Contents of primitive elements stay as they are, also where an OCTET
// STRING holds BER again, and the elements of a SET keep their order.
//
// The result passes [Check] with the same max; a result that would be longer is refused. Limits are those of [Check],
// errors are [ErrTooLarge], [ErrTooDeep] and [ErrMalformed]. It takes time linear in len(data).
func FromBER(data []byte, max int) ([]byte, error) {
	if len(data) > max {
		return nil, fmt.Errorf("%w: %d octets, at most %d are allowed", ErrTooLarge, len(data), max)
	}
	c := converter{out: make([]byte, 0, len(data)+8)}
	rest, err := c.element(data, 0)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d octets follow the structure", ErrMalformed, len(rest))
	}
	if len(c.out) > max {
		return nil, fmt.Errorf("%w: %d octets as DER, at most %d are allowed", ErrTooLarge, len(c.out), max)
	}
	return c.out, nil
}

// A converter appends DER to out; every octet is moved at most twice for each level above it.
type converter struct {
	out   []byte
	count int
}

// element converts the element at the start of in and returns what follows it.
func (c *converter) element(in []byte, depth int) (rest []byte, err error) {
	if c.count++; c.count > MaxElements {
		return nil, fmt.Errorf("%w: more than %d elements", ErrTooLarge, MaxElements)
	}
	tag, head, length, err := berHeader(in)
	if err != nil {
		return nil, err
	}
	start := len(c.out)
	if tag&0x20 == 0 {
		c.out = append(c.out, in[head:head+length]...)
		c.wrap(start, tag)
		return in[head+length:], nil
	}
	if depth++; depth > MaxDepth {
		return nil, fmt.Errorf("%w: more than %d levels", ErrTooDeep, MaxDepth)
	}
	if length < 0 {
		rest, err = c.children(tag, in[head:], true, depth)
	} else {
		rest = in[head+length:]
		_, err = c.children(tag, in[head:head+length], false, depth)
	}
	if err != nil {
		return nil, err
	}
	if tag == TagOctetString|0x20 || tag == TagBitString|0x20 {
		tag &^= 0x20
		if err := c.join(start, tag); err != nil {
			return nil, err
		}
	}
	c.wrap(start, tag)
	return rest, nil
}

// children converts elements up to the end of in or, if open, up to the end-of-contents octets (X.690 clause 8.1.5).
func (c *converter) children(parent byte, in []byte, open bool, depth int) (rest []byte, err error) {
	var tags [2]byte
	for n := 0; ; n++ {
		switch {
		case open && len(in) >= 2 && in[0] == 0 && in[1] == 0:
			return in[2:], nil
		case open && len(in) == 0:
			return nil, fmt.Errorf("%w: an indefinite length without end", ErrMalformed)
		case len(in) == 0:
			return nil, nil
		}
		start := len(c.out)
		if in, err = c.element(in, depth); err != nil {
			return nil, err
		}
		if n < len(tags) {
			tags[n] = c.out[start]
		}
		if n == 2 && parent == TagSequence && tags == [2]byte{TagOID, TagSequence} {
			c.encryptedContent(start)
		}
	}
}

// encryptedContent makes the element at out[start:] primitive if it is a constructed [0] of one OCTET STRING or more.
func (c *converter) encryptedContent(start int) {
	if c.out[start] != Context(0, true) {
		return
	}
	_, head, length, _ := header(c.out[start:])
	if length == 0 {
		return
	}
	for body := c.out[start+head:]; len(body) > 0; {
		tag, h, l, _ := header(body)
		if tag != TagOctetString {
			return
		}
		body = body[h+l:]
	}
	c.out = append(c.out[:start], c.out[start+head:]...)
	_ = c.join(start, TagOctetString) // all are
	c.wrap(start, Context(0, false))
}

// join replaces the DER elements in out[start:], which must all be primitive strings with this tag, by their contents
// in order (X.690 clauses 8.6.4 and 8.7.3). Of a BIT STRING only the last segment may have unused bits.
func (c *converter) join(start int, tag byte) error {
	to, unused := start, byte(0)
	if tag == TagBitString {
		to++
	}
	for body := c.out[start:]; len(body) > 0; {
		t, head, length, _ := header(body)
		if t != tag {
			return fmt.Errorf("%w: a segment with tag %#02x in a string with tag %#02x", ErrMalformed, t, tag)
		}
		segment := body[head : head+length]
		body = body[head+length:]
		if tag == TagBitString {
			if length == 0 || segment[0] > 7 || length == 1 && segment[0] != 0 || unused != 0 {
				return fmt.Errorf("%w: a BIT STRING segment with a wrong number of unused bits", ErrMalformed)
			}
			unused, segment = segment[0], segment[1:]
		}
		to += copy(c.out[to:], segment)
	}
	if tag == TagBitString {
		if len(c.out) == start {
			c.out = append(c.out, 0)
		}
		c.out[start] = unused
	}
	c.out = c.out[:to]
	return nil
}

// wrap puts identifier and length octets before out[start:].
func (c *converter) wrap(start int, tag byte) {
	n := len(c.out) - start
	h := appendHeader(make([]byte, 0, 6), tag, n)
	c.out = append(c.out, h...)
	copy(c.out[start+len(h):], c.out[start:start+n])
	copy(c.out[start:], h)
}

func appendHeader(dst []byte, tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, tag, byte(n))
	case n < 1<<8:
		return append(dst, tag, 0x81, byte(n))
	case n < 1<<16:
		return append(dst, tag, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		return append(dst, tag, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, tag, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// berHeader is header for BER; the length is -1 if it is indefinite.
func berHeader(data []byte) (tag byte, head, length int, err error) {
	tag, head, length, indefinite, err := readHeader(data)
	if err != nil {
		return 0, 0, 0, err
	}
	if tag != TagOctetString|0x20 && tag != TagBitString|0x20 {
		if err := checkForm(tag); err != nil {
			return 0, 0, 0, err
		}
	}
	if !indefinite {
		return tag, head, length, nil
	}
	if tag&0x20 == 0 {
		return 0, 0, 0, fmt.Errorf("%w: a primitive element of indefinite length", ErrMalformed)
	}
	return tag, head, -1, nil
}
