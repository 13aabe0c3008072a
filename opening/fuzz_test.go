package opening_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// parsers are all readers of foreign bytes, with what must hold when one accepts them: it writes the same.
func parsers(anchor sm.Hash) map[string]func(b []byte) (again []byte, err error) {
	out := map[string]func(b []byte) ([]byte, error){
		"Terms": func(b []byte) ([]byte, error) {
			x, err := opening.ParseTerms(b)
			if err != nil {
				return nil, err
			}
			_ = x.Check(true)
			return x.Marshal()
		},
		"Params": func(b []byte) ([]byte, error) {
			x, err := opening.ParseParams(b)
			if err != nil {
				return nil, err
			}
			y, err := opening.MarshalParams(x.TermsDER, x.AgencySignature, x.Custodians)
			if err != nil {
				return nil, err
			}
			return y.Raw, nil
		},
		"Entry": func(b []byte) ([]byte, error) {
			x, err := opening.ParseEntry(b)
			if err != nil {
				return nil, err
			}
			return x.Marshal()
		},
		"Receipt": func(b []byte) ([]byte, error) {
			x, err := opening.ParseReceipt(b)
			if err != nil {
				return nil, err
			}
			return x.Marshal()
		},
		"Statement": func(b []byte) ([]byte, error) {
			_, err := opening.ParseStatement(b, anchor)
			return b, err
		},
		"Request": func(b []byte) ([]byte, error) {
			x, err := opening.ParseRequest(b)
			if err != nil {
				return nil, err
			}
			return x.Marshal()
		},
		"Notes": func(b []byte) ([]byte, error) {
			x, err := opening.ParseNotes(b)
			if err != nil {
				return nil, err
			}
			return opening.MarshalNotes(x), nil
		},
		"Halves": func(b []byte) ([]byte, error) {
			_, err := opening.ParseHalves(b)
			return b, err
		},
	}
	for _, k := range opening.Kinds() {
		out["body "+k.String()] = func(b []byte) ([]byte, error) {
			x, err := opening.ParseBody(k, anchor, b)
			if err != nil {
				return nil, err
			}
			if unnamed(x, anchor, b) {
				return b, nil
			}
			return opening.MarshalBody(anchor, x)
		}
	}
	return out
}

// unnamed reports whether a body has a nonce of all zero, which MarshalBody takes for none yet.
func unnamed(x opening.Body, anchor sm.Hash, b []byte) bool {
	again, err := opening.MarshalBody(anchor, x)
	return err == nil && len(again) == len(b) && bytes.Contains(b, make([]byte, 16))
}

// checkParser makes sure that a parser writes what it read.
func checkParser(t *testing.T, name string, parse func([]byte) ([]byte, error), b []byte) {
	t.Helper()
	begun := time.Now()
	again, err := parse(b)
	if d := time.Since(begun); d > 2*time.Second {
		t.Errorf("%s took %s for %d bytes", name, d, len(b))
	}
	if err == nil && !bytes.Equal(again, b) {
		t.Errorf("%s reads\n%x and writes\n%x", name, b, again)
	}
}

func fuzzParser(f *testing.F, name string, seeds ...[]byte) {
	f.Helper()
	for _, s := range append(seeds, []byte{0x30, 0x82}, []byte{0x30, 0}) {
		f.Add(s)
	}
	parse := parsers(fuzzAnchor)[name]
	f.Fuzz(func(t *testing.T, b []byte) { checkParser(t, name, parse, b) })
}

var fuzzAnchor = sm.Sum([]byte("a lot"))

func fuzzWorld(f *testing.F) *openingtest.World {
	f.Helper()
	w, err := openingtest.New(time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC), nil)
	if err != nil {
		f.Fatal(err)
	}
	return w
}

func FuzzParseTerms(f *testing.F)  { fuzzParser(f, "Terms", fuzzWorld(f).Params.TermsDER) }
func FuzzParseParams(f *testing.F) { fuzzParser(f, "Params", fuzzWorld(f).Params.Raw) }

func FuzzParseEntry(f *testing.F) {
	e := &opening.Entry{Kind: opening.KindNote, Time: 1, Body: []byte("x"), Signatures: [][]byte{{1}}, Evidence: []sm.Hash{{}}}
	fuzzParser(f, "Entry", must(e.Marshal()))
}

func FuzzParseStatement(f *testing.F) {
	w := fuzzWorld(f)
	fuzzParser(f, "Statement", must(opening.SignStatement(opening.Statement{Label: opening.StatementRefusal, Anchor: fuzzAnchor, Time: 1, Text: "x"}, w.LogKey)))
}

func FuzzParseRequest(f *testing.F) {
	q := &opening.Request{Anchor: fuzzAnchor, Time: 1, Method: "GET", Path: "/api/lots"}
	fuzzParser(f, "Request", must(q.Marshal()))
}

