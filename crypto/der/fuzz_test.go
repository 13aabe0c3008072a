package der

import (
	"bytes"
	"errors"
	"math/big"
	"testing"
	"time"
)

func seeds(f *testing.F) {
	for _, s := range []string{"", "3082", "0500", "3003020101", "30808000", "3080 2480 040161 0000 0000", "a003020101", "1f8100",
		"3080 06012a 3000 a080 040161 0401 62 0000 0000", "2380 0303 000aff 0302 04f0 0000", "3084 00000003 020101",
		"300a 020105 3103 0c0161 0500", "0482 0100", nested(MaxDepth), nested(MaxDepth + 1)} {
		f.Add(unhex(f, s))
	}
	for _, b := range hostile() {
		if len(b) < 1<<16 {
			f.Add(b)
		}
	}
}

// walk visits every element through Readers alone and fails on what Check must have refused.
func walk(r *Reader, depth int) (elements int) {
	for r.More() {
		tag := r.in[0]
		elements++
		if tag&0x20 == 0 {
			r.Element(tag)
		} else if depth == MaxDepth {
			r.Fail("too deep")
		} else {
			elements += walk(r.Inside(tag), depth+1)
		}
	}
	return elements
}

func FuzzCheck(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		err := Check(data, MaxItem)
		r := NewReader(data, MaxItem)
		if (r.Err() == nil) != (err == nil) {
			t.Fatalf("Check says %v, NewReader %v", err, r.Err())
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooDeep) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("an error of no class: %v", err)
			}
			if r.More() || r.Raw() != nil {
				t.Fatal("a Reader of refused data gives something")
			}
			return
		}
		if n := walk(r, 0); r.End() != nil || n > MaxElements || n == 0 {
			t.Fatalf("Check accepts what a Reader does not: %d elements, %v", n, r.Err())
		}
		if again := NewReader(data, MaxItem).Raw(); !bytes.Equal(again, data) {
			t.Fatal("Raw is not the whole")
		}
		if len(data) > 0 && Check(data[:len(data)-1], MaxItem) == nil || Check(append(data[:len(data):len(data)], 0), MaxItem) == nil {
			t.Fatal("accepted with an octet more or less")
		}
	})
}

func FuzzFromBER(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := FromBER(data, MaxItem)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooDeep) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("an error of no class: %v", err)
			}
			if Check(data, MaxItem) == nil {
				t.Fatalf("DER is refused: %v", err)
			}
			return
		}
		if err := Check(out, MaxItem); err != nil {
			t.Fatalf("%x became %x: %v", data, out, err)
		}
		again, err := FromBER(out, MaxItem)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%x became %x, then %x, %v", data, out, again, err)
		}
		// DER stays as it is, but for segments in the place of encryptedContent: those make it shorter.
		if Check(data, MaxItem) == nil && !bytes.Equal(data, out) && len(out) >= len(data) {
			t.Fatalf("DER %x became %x", data, out)
		}
	})
}

// replay writes back what a Reader takes, each element by the method of its type where it has one.
func replay(r *Reader, w *Writer) {
	for r.More() {
		switch tag := r.in[0]; {
		case tag == TagInteger:
			w.BigInt(r.BigInt())
		case tag == TagBoolean:
			w.Boolean(r.Boolean())
		case tag == TagNull:
			r.Null()
			w.Null()
		case tag == TagOID:
			w.OID(r.OID())
		case tag == TagBitString:
			w.BitString(r.BitString())
		case tag == TagOctetString:
			w.Octets(r.Octets(MaxItem))
		case tag == TagUTF8String:
			w.Text(r.Text(MaxItem))
		case tag == TagUTCTime:
			w.UTCTime(r.Time())
		case tag == TagGeneralizedTime:
			w.GeneralizedTime(r.Time())
		case tag&0x20 != 0:
			w.Inside(tag, func(w *Writer) { replay(r.Inside(tag), w) })
		default:
			w.Element(tag, r.Element(tag))
		}
	}
}

// What the typed methods accept has one encoding: writing it gives the same octets.
func FuzzReadWrite(f *testing.F) {
	seeds(f)
	for _, s := range []string{"170d3236313132343130303030305a", "180f32303236313132343130303030305a", "06082a811ccf55018375",
		"0c06e5bc80e6a087", "0101ff", "0209008000000000000000", "030200ff", "0201ff", "1711323631313234313030303030302b30383030"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(data, MaxItem)
		w := NewWriter()
		replay(r, w)
		if r.End() != nil {
			return
		}
		if out, err := w.Bytes(); err != nil || !bytes.Equal(out, data) {
			t.Fatalf("%x was read, %x written, %v", data, out, err)
		}
	})
}

// What is written is read back.
func FuzzWriteRead(f *testing.F) {
	f.Add(int64(0), int64(-1), []byte{0, 255}, "开标", int64(1795514400), true)
	f.Add(int64(1<<62), int64(1<<40), []byte{}, "a\u202eb", int64(-631152000), false)
	f.Fuzz(func(t *testing.T, n, signed int64, octets []byte, text string, unix int64, flag bool) {
		at := time.Unix(unix, 0).UTC()
		w := NewWriter()
		w.Sequence(func(w *Writer) {
			w.Int(n)
			w.Inside(Context(1, true), func(w *Writer) { w.BigInt(big.NewInt(signed)); w.Flag(flag) })
			w.Octets(octets)
			w.Text(text)
			w.GeneralizedTime(at)
			w.BitString(octets)
			w.Boolean(flag)
		})
		b, err := w.Bytes()
		valid := n >= 0 && CheckText(text) == nil && at.Year() >= 0 && at.Year() <= 9999
		if valid != (err == nil) {
			t.Fatalf("%v", err)
		}
		if err != nil {
			return
		}
		r := NewReader(b, len(b))
		s := r.Sequence()
		ok := s.Int() == n
		in := s.Inside(Context(1, true))
		ok = ok && in.BigInt().Int64() == signed && in.Flag() == flag && in.End() == nil
		ok = ok && bytes.Equal(s.Octets(len(octets)), octets) && s.Text(len(text)) == text && s.Time().Equal(at)
		ok = ok && bytes.Equal(s.BitString(), octets) && s.Boolean() == flag && s.End() == nil && r.End() == nil
		if !ok {
			t.Fatalf("%x is read as something else: %v", b, r.Err())
		}
	})
}
