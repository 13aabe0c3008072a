package server

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"kaibiao/cmd/internal/party"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// TermsFile is a lot's Terms as an agency writes them: JSON, certificates by file name beside it, times RFC 3339. What the
// platform gives (log key, trust file, time-stamp authorities) is filled in from the draft.
type TermsFile struct {
	TenderID     string         `json:"tenderId"`
	TenderName   string         `json:"tenderName"`
	LotID        string         `json:"lotId"`
	LotName      string         `json:"lotName"`
	Info         []opening.Info `json:"info"`
	Rehearsal    bool           `json:"rehearsal"`
	Start        time.Time      `json:"start"`
	Close        time.Time      `json:"close"`
	Open         time.Time      `json:"open"`     // omitted: the deadline
	Coarse       int64          `json:"coarse"`   // s, omitted: 10
	FineFrom     time.Time      `json:"fineFrom"` // omitted: one hour before the deadline, or the start
	Fine         int64          `json:"fine"`     // s, omitted: 1
	Beat         int64          `json:"beat"`     // ticks, omitted: 60
	Window       int64          `json:"window"`   // s, omitted: 3600
	Grace        int64          `json:"grace"`    // s, omitted: 10
	MinBids      int64          `json:"minBids"`  // omitted: 3
	MinConfirmed int64          `json:"minConfirmed"`
	Early        string         `json:"early"` // no, allowed, required
	T            int            `json:"threshold"`
	W            int            `json:"witnesses"`
	Parties      []struct {
		Role       string `json:"role"` // supervisor, witness, tenderer
		Signing    string `json:"signing"`
		Encryption string `json:"encryption"`
	} `json:"parties"`
	SupervisorEnds bool `json:"supervisorEnds"`
	Custodians     []struct {
		Certificate string `json:"certificate"`
		Address     string `json:"address"`
	} `json:"custodians"`
	Ceiling  string `json:"ceiling"`
	Estimate string `json:"estimate"`
	Form     []struct {
		ID       string   `json:"id"`
		Name     string   `json:"name"`
		Type     string   `json:"type"` // text, number, date, choice
		Unit     string   `json:"unit"`
		Scale    int      `json:"scale"`
		Required bool     `json:"required"`
		Choices  []string `json:"choices"`
	} `json:"form"`
	Draws []struct {
		Name       string   `json:"name"`
		When       string   `json:"when"` // before, after
		Rule       string   `json:"rule"` // list, valid
		Candidates []string `json:"candidates"`
		Picks      int64    `json:"picks"`
	} `json:"draws"`
	Phases []struct {
		Name    string `json:"name"`
		When    string `json:"when"`
		Seconds int64  `json:"seconds"`
	} `json:"phases"`
	MaxSections int64 `json:"maxSections"` // omitted: 16
	MaxBytes    int64 `json:"maxBytes"`    // omitted: 8 GiB

	dir string
}

