package seal

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

var testWrap = []byte{0x30, 3, 4, 1, 9}

func TestTicketOpensWithItsPassphraseOnly(t *testing.T) {
	t.Parallel()
	h := testHeader(t)
	ticket, err := MakeTicket(testSecret, h, testWrap, "正确的口令", MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	b := mustMarshal(t, ticket)
	parsed, err := ParseTicket(b)
	if err != nil || !bytes.Equal(mustMarshal(t, parsed), b) || !bytes.Equal(parsed.Wrap, testWrap) {
		t.Fatal(err)
	}
	if kB, err := OpenTicket(parsed, "正确的口令", h); err != nil || kB != testSecret {
		t.Error(err)
	}
	if kB, err := OpenTicket(parsed, "正确的口令 ", h); !errors.Is(err, ErrPassphrase) || kB != [32]byte{} {
		t.Error("wrong passphrase:", err)
	}
	other := testHeader(t)
	other.Nonce[0] ^= 1
	if _, err := OpenTicket(parsed, "正确的口令", other); !errors.Is(err, ErrOtherBid) {
		t.Error("another bid:", err)
	}
	moved := *parsed
	moved.Bid = other.ID()
	if _, err := OpenTicket(&moved, "正确的口令", other); !errors.Is(err, ErrPassphrase) {
		t.Error("moved to another bid:", err)
	}
	worse := *parsed
	worse.Iterations++
	if _, err := OpenTicket(&worse, "正确的口令", h); !errors.Is(err, ErrPassphrase) {
		t.Error("iterations altered:", err)
	}
	again, err := MakeTicket(testSecret, h, testWrap, "正确的口令", MinIterations)
	if err != nil || bytes.Equal(again.Salt, ticket.Salt) || bytes.Equal(again.Nonce, ticket.Nonce) {
		t.Error("salt or nonce come again", err)
	}
}

func TestTicketWithWrapOnly(t *testing.T) {
	t.Parallel()
	h := testHeader(t)
	ticket, err := MakeTicket(testSecret, h, testWrap, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseTicket(mustMarshal(t, ticket))
	if err != nil || !bytes.Equal(parsed.Wrap, testWrap) {
		t.Fatal(err)
	}
	if _, err := OpenTicket(parsed, "x", h); !errors.Is(err, ErrNoPassphrase) {
		t.Error(err)
	}
}

// A ticket that opens to a secret of another bid is of no use, whoever made it.
func TestTicketSecretMustFitTheBid(t *testing.T) {
	t.Parallel()
	h := testHeader(t)
	if _, err := MakeTicket([32]byte{1}, h, testWrap, "", 0); !errors.Is(err, ErrHalf) {
		t.Error("made:", err)
	}
	ticket := &Ticket{ParamsHash: h.ParamsHash, Bid: h.ID(), Salt: make([]byte, 16), Nonce: make([]byte, 12)}
	if err := ticket.seal([32]byte{1}, "p", MinIterations); err != nil {
		t.Fatal(err)
	}
	if kB, err := OpenTicket(ticket, "p", h); !errors.Is(err, ErrHalf) || kB != [32]byte{} {
		t.Error("opened:", err)
	}
}

func TestMakeTicketRules(t *testing.T) {
	t.Parallel()
	h := testHeader(t)
	for name, iterations := range map[string]int{"no": 0, "few": MinIterations - 1, "many": MaxIterations + 1, "negative": -1} {
		if _, err := MakeTicket(testSecret, h, nil, "p", iterations); err == nil {
			t.Errorf("%s iterations: made", name)
		}
	}
	if _, err := MakeTicket(testSecret, h, nil, "", 0); err == nil {
		t.Error("a ticket that nobody can open was made")
	}
}

func fullTicket() *Ticket {
	return &Ticket{ParamsHash: sm.Hash{1}, Bid: BidID{2}, Wrap: testWrap, Salt: make([]byte, 16), Iterations: MinIterations,
		Nonce: make([]byte, 12), Sealed: make([]byte, 48)}
}

// rawTicket writes x without asking whether it is allowed.
func rawTicket(t *testing.T, x *Ticket) []byte {
	t.Helper()
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Text(ticketLabel)
		w.Octets(x.ParamsHash[:])
		w.Octets(x.Bid[:])
		w.Octets(x.Wrap)
		w.Octets(x.Salt)
		w.Int(int64(x.Iterations))
		w.Octets(x.Nonce)
		w.Octets(x.Sealed)
	})
	b, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTicketRules(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(x *Ticket)
		ok     bool
	}{
		"as it is":             {func(*Ticket) {}, true},
		"no wrap":              {func(x *Ticket) { x.Wrap = nil }, true},
		"most iterations":      {func(x *Ticket) { x.Iterations = MaxIterations }, true},
		"wrap only":            {func(x *Ticket) { x.Salt, x.Nonce, x.Sealed, x.Iterations = nil, nil, nil, 0 }, true},
		"nothing":              {func(x *Ticket) { x.Salt, x.Nonce, x.Sealed, x.Iterations, x.Wrap = nil, nil, nil, 0, nil }, false},
		"iterations alone":     {func(x *Ticket) { x.Salt, x.Nonce, x.Sealed = nil, nil, nil }, false},
		"salt alone":           {func(x *Ticket) { x.Nonce, x.Sealed, x.Iterations = nil, nil, 0 }, false},
		"nonce alone":          {func(x *Ticket) { x.Salt, x.Sealed, x.Iterations = nil, nil, 0 }, false},
		"no salt":              {func(x *Ticket) { x.Salt = nil }, false},
		"salt of 15":           {func(x *Ticket) { x.Salt = x.Salt[:15] }, false},
		"nonce of 11":          {func(x *Ticket) { x.Nonce = x.Nonce[:11] }, false},
		"sealed of 47":         {func(x *Ticket) { x.Sealed = x.Sealed[:47] }, false},
		"sealed of 49":         {func(x *Ticket) { x.Sealed = make([]byte, 49) }, false},
		"iterations too few":   {func(x *Ticket) { x.Iterations = MinIterations - 1 }, false},
		"iterations too many":  {func(x *Ticket) { x.Iterations = MaxIterations + 1 }, false},
		"iterations 2^62":      {func(x *Ticket) { x.Iterations = 1 << 62 }, false},
		"wrap fills 8 KiB":     {func(x *Ticket) { x.Wrap = make([]byte, 8010) }, true},
		"wrap more than 8 KiB": {func(x *Ticket) { x.Wrap = make([]byte, 8011) }, false},
	} {
		x := fullTicket()
		c.change(x)
		if _, err := x.Marshal(); (err == nil) != c.ok {
			t.Errorf("%s: Marshal: %v", name, err)
		}
		if got, err := ParseTicket(rawTicket(t, x)); (err == nil) != c.ok || (got != nil) != c.ok {
			t.Errorf("%s: ParseTicket: %v", name, err)
		}
	}
	b := mustMarshal(t, fullTicket())
	for i := range b {
		if _, err := ParseTicket(b[:i]); err == nil {
			t.Errorf("cut to %d bytes: taken", i)
		}
	}
	if _, err := ParseTicket(append(slices.Clone(b), 0)); err == nil {
		t.Error("a byte more was taken")
	}
}
