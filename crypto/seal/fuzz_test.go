package seal

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func FuzzParseHeader(f *testing.F) {
	f.Add(mustMarshal(f, testHeader(f)))
	f.Add([]byte{0x30, 0x82})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			return
		}
		if again := mustMarshal(t, h); !bytes.Equal(again, b) {
			t.Fatalf("comes back as %x", again)
		}
		if h.ID() != HeaderID(b) {
			t.Fatal("other id")
		}
	})
}

func FuzzParseForm(f *testing.F) {
	f.Add(mustMarshal(f, testForm()), uint16(0))
	f.Add(mustMarshal(f, testForm()), uint16(1))
	f.Add([]byte{0x30, 0x82}, uint16(4096))
	f.Fuzz(func(t *testing.T, b []byte, extra uint16) {
		plain := append(b[:len(b):len(b)], make([]byte, -len(b)&(FormPadding-1)+int(extra))...)
		form, err := ParseForm(plain)
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatalf("not an ErrForm: %v", err)
			}
			return
		}
		if again := mustPlain(t, form); !bytes.Equal(again, plain) {
			t.Fatalf("comes back as %x", again)
		}
		if err := testSchema().Check(form); err == nil {
			if len(form.Fields) != len(testSchema()) || form.Value("price") == "" {
				t.Fatal("a form without its price was taken")
			}
		}
	})
}

func FuzzReadSchema(f *testing.F) {
	b, err := schemaBytes(testSchema())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSchema(b)
		if err != nil {
			return
		}
		if again, err := schemaBytes(s); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("comes back as %x, %v", again, err)
		}
		if s.Validate() == nil {
			for _, field := range s {
				if field.CheckValue("") == nil == field.Required {
					t.Fatal("empty values")
				}
			}
		}
	})
}

func FuzzCheckNumber(f *testing.F) {
	f.Add("81935047.62", uint8(2))
	f.Add("0", uint8(0))
	f.Fuzz(func(t *testing.T, value string, scale uint8) {
		n := int(scale % (MaxScale + 1))
		ok := func() bool { // the rule of the protocol, byte by byte
			i := 0
			for i < len(value) && value[i] >= '0' && value[i] <= '9' {
				i++
			}
			if i < 1 || i > 15 || i > 1 && value[0] == '0' {
				return false
			}
			if n == 0 {
				return i == len(value)
			}
			if len(value) != i+1+n || value[i] != '.' {
				return false
			}
			for _, c := range []byte(value[i+1:]) {
				if c < '0' || c > '9' {
					return false
				}
			}
			return true
		}()
		if err := checkNumber(value, n); (err == nil) != ok {
			t.Fatalf("%q with scale %d: %v", value, n, err)
		}
	})
}

func FuzzParseFacts(f *testing.F) {
	plain, err := MarshalFacts([]byte("envelope"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < FactsSize {
			b = append(b[:len(b):len(b)], make([]byte, FactsSize-len(b))...)
		}
		envelope, err := ParseFacts(b)
		if err != nil {
			return
		}
		if again, err := MarshalFacts(envelope); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("comes back as %x, %v", again, err)
		}
	})
}

func FuzzParseTicket(f *testing.F) {
	f.Add(mustMarshal(f, &Ticket{Wrap: testWrap, Salt: make([]byte, 16), Iterations: MinIterations, Nonce: make([]byte, 12), Sealed: make([]byte, 48)}))
	f.Add(mustMarshal(f, &Ticket{Wrap: testWrap}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ticket, err := ParseTicket(b)
		if err != nil {
			return
		}
		if again := mustMarshal(t, ticket); !bytes.Equal(again, b) {
			t.Fatalf("comes back as %x", again)
		}
	})
}

func FuzzOpenBid(f *testing.F) {
	h := testHeader(f)
	h.Sections = []Section{{Kind: KindForm, Length: 72}}
	f.Add(container(f, h, [][]byte{make([]byte, 72)}))
	f.Add([]byte(Magic + "\x00\x00\x00\x020\x82"))
	f.Fuzz(func(t *testing.T, b []byte) {
		bid, err := OpenBid(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		w, err := NewBidWriter(&again, bid.HeaderDER, bid.Signature)
		if err != nil {
			t.Fatal(err)
		}
		for i := range bid.Header.Sections {
			if err := w.Section(bid.Section(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Fatalf("comes back as %x, %v", again.Bytes(), err)
		}
	})
}

// Whatever the bytes, both ways of opening agree and nothing but the sealed plaintext comes out.
func FuzzOpen(f *testing.F) {
	stored, _ := sealed(f, testKey, testSalt, pattern(ChunkSize+40), KindForm)
	f.Add(stored, 0, byte(0))
	f.Add(stored, 60, byte(1))
	f.Add(stored[:80], 0, byte(0))
	f.Fuzz(func(t *testing.T, b []byte, at int, flip byte) {
		if at >= 0 && at < len(b) {
			b = bytes.Clone(b)
			b[at] ^= flip
		}
		size := int64(len(b))
		var streamed bytes.Buffer
		_, err := Open(&streamed, bytes.NewReader(b), size, testKey)
		r, errAt := NewReader(bytes.NewReader(b), size, testKey)
		var random []byte
		if errAt == nil {
			random, errAt = io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		}
		if (err == nil) != (errAt == nil) {
			t.Fatalf("streamed: %v; at random: %v", err, errAt)
		}
		if err == nil {
			if !bytes.Equal(streamed.Bytes(), random) {
				t.Fatal("two plaintexts")
			}
			if again, _ := sealed(t, testKey, Salt(b[:saltSize]), random, KindFile); !bytes.Equal(again, b) {
				t.Fatal("comes back as another section")
			}
		} else if !errors.Is(err, ErrLength) && !errors.Is(err, ErrCommitment) && !errors.Is(err, ErrChunk) {
			t.Fatalf("no verdict: %v", err)
		}
	})
}