func FuzzParseHalves(f *testing.F) {
	fuzzParser(f, "Halves", append([]byte{0x30, 70, 0x30, 68, 4, 32}, append(append(make([]byte, 32), 4, 32), make([]byte, 32)...)...))
}

func FuzzParseNotes(f *testing.F) {
	w := fuzzWorld(f)
	c := tlog.Checkpoint{Origin: tlog.Origin(fuzzAnchor), Tree: tlog.Tree{Size: 3}}
	n := must(c.Sign(w.LogKey))
	if err := n.Add(must(n.Cosign(w.Custodians[0].V, 1, 5))); err != nil {
		f.Fatal(err)
	}
	fuzzParser(f, "Notes", opening.MarshalNotes([]*tlog.Note{n}), opening.MarshalNotes([]*tlog.Note{n, n}))
}

func FuzzParseReceipt(f *testing.F) {
	w := fuzzWorld(f)
	c := tlog.Checkpoint{Origin: tlog.Origin(fuzzAnchor), Tree: tlog.Tree{Size: 1}}
	r := &opening.Receipt{Entry: []byte("entry"), Tokens: [][]byte{{1}}, Note: must(c.Sign(w.LogKey))}
	fuzzParser(f, "Receipt", must(r.Marshal()))
}

// FuzzParseBody reads bytes as the body of every kind.
func FuzzParseBody(f *testing.F) {
	for _, b := range someBodies() {
		f.Add(uint8(b.Kind()), must(opening.MarshalBody(fuzzAnchor, b)))
	}
	all := parsers(fuzzAnchor)
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		k := opening.Kind(kind)
		if parse, ok := all["body "+k.String()]; ok {
			checkParser(t, k.String(), parse, b)
		}
		if _, err := opening.ParseBody(k, fuzzAnchor, b); err == nil && int(kind) >= len(opening.Kinds()) {
			t.Errorf("kind %d is read", kind)
		}
	})
}

func someBodies() []opening.Body {
	return []opening.Body{&opening.WithdrawBody{Bid: opening.BidID{1}}, &opening.RefusedBody{Reason: "late"}, &opening.ExtendBody{Close: 1, Open: 2, Reason: "x"},
		&opening.TrustBody{Reason: "x"}, &opening.CloseBody{}, &opening.AbortBody{Reason: "x"}, &opening.OpenBody{}, &opening.CheckinBody{Person: "x"},
		&opening.ConfirmBody{}, &opening.WindowBody{End: 5, Reason: "x"}, &opening.ExcludeBody{Reason: "x"},
		&opening.FreezeBody{Bids: []opening.FrozenBid{{Status: opening.FrozenLost}}}, &opening.ReleaseBody{Custodian: 3, Size: 5},
		&opening.OpenedBody{Verdict: opening.VerdictValid}, &opening.DrawBody{Name: "x", Result: []string{"a"}},
		&opening.ObjectionBody{What: opening.Recusal, Text: "x", Attachments: []sm.Hash{{1}}}, &opening.ReplyBody{Text: "x"},
		&opening.SignBody{Phase: "x", Digest: make([]byte, 32)}, &opening.NoteBody{Text: "x"}, &opening.RecordBody{Files: []opening.RecordFile{{Name: "x"}}},
		&opening.PhaseBody{Phase: "x", Act: opening.PhaseEnd}, &opening.LimitsBody{Salt: make([]byte, 32), Ceiling: "1"},
		&opening.FilesBody{Verdicts: []opening.FileVerdict{opening.FileChunk}}, &opening.FindingBody{Bid: make([]byte, 32), Outcome: opening.Fail},
		&opening.IncidentBody{From: 1, To: 2, Text: "x"}}
}

// FuzzVerify changes one byte of a good bundle where it is not covered by a digest of its own, mends manifest and archive,
// and verifies: never a panic, and never "valid".
func FuzzVerify(f *testing.F) {
	l := verifyLot(f)
	for part := range uint8(9) {
		f.Add(part, uint16(3), uint32(40), byte(1))
	}
	f.Fuzz(func(t *testing.T, part uint8, which uint16, off uint32, mask byte) {
		if mask == 0 {
			return
		}
		forged := l.forge(t, l.auditor)
		if !forged.spoil(part%9, int(which), int(off), mask) {
			return
		}
		var out bytes.Buffer
		if _, err := forged.WriteTo(&out); err != nil {
			return
		}
		rep := opening.VerifyFile(bytes.NewReader(out.Bytes()), int64(out.Len()), l.world.Params.Hash(), opening.Beside{})
		if rep.Conclusion == opening.Valid && !noted(rep) {
			t.Errorf("part %d, %d, byte %d, mask %x: valid", part%9, which, off, mask)
		}
	})
}

