package opening_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// A plant is one fault in a bundle that is good otherwise, and the check that must find it. Faults in entries come with a
// log that is signed and cosigned anew, so that nothing but the rule itself finds them.
type plant struct {
	check   int
	name    string
	missing bool // data is missing: no failure
	fault   func(f *forger)
}

func reforged(change func(f *forger)) func(f *forger) {
	return func(f *forger) { change(f); f.resign() }
}

func (l *aLot) plants(t *testing.T) []plant {
	agency, supervisor := l.world.Agency.Sign, l.world.Supervisor.Sign
	replacement := must(openingtest.New(l.world.Start, nil))
	custodian := func(j int) certtest.Identity { return l.world.Custodians[j-1].Person.Sign }
	openedAs := func(bid int, v opening.FormVerdict) func(f *forger) {
		return reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindOpened, bid), func(b opening.Body) { b.(*opening.OpenedBody).Verdict = v })
		})
	}
	section := func(s int, edit func(b []byte) []byte) func(f *forger) {
		return func(f *forger) {
			i := slices.IndexFunc(f.Sections, func(x opening.BundleSection) bool { return x.Section == s })
			f.Sections[i].Source = bytes.NewReader(edit(readAll(f.t, f.Sections[i].Source)))
		}
	}
	return []plant{
		{3, "another trust file", false, func(f *forger) { f.Trust = replacement.Trust.Bytes() }},
		{4, "a byte behind an entry", false, reforged(func(f *forger) { f.Entries[3].DER = append(bytes.Clone(f.Entries[3].DER), 0) })},
		{4, "a signature changed", false, reforged(func(f *forger) {
			f.change(f.find(opening.KindExtend, 0), func(e *opening.Entry) { e.Signatures[0] = flip(e.Signatures[0], len(e.Signatures[0])-3) })
		})},
		{4, "a body changed", false, reforged(func(f *forger) {
			f.change(f.find(opening.KindExtend, 0), func(e *opening.Entry) { e.Body = bytes.Replace(e.Body, []byte("补遗"), []byte("补充"), 1) })
		})},
		{4, "another signer", false, reforged(func(f *forger) { f.rewrite(f.find(opening.KindOpen, 0), func(opening.Body) {}, supervisor) })},
		{4, "an unknown kind", false, reforged(func(f *forger) {
			i := f.find(opening.KindNote, 0)
			f.Entries[i].DER = bytes.Replace(f.Entries[i].DER, []byte{2, 1, byte(opening.KindNote)}, []byte{2, 1, 27}, 1)
		})},
		{5, "a bid without evidence", false, reforged(func(f *forger) { f.change(f.find(opening.KindBid, 1), func(e *opening.Entry) { e.Evidence = nil }) })},
		{5, "evidence not in the bundle", true, func(f *forger) {
			gone := f.entry(f.find(opening.KindBid, 1)).Evidence[0]
			f.Evidence = slices.DeleteFunc(f.Evidence, func(b []byte) bool { return sum(b) == gone })
		}},
		{6, "times that do not increase", false, reforged(func(f *forger) {
			i := f.find(opening.KindBid, 1)
			f.change(i, func(e *opening.Entry) { e.Time = f.entry(i - 1).Time })
		})},
		{6, "an entry in another tick", false, func(f *forger) {
			i := f.find(opening.KindNote, 0)
			f.Entries[i].Tick++
		}},
		{6, "a slot twice", false, func(f *forger) {
			i := f.find(opening.KindOpened, 1)
			f.Entries[i].Slot = f.Entries[i-1].Slot
		}},
		{6, "entries out of order", false, func(f *forger) { f.Entries[1], f.Entries[2] = f.Entries[2], f.Entries[1] }},
		{7, "another K", false, func(f *forger) { f.K[0] ^= 1 }},
		{7, "an entry left out", false, func(f *forger) { f.Entries = slices.Delete(f.Entries, 2, 3) }},
		{7, "an entry changed", false, func(f *forger) { f.change(f.find(opening.KindConfirm, 0), func(e *opening.Entry) { e.Time++ }) }},
		{8, "a checkpoint of another key", false, func(f *forger) {
			n := *f.Notes[2]
			n.Signatures = slices.Clone(n.Signatures)
			n.Signatures[0].Bytes = flip(n.Signatures[0].Bytes, 5)
			f.Notes[2] = &n
		}},
		{8, "a checkpoint of another root", false, func(f *forger) {
			c := f.Notes[2].Checkpoint
			c.Root[0] ^= 1
			f.Notes[2] = must(c.Sign(l.world.LogKey))
		}},
		{8, "a checkpoint of another lot", false, func(f *forger) {
			c := f.Notes[2].Checkpoint
			c.Origin = tlog.Origin(replacement.Params.Hash())
			f.Notes[2] = must(c.Sign(l.world.LogKey))
		}},
		{8, "checkpoints out of order", false, func(f *forger) { f.Notes[1], f.Notes[2] = f.Notes[2], f.Notes[1] }},
		{9, "a cosignature changed", false, func(f *forger) {
			i := slices.IndexFunc(f.Notes, func(n *tlog.Note) bool { return len(n.Signatures) > 2 })
			n := *f.Notes[i]
			n.Signatures = slices.Clone(n.Signatures)
			n.Signatures[2].Bytes = flip(n.Signatures[2].Bytes, 20)
			f.Notes[i] = &n
		}},
		{9, "two roots of a size", false, func(f *forger) {
			c := f.Notes[3].Checkpoint
			c.Root[0] ^= 1
			f.Notes = slices.Insert(f.Notes, 3, must(c.Sign(l.world.LogKey)))
		}},
		{10, "a token of another checkpoint", false, func(f *forger) { f.Tokens[1].DER = f.Tokens[0].DER }},
		{10, "a token of no authority", false, func(f *forger) { f.Tokens[1].TSA = 7 }},
		{10, "a token without revocation evidence", false, func(f *forger) {
			named := map[sm.Hash]bool{}
			for i := range f.Entries {
				for _, h := range f.entry(i).Evidence {
					named[h] = true
				}
			}
			f.Evidence = slices.DeleteFunc(f.Evidence, func(b []byte) bool { return !named[sum(b)] })
		}},
		{11, "CLOSE not cosigned by w", true, func(f *forger) { f.cosignedBy(func(_ *tlog.Note, c tlog.Cosignature) bool { return c.Custodian < 3 }) }},
		{12, "bids not witnessed by t", true, func(f *forger) { f.cosignedBy(func(_ *tlog.Note, c tlog.Cosignature) bool { return c.Custodian == 1 }) }},
		{13, "a window that ends earlier", false, reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindWindow, 0), func(b opening.Body) { b.(*opening.WindowBody).End = 1 }, agency)
		})},
		{13, "a reply to nothing", false, reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindReply, 0), func(b opening.Body) { b.(*opening.ReplyBody).Objection = [32]byte{1} }, agency)
		})},
		{13, "OPEN before its time", false, reforged(func(f *forger) {
			f.insert(f.find(opening.KindClose, 0), &opening.OpenBody{}, nil, agency)
		})},
		{13, "no Params", false, reforged(func(f *forger) { f.Entries = f.Entries[1:] })},
		{14, "a bid with too few shares", false, l.otherBid(func(h *seal.Header) { h.Shares = h.Shares[:3] })},
		{14, "a bid that replaces nothing", false, l.otherBid(func(h *seal.Header) { h.Replaces = opening.BidID{1} })},
		{15, "a body twice", false, reforged(func(f *forger) {
			i := f.find(opening.KindExtend, 0)
			e := f.entry(i)
			e.Time++
			f.Entries = slices.Insert(f.Entries, i+1, tlog.Entry{Slot: f.freeSlot(f.Entries[i].Tick)})
			f.put(i+1, e)
		})},
		{16, "an extension that goes back", false, reforged(func(f *forger) {
			f.insert(f.find(opening.KindExtend, 0), &opening.ExtendBody{Close: l.world.Params.Terms.Close, Open: l.world.Params.Terms.Open}, nil, agency)
		})},
		{17, "CLOSE at another time", false, reforged(func(f *forger) { f.change(f.find(opening.KindClose, 0), func(e *opening.Entry) { e.Time++ }) })},
		{17, "no CLOSE", false, reforged(func(f *forger) {
			f.Entries = slices.Delete(f.Entries, f.find(opening.KindClose, 0), f.find(opening.KindClose, 0)+1)
		})},
		{17, "a bid after CLOSE", false, reforged(func(f *forger) {
			bid, close := f.find(opening.KindBid, 5), f.find(opening.KindClose, 0)
			e := f.entry(bid)
			e.Time = f.entry(close).Time + 1
			f.Entries = slices.Insert(f.Entries, close+1, tlog.Entry{Slot: f.freeSlot(f.Entries[close].Tick)})
			f.put(close+1, e)
			f.Entries = slices.Delete(f.Entries, bid, bid+1)
		})},
		{18, "a price form left out", true, func(f *forger) {
			f.Sections = slices.DeleteFunc(f.Sections, func(s opening.BundleSection) bool { return s.Section == 0 })
		}},
		{18, "a price form replaced", false, section(0, func(b []byte) []byte { return flip(b, 200) })},
		{18, "a price form cut", false, section(0, func(b []byte) []byte { return b[:len(b)-1] })},
		{18, "a section that nobody confirmed", false, func(f *forger) {
			f.Sections = append(f.Sections, opening.BundleSection{Bid: opening.BidID{1}, Section: 0, Source: bytes.NewReader([]byte{1})})
		}},
		{19, "another half", false, reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindConfirm, 1), func(b opening.Body) { b.(*opening.ConfirmBody).FormHalf[0] ^= 1 })
		})},
		{20, "FREEZE says otherwise", false, reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindFreeze, 0), func(b opening.Body) { b.(*opening.FreezeBody).Bids[0].Status = opening.FrozenUnconfirmed })
		})},
		{20, "FREEZE inside the window", false, reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindWindow, 0), func(b opening.Body) { b.(*opening.WindowBody).End += 100 * opening.Second }, agency)
		})},
		{22, "another scalar", false, reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindRelease, 0), func(b opening.Body) { b.(*opening.ReleaseBody).Scalar[0] ^= 1 }, custodian(1))
		})},
		{22, "a release of another root", false, reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindRelease, 0), func(b opening.Body) { b.(*opening.ReleaseBody).Root[0] ^= 1 }, custodian(1))
		})},
		{22, "a release on a checkpoint without w", false, func(f *forger) {
			relied := uint64(f.body(f.find(opening.KindRelease, 0)).(*opening.ReleaseBody).Size)
			f.cosignedBy(func(n *tlog.Note, c tlog.Cosignature) bool { return n.Size != relied || c.Custodian < 3 })
		}},
		{23, "a bad lock published as VALID", false, openedAs(2, opening.VerdictValid)},
		{23, "a good lock published as bad", false, openedAs(0, opening.VerdictLock)},
		{24, "a bad chunk published as VALID", false, openedAs(3, opening.VerdictValid)},
		{24, "a good form published as bad", false, openedAs(0, opening.VerdictForm)},
		{25, "an unconfirmed bid published as VALID", false, openedAs(4, opening.VerdictValid)},
		{25, "verdicts in another order", false, reforged(func(f *forger) {
			i := f.find(opening.KindOpened, 0)
			x, y := f.body(i).(*opening.OpenedBody), f.body(i+1).(*opening.OpenedBody)
			f.rewrite(i, func(b opening.Body) { *b.(*opening.OpenedBody) = *y })
			f.rewrite(i+1, func(b opening.Body) { *b.(*opening.OpenedBody) = *x })
		})},
		{26, "another result of a draw", false, reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindDraw, 0), func(b opening.Body) { slices.Reverse(b.(*opening.DrawBody).Result) })
		})},
		{26, "a draw after that was drawn by hand", false, reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindDraw, 1), func(b opening.Body) { b.(*opening.DrawBody).Result = []string{"x"} })
		})},
		{27, "another record.json", false, reforged(func(f *forger) {
			f.Record[0].Data = bytes.Replace(f.Record[0].Data, []byte("190.00"), []byte("180.00"), 1)
			f.rewrite(f.find(opening.KindRecord, 0), func(b opening.Body) { b.(*opening.RecordBody).Files[0].Digest = sum(f.Record[0].Data) }, agency, supervisor)
		})},
		{27, "a file of the record changed", false, func(f *forger) { f.Record[0].Data = append(bytes.Clone(f.Record[0].Data), ' ') }},
		{27, "a file of the record left out", true, func(f *forger) { f.Record = nil }},
		{27, "a file that RECORD does not name", false, func(f *forger) { f.Record = append(f.Record, opening.NamedFile{Name: "x", Data: []byte{1}}) }},
		{28, "an objection after RECORD", false, reforged(func(f *forger) {
			i := f.find(opening.KindRecord, 0)
			f.insert(i, &opening.PhaseBody{Phase: "x"}, nil, agency)
		})},
		{28, "no RECORD", true, reforged(func(f *forger) { f.Entries, f.Record = f.Entries[:f.find(opening.KindRecord, 0)], nil })},
		{28, "RECORD not cosigned", true, func(f *forger) {
			tick := f.Entries[f.find(opening.KindRecord, 0)].Tick
			f.cosignedBy(func(n *tlog.Note, c tlog.Cosignature) bool { return n.Size <= tick })
		}},
		{29, "another file half", false, func(f *forger) { f.Halves[0].Half[0] ^= 1 }},
		{29, "a file half left out", true, func(f *forger) { f.Halves = f.Halves[1:] }},
		{29, "a file half of no confirmed bid", false, func(f *forger) { f.Halves = append(f.Halves, opening.BidHalf{Bid: opening.BidID{1}}) }},
		{30, "an attached file replaced", false, section(1, func(b []byte) []byte { return flip(b, 200) })},
		{30, "an attached file left out", true, func(f *forger) {
			f.Sections = slices.DeleteFunc(f.Sections, func(s opening.BundleSection) bool { return s.Section == 1 })
		}},
		{30, "a good file published as bad", false, reforged(func(f *forger) {
			f.rewrite(f.find(opening.KindFiles, 0), func(b opening.Body) { b.(*opening.FilesBody).Verdicts[0] = opening.FileChunk })
		})},
	}
}