// ReadTermsFile reads a Terms file; an unknown field is an error.
func ReadTermsFile(path string) (*TermsFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := &TermsFile{dir: filepath.Dir(path)}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Terms makes the Terms of a draft. salt is the hex salt of the limits, empty if there are none.
func (t *TermsFile) Terms(d *opening.LotDraft, agency []byte, salt string) (*opening.Terms, error) {
	logKey, err := sm.ParsePublic(d.LogKey)
	if err != nil {
		return nil, err
	}
	t.defaults()
	out := &opening.Terms{
		TenderID: t.TenderID, TenderName: t.TenderName, LotID: t.LotID, LotName: t.LotName, Info: t.Info, Envelope: 1,
		Rehearsal: t.Rehearsal, Start: opening.InstantOf(t.Start), Close: opening.InstantOf(t.Close), Open: opening.InstantOf(t.Open),
		Coarse: t.Coarse, FineFrom: opening.InstantOf(t.FineFrom), Fine: t.Fine, Beat: t.Beat, Window: t.Window, Grace: t.Grace,
		MinBids: t.MinBids, MinConfirmed: t.MinConfirmed, N: len(t.Custodians), T: t.T, W: t.W, Agency: [][]byte{agency},
		SupervisorEnds: t.SupervisorEnds, LogKey: logKey, TrustHash: sm.Hash(d.TrustHash), MaxSections: t.MaxSections, MaxBytes: t.MaxBytes,
	}
	for _, a := range d.TSAs {
		out.TSAs = append(out.TSAs, opening.TSARoot(a))
	}
	if salt != "" {
		raw, err := hex.DecodeString(salt)
		if err != nil {
			return nil, err
		}
		h := opening.LimitsCommitment(raw, t.Ceiling, t.Estimate)
		out.Limits = h[:]
	}
	return out, errors.Join(t.people(out), t.choices(out))
}

func (t *TermsFile) defaults() {
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&t.Coarse, 10)
	set(&t.Fine, 1)
	set(&t.Beat, 60)
	set(&t.Window, 3600)
	set(&t.Grace, 10)
	set(&t.MinBids, 3)
	set(&t.MinConfirmed, 1)
	set(&t.MaxSections, 16)
	set(&t.MaxBytes, 8<<30)
	if t.Open.IsZero() {
		t.Open = t.Close
	}
	if t.FineFrom.IsZero() {
		t.FineFrom = t.Start
		if hour := t.Close.Add(-time.Hour); hour.After(t.Start) {
			// A multiple of the coarse ticks after the start, at least an hour before the deadline.
			coarse := time.Duration(t.Coarse) * time.Second
			t.FineFrom = t.Start.Add(hour.Sub(t.Start) / coarse * coarse)
		}
	}
}

func (t *TermsFile) people(out *opening.Terms) error {
	for _, p := range t.Parties {
		role, err := place(p.Role, "supervisor", "witness", "tenderer")
		if err != nil {
			return err
		}
		party := opening.Party{Role: opening.Role(role)}
		if party.Signing, err = t.certificate(p.Signing); err != nil {
			return err
		}
		if p.Encryption != "" {
			if party.Encryption, err = t.certificate(p.Encryption); err != nil {
				return err
			}
		}
		out.Parties = append(out.Parties, party)
	}
	for _, c := range t.Custodians {
		raw, err := t.certificate(c.Certificate)
		if err != nil {
			return err
		}
		out.Custodians = append(out.Custodians, opening.CustodianSeat{Certificate: raw, Address: c.Address})
	}
	return nil
}

// certificate reads a certificate beside the Terms file, PEM or DER.
func (t *TermsFile) certificate(name string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.dir, name)
	}
	return party.ReadCertificate(name)
}

func (t *TermsFile) choices(out *opening.Terms) error {
	early, err := place(t.Early, "no", "allowed", "required")
	if err != nil {
		return err
	}
	out.Early = opening.Early(early)
	for _, f := range t.Form {
		typ, err := place(f.Type, "text", "number", "date", "choice")
		if err != nil {
			return err
		}
		out.Schema = append(out.Schema, seal.SchemaField{ID: f.ID, Name: f.Name, Type: seal.FieldType(typ + 1), Unit: f.Unit,
			Scale: f.Scale, Required: f.Required, Choices: f.Choices})
	}
	for _, d := range t.Draws {
		when, err := place(d.When, "before", "after")
		if err != nil {
			return err
		}
		out.Draws = append(out.Draws, opening.Draw{Name: d.Name, When: opening.When(when), Rule: d.Rule, Candidates: d.Candidates, Picks: d.Picks})
	}
	for _, p := range t.Phases {
		when, err := place(p.When, "before", "after")
		if err != nil {
			return err
		}
		out.Phases = append(out.Phases, opening.Phase{Name: p.Name, When: opening.When(when), Seconds: p.Seconds})
	}
	return nil
}

// place returns the place of a word in a list.
func place(word string, words ...string) (int, error) {
	for i, w := range words {
		if w == word {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q is not one of %q", word, words)
}