// noted reports whether the auditor's checks speak of a fault: they do not decide whether the log is valid.
func noted(rep *opening.Report) bool { return rep.FailedIn(29, 30) != nil }

// FuzzOpenBundle opens any bytes as a bundle and verifies what opens.
func FuzzOpenBundle(f *testing.F) {
	l := verifyLot(f)
	var out bytes.Buffer
	if _, err := l.public.WriteTo(&out); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, b []byte) {
		opening.VerifyFile(bytes.NewReader(b), int64(len(b)), l.world.Params.Hash(), opening.Beside{})
	})
}

// spoil changes a byte of a part of the archive, and reports whether there is such a byte.
func (f *forger) spoil(part uint8, which, off int, mask byte) bool {
	flipIn := func(b []byte) ([]byte, bool) {
		if len(b) == 0 {
			return b, false
		}
		out := bytes.Clone(b)
		out[off%len(b)] ^= mask
		return out, true
	}
	ok := false
	switch part {
	case 0:
		f.Params, ok = flipIn(f.Params)
	case 1:
		f.Trust, ok = flipIn(f.Trust)
	case 2:
		f.K[off%32] ^= mask
		ok = true
	case 3:
		e := &f.Entries[which%len(f.Entries)]
		e.DER, ok = flipIn(e.DER)
	case 4:
		n, bad := flipIn(f.Notes[which%len(f.Notes)].Marshal())
		parsed, err := tlog.ParseNote(n)
		if ok = bad && err == nil; ok {
			f.Notes[which%len(f.Notes)] = parsed
		}
	case 5:
		if len(f.Tokens) > 0 {
			x := &f.Tokens[which%len(f.Tokens)]
			x.DER, ok = flipIn(x.DER)
		}
	case 6:
		x := &f.Sections[which%len(f.Sections)]
		b := make([]byte, x.Source.Size())
		_, _ = x.Source.ReadAt(b, 0)
		b, ok = flipIn(b)
		x.Source = bytes.NewReader(b)
	case 7:
		x := &f.Record[which%len(f.Record)]
		x.Data, ok = flipIn(x.Data)
	case 8:
		f.Halves[which%len(f.Halves)].Half[off%32] ^= mask
		ok = true
	}
	return ok
}

// verifyLot holds a short lot. Fuzz targets cannot open a bubble of fake time themselves, a test within them can.
func verifyLot(f *testing.F) *aLot {
	f.Helper()
	out := &aLot{}
	done := make(chan bool)
	go func() {
		done <- testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "lot", F: func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t, oneDraw)
				h.warned = func(string, ...any) {}
				h.run()
				defer func() { h.end() }()
				h.shortCeremony()
				out.world, out.auditor, out.public = h.world, h.archive(opening.AuditorBundle), h.archive(opening.PublicBundle)
			})
		}}})
	}()
	if !<-done || out.world == nil {
		f.Fatal("no lot to fuzz")
	}
	return out
}

// What is sent to exhaust a parser is refused within moments by every one.
func TestHostileBytes(t *testing.T) {
	t.Parallel()
	bombs := [][]byte{nil, {0x30}, {0x30, 0x82}, {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0x30, 0x80}, 5<<20/2),
		nested(183 << 10), bytes.Repeat([]byte{0x30, 0}, 2<<20), bytes.Repeat([]byte("\n"), 5<<20), bytes.Repeat([]byte("a"), 9<<20)}
	for name, parse := range parsers(fuzzAnchor) {
		for _, b := range bombs {
			begun := time.Now()
			if _, err := parse(b); err == nil {
				t.Errorf("%s takes %d bytes beginning with %x", name, len(b), b[:min(8, len(b))])
			}
			if d := time.Since(begun); d > 2*time.Second {
				t.Errorf("%s takes %s for %d bytes", name, d, len(b))
			}
		}
	}
	for _, b := range bombs {
		if rep := opening.VerifyFile(bytes.NewReader(b), int64(len(b)), fuzzAnchor, opening.Beside{}); rep.Conclusion != opening.Unreadable {
			t.Errorf("a bundle of %d bytes beginning with %x: %s", len(b), b[:min(8, len(b))], rep.Conclusion)
		}
	}
}

// nested is n bytes of SEQUENCEs in one another.
func nested(n int) []byte {
	var b []byte
	for len(b) < n {
		l := len(b)
		b = append([]byte{0x30, 0x83, byte(l >> 16), byte(l >> 8), byte(l)}, b...)
		if len(b) > 4<<10 {
			b = append(bytes.Repeat([]byte{0x30, 0x83, 2, 0xdd, 0}, (n-len(b))/5), b...)
			break
		}
	}
	return b
}