// otherBid replaces a firm's first bid by one that its owner would have to have sealed so.
func (l *aLot) otherBid(edit func(h *seal.Header)) func(f *forger) {
	return reforged(func(f *forger) {
		i := f.find(opening.KindBid, 5)
		firm := l.firms["戊公司"]
		b := must(l.world.SealAs(firm, openingtest.Sealing{Price: "500.00", Header: edit}))
		f.change(i, func(e *opening.Entry) {
			e.Body, e.Signatures = b.DER, [][]byte{b.Signed}
			pieces := f.evidenceFor(firm.Sign, e)
			e.Evidence = nil
			for _, p := range pieces {
				e.Evidence = append(e.Evidence, sum(p))
			}
			f.Evidence = append(f.Evidence, pieces...)
		})
	})
}

func (f *forger) evidenceFor(id certtest.Identity, e *opening.Entry) [][]byte {
	c := must(id.Parse())
	var chain []*cert.Certificate = must(f.world.Trust.Chain(c, e.Time.Time(), nil))
	return f.world.Evidence(chain, e.Time.Time())
}

func TestVerifierSeesEveryFault(t *testing.T) {
	l := fullLot(t)
	for _, of := range []*opening.Archive{l.auditor, l.public} {
		f := l.forge(t, of)
		f.resign()
		for _, a := range []*opening.Archive{of, f.Archive} {
			if rep := verify(t, l.world, a, opening.Beside{}); rep.Conclusion != opening.Valid {
				t.Fatalf("before anything is planted: %s %v %v", rep.Conclusion, rep.Failures, rep.Missing)
			}
		}
	}
	for _, p := range l.plants(t) {
		f := l.forge(t, l.auditor)
		p.fault(f)
		wantFault(t, p, verify(t, l.world, f.Archive, opening.Beside{}))
	}
}

