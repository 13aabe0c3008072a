package opening

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
)

// MakeRecordJSON returns record.json, the opening record (开标记录) as data: made of entries and forms alone, so that
// everybody makes the same bytes. Fixed order of fields, no white space, all values strings. Phases and signatures are
// not in it, so that it can be signed in a phase; nor are RECORD itself and what may follow it.
func MakeRecordJSON(s *State, forms map[BidID]*seal.Form) []byte {
	t := &s.Params.Terms
	w := &recordWriter{}
	w.object(func() {
		w.field("format", "kaibiao/v1 record")
		w.field("anchor", hex.EncodeToString(s.Anchor[:]))
		w.field("tenderId", t.TenderID)
		w.field("tenderName", t.TenderName)
		w.field("lotId", t.LotID)
		w.field("lotName", t.LotName)
		w.field("rehearsal", strconv.FormatBool(t.Rehearsal))
		w.list("info", len(t.Info), func(i int) {
			w.field("name", t.Info[i].Name)
			w.field("text", t.Info[i].Text)
		})
		w.field("close", s.Close.String())
		w.field("open", s.Open.String())
		w.time("opened", s.OpenedAt)
		w.time("windowEnd", s.WindowEnd)
		w.field("aborted", s.AbortReason)
		w.limits(s.Limits)
		w.list("bids", len(s.Bids), func(i int) { w.bid(s, s.Bids[i], forms) })
		w.list("draws", len(t.Draws), func(i int) {
			w.field("name", t.Draws[i].Name)
			w.strings("result", s.DrawResults[t.Draws[i].Name])
		})
		w.list("objections", len(s.Objections), func(i int) { w.objection(s.Objections[i]) })
		w.list("incidents", len(s.Incidents), func(i int) {
			w.field("from", s.Incidents[i].From.String())
			w.field("to", s.Incidents[i].To.String())
			w.field("text", s.Incidents[i].Text)
		})
		w.finding("finding", s.Findings[""])
		w.list("releases", len(s.Releases), func(i int) { w.field("custodian", strconv.Itoa(s.Releases[i].Custodian)) })
	})
	return w.b.Bytes()
}

// recordWriter writes the one form of JSON that record.json has.
type recordWriter struct {
	b     bytes.Buffer
	comma bool
}

func (w *recordWriter) object(f func()) {
	w.b.WriteByte('{')
	w.comma = false
	f()
	w.b.WriteByte('}')
	w.comma = true
}

func (w *recordWriter) name(name string) {
	if w.comma {
		w.b.WriteByte(',')
	}
	w.text(name)
	w.b.WriteByte(':')
	w.comma = true
}

// text writes a JSON string; only quotation mark and backslash are escaped: texts of the log and names of certificates
// hold nothing else that JSON would escape ([der.CheckText]).
func (w *recordWriter) text(s string) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("opening: a text that is not UTF-8")
	}
	w.b.Write(bytes.TrimRight(b.Bytes(), "\n"))
}

func (w *recordWriter) field(name, value string) {
	w.name(name)
	w.text(value)
}

func (w *recordWriter) time(name string, i Instant) {
	if i == 0 {
		w.field(name, "")
		return
	}
	w.field(name, i.String())
}

func (w *recordWriter) list(name string, n int, f func(i int)) {
	w.name(name)
	w.b.WriteByte('[')
	for i := range n {
		if i > 0 {
			w.b.WriteByte(',')
		}
		w.object(func() { f(i) })
	}
	w.b.WriteByte(']')
}

func (w *recordWriter) strings(name string, values []string) {
	w.name(name)
	w.b.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			w.b.WriteByte(',')
		}
		w.text(v)
	}
	w.b.WriteByte(']')
}

func (w *recordWriter) limits(l *LimitsBody) {
	if l == nil {
		l = &LimitsBody{}
	}
	w.field("ceiling", l.Ceiling)
	w.field("estimate", l.Estimate)
	committed := ""
	if l.Ceiling != "" || l.Estimate != "" {
		committed = "not committed"
		if len(l.Salt) != 0 {
			committed = "committed"
		}
	}
	w.field("limits", committed)
}

func (w *recordWriter) bid(s *State, b *Bid, forms map[BidID]*seal.Form) {
	w.field("id", b.ID.String())
	w.field("usci", b.USCI)
	w.field("name", b.Certificate.Name())
	w.field("time", b.Time.String())
	w.list("checkins", len(b.Checkins), func(i int) {
		w.field("time", b.Checkins[i].Time.String())
		w.field("person", b.Checkins[i].Person)
	})
	w.time("confirmed", b.ConfirmTime)
	verdict, _ := s.settled(b)
	w.field("verdict", verdict.String())
	var fields []seal.Field
	if f := forms[b.ID]; f != nil && verdict == VerdictValid {
		fields = f.Fields
	}
	w.list("form", len(fields), func(i int) {
		w.field("id", fields[i].ID)
		w.field("value", fields[i].Value)
	})
	w.finding("finding", s.Findings[b.ID.String()])
}

// settled is the form verdict as far as entries alone tell it.
func (s *State) settled(b *Bid) (FormVerdict, bool) {
	if b.Opened {
		return b.Verdict, true
	}
	switch {
	case b.Replaced:
		return VerdictReplaced, true
	case b.Withdrawn:
		return VerdictWithdrawn, true
	case b.Excluded:
		return VerdictReturned, true
	}
	switch st, frozen := s.frozen[b.ID]; {
	case frozen && st == FrozenUnconfirmed:
		return VerdictBidderUnconfirmed, true
	case frozen && st == FrozenLost:
		return VerdictSystemFault, true
	}
	return VerdictPending, false
}

func (w *recordWriter) objection(o *Objection) {
	w.field("time", o.Time.String())
	w.field("usci", o.USCI)
	w.field("name", o.Name)
	what := "objection"
	if o.Content.What == Recusal {
		what = "recusal"
	}
	w.field("what", what)
	w.field("text", o.Content.Text)
	reply := ""
	if o.Reply != nil {
		reply = o.Reply.Text
	}
	w.field("reply", reply)
	w.time("replied", o.ReplyTime)
}

var outcomeNames = map[Outcome]string{Revoked: "撤销", Withdrawn: "撤回", Undecided: "undecided", Continue: "continue", Fail: "fail"}

// String is the outcome's word in records and reports.
func (o Outcome) String() string { return outcomeNames[o] }

func (w *recordWriter) finding(name string, f *FindingBody) {
	w.name(name)
	w.object(func() {
		if f == nil {
			return
		}
		w.field("outcome", f.Outcome.String())
		w.field("reason", f.Reason)
	})
}

// NewRecordBody returns the RECORD that names these files.
func NewRecordBody(files []NamedFile) (*RecordBody, error) {
	b := &RecordBody{}
	for _, f := range files {
		if err := CheckRecordName(f.Name); err != nil {
			return nil, err
		}
		b.Files = append(b.Files, RecordFile{Name: f.Name, Digest: sm.Sum(f.Data)})
	}
	return b, nil
}
