// Package der reads and writes strict DER (X.690 clause 10): definite lengths in the fewest octets, low tag
// numbers, no trailing bytes, exact fields in order.
//
// Every parser of bytes from outside stands on it: nothing else in the project walks over unchecked ASN.1. [Check]
// bounds size, depth and number of elements before any structure is read; [Reader] then takes the expected fields
// one by one and keeps the first error. [FromBER] is the one tolerant step, for key files only.
package der

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of any structure read by this package.
const (
	MaxDepth    = 20       // nested constructed elements; issuerSerial in a time-stamp response (RFC 5035, RFC 3161) is 18 deep
	MaxItem     = 64 << 10 // octets, unless a format says otherwise
	MaxElements = 1 << 20  // elements of one structure, counted at every depth
)

// Tags used by this project (X.690 clause 8, identifier octet with class and constructed bit).
const (
	TagBoolean         = 0x01
	TagInteger         = 0x02
	TagBitString       = 0x03
	TagOctetString     = 0x04
	TagNull            = 0x05
	TagOID             = 0x06
	TagEnumerated      = 0x0a
	TagUTF8String      = 0x0c
	TagPrintableString = 0x13
	TagTeletexString   = 0x14
	TagIA5String       = 0x16
	TagUTCTime         = 0x17
	TagGeneralizedTime = 0x18
	TagVisibleString   = 0x1a
	TagBMPString       = 0x1e
	TagSequence        = 0x30
	TagSet             = 0x31
)

// Context returns the identifier octet of the context-specific tag n (0 to 30).
func Context(n int, constructed bool) byte {
	t := byte(0x80 | n)
	if constructed {
		t |= 0x20
	}
	return t
}

// ErrTooLarge, ErrTooDeep and ErrMalformed classify every refusal of this package; test with errors.Is.
var (
	ErrTooLarge  = errors.New("DER too large")
	ErrTooDeep   = errors.New("DER nested too deeply")
	ErrMalformed = errors.New("not strict DER")
)

// Check reports whether data is exactly one DER element of at most max octets, at most [MaxDepth] deep and of at
// most [MaxElements] elements. Contents of primitive types are not judged. It takes time linear in len(data).
func Check(data []byte, max int) error {
	if len(data) > max {
		return fmt.Errorf("%w: %d octets, at most %d are allowed", ErrTooLarge, len(data), max)
	}
	n := 0
	used, err := check(data, 0, &n)
	if err != nil {
		return err
	}
	if used != len(data) {
		return fmt.Errorf("%w: %d octets follow the structure", ErrMalformed, len(data)-used)
	}
	return nil
}

// Cut returns the first DER element of data, checked as [Check] does, and the bytes that follow it.
func Cut(data []byte, max int) (element, rest []byte, err error) {
	_, head, length, err := header(data)
	if err != nil {
		return nil, nil, err
	}
	element, rest = data[:head+length], data[head+length:]
	if err := Check(element, max); err != nil {
		return nil, nil, err
	}
	return element, rest, nil
}

func check(data []byte, depth int, count *int) (int, error) {
	if *count++; *count > MaxElements {
		return 0, fmt.Errorf("%w: more than %d elements", ErrTooLarge, MaxElements)
	}
	tag, head, length, err := header(data)
	if err != nil {
		return 0, err
	}
	if tag&0x20 == 0 {
		return head + length, nil
	}
	if depth++; depth > MaxDepth {
		return 0, fmt.Errorf("%w: more than %d levels", ErrTooDeep, MaxDepth)
	}
	for body := data[head : head+length]; len(body) > 0; {
		n, err := check(body, depth, count)
		if err != nil {
			return 0, err
		}
		body = body[n:]
	}
	return head + length, nil
}

// header reads identifier and length octets at the start of data and makes sure that they are DER and that the contents
// are there.
func header(data []byte) (tag byte, head, length int, err error) {
	tag, head, length, indefinite, err := readHeader(data)
	if err == nil {
		err = checkForm(tag)
	}
	switch {
	case err != nil:
		return 0, 0, 0, err
	case indefinite:
		return 0, 0, 0, fmt.Errorf("%w: indefinite length (BER)", ErrMalformed)
	case head > 2 && (length < 0x80 || data[2] == 0):
		return 0, 0, 0, fmt.Errorf("%w: length not in the fewest octets", ErrMalformed)
	}
	return tag, head, length, nil
}

// checkForm holds X.690 clause 10.2: of the universal types only EXTERNAL, EMBEDDED PDV, SEQUENCE, SET and CHARACTER
// STRING are constructed, and they always. Tag number 0 is reserved.
func checkForm(tag byte) error {
	if tag&0xc0 != 0 {
		return nil
	}
	structured := false
	switch tag & 0x1f {
	case 0:
		return fmt.Errorf("%w: tag 0", ErrMalformed)
	case 8, 11, 16, 17, 29:
		structured = true
	}
	if structured != (tag&0x20 != 0) {
		return fmt.Errorf("%w: tag %#02x is constructed where it must be primitive, or the other way", ErrMalformed, tag)
	}
	return nil
}

// readHeader reads identifier and length octets as BER has them, of at most 4 length octets, and makes sure that the
// contents of a definite length are there.
func readHeader(data []byte) (tag byte, head, length int, indefinite bool, err error) {
	if len(data) < 2 {
		return 0, 0, 0, false, fmt.Errorf("%w: it ends inside a tag or length", ErrMalformed)
	}
	if tag = data[0]; tag&0x1f == 0x1f {
		return 0, 0, 0, false, fmt.Errorf("%w: tag number above 30", ErrMalformed)
	}
	head, length = 2, int(data[1])
	if length == 0x80 {
		return tag, head, 0, true, nil
	}
	if length > 0x80 {
		n := length & 0x7f
		if n > 4 {
			return 0, 0, 0, false, fmt.Errorf("%w: a length of %d octets", ErrTooLarge, n)
		}
		if len(data) < 2+n {
			return 0, 0, 0, false, fmt.Errorf("%w: it ends inside a length", ErrMalformed)
		}
		head, length = 2+n, 0
		for _, b := range data[2:head] {
			length = length<<8 | int(b)
		}
	}
	if length < 0 || length > len(data)-head {
		return 0, 0, 0, false, fmt.Errorf("%w: %d octets announced, %d are there", ErrMalformed, length, len(data)-head)
	}
	return tag, head, length, false, nil
}

// ParseOID reads a dotted OID, 2 to 32 arcs without leading zeros.
func ParseOID(s string) (asn1.ObjectIdentifier, error) {
	var oid asn1.ObjectIdentifier
	for _, part := range strings.Split(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || strconv.Itoa(n) != part {
			return nil, fmt.Errorf("%q is not a dotted OID", s)
		}
		oid = append(oid, n)
	}
	if len(oid) < 2 || len(oid) > 32 || oid[0] > 2 || oid[0] < 2 && oid[1] > 39 {
		return nil, fmt.Errorf("%q is not a dotted OID", s)
	}
	return oid, nil
}