func wantFault(t *testing.T, p plant, rep *opening.Report) {
	t.Helper()
	list, other := rep.Failures, rep.Missing
	if p.missing {
		list, other = other, list
	}
	if !slices.ContainsFunc(list, func(i opening.Issue) bool { return i.Check == p.check }) {
		t.Errorf("V%d %s: not seen; %s\nfailures %v\nmissing %v", p.check, p.name, rep.Conclusion, rep.Failures, rep.Missing)
	}
	if rep.Conclusion == opening.Valid && p.check < 29 {
		t.Errorf("V%d %s: valid all the same", p.check, p.name)
	}
	if p.missing && p.check < 29 && len(other) == 0 && rep.Conclusion != opening.Incomplete {
		t.Errorf("V%d %s: %s, want incomplete", p.check, p.name, rep.Conclusion)
	}
}

func TestVerifierSeesTheArchive(t *testing.T) {
	l := fullLot(t)
	good := write(t, l.public)
	at := func(name string) int64 {
		i := bytes.Index(good, append([]byte(name), 0))
		return int64(i) + 512
	}
	check := func(b []byte, anchor sm.Hash) *opening.Report {
		return opening.VerifyFile(bytes.NewReader(b), int64(len(b)), anchor, opening.Beside{})
	}
	anchor := l.world.Params.Hash()
	rep := check(good, sum(nil))
	wantFault(t, plant{check: 2, name: "another anchor"}, rep)
	if rep.FailedIn(3, 30) != nil {
		t.Errorf("another anchor fails more than V2: %v", rep.Failures)
	}
	for _, name := range []string{"manifest", "record/record.json", "checkpoints"} {
		wantFault(t, plant{check: 1, name: name}, check(flip(good, int(at(name))+10), anchor))
	}
	i := bytes.Index(good, []byte("evidence/"))
	wantFault(t, plant{check: 1, name: "evidence"}, check(flip(good, i+512+30), anchor))
	for name, b := range map[string][]byte{
		"nothing": nil, "zeros": make([]byte, 1024), "cut": good[:len(good)-512], "more": append(bytes.Clone(good), make([]byte, 512)...),
		"metadata": flip(good, 100), "a text": []byte(strings.Repeat("kaibiao ", 1000)),
	} {
		if rep := check(b, anchor); rep.Conclusion != opening.Unreadable || len(rep.Failures) != 1 || rep.Failures[0].Check != 1 {
			t.Errorf("%s: %s %v", name, rep.Conclusion, rep.Failures)
		}
	}
}

func flip(b []byte, i int) []byte {
	out := bytes.Clone(b)
	out[i] ^= 1
	return out
}

func readAll(t *testing.T, s opening.SectionSource) []byte {
	t.Helper()
	b := make([]byte, s.Size())
	if _, err := s.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}
