package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"kaibiao/cmd/internal/service"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/opening"
	"kaibiao/opening/web"
)

func randomBytes(b []byte) { rand.Read(b) }

// drafts are the lots that are being set up: one folder each, with the log key of the lot to come.
type drafts struct {
	server *Server
	mu     sync.Mutex
}

// savedDraft is draft.json.
type savedDraft struct {
	LogKey  []byte                      `json:"logKey"`
	Trust   []byte                      `json:"trust"`
	Terms   *opening.DraftTerms         `json:"terms"`
	Answers map[int]opening.DraftAnswer `json:"answers"`
	Anchor  *opening.Hex                `json:"anchor"`
}

func (d *drafts) dir(id string) string  { return filepath.Join(d.server.cfg.Dir, "drafts", id) }
func (d *drafts) key(id string) string  { return filepath.Join(d.dir(id), "log.kks") }
func (d *drafts) file(id string) string { return filepath.Join(d.dir(id), "draft.json") }

// New implements web.Drafts: it takes a one-time code and makes the log key of a lot to come.
func (d *drafts) New(ctx context.Context, code string) (*opening.LotDraft, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.takeCode(code); err != nil {
		return nil, err
	}
	var b [16]byte
	rand.Read(b[:])
	id := hex.EncodeToString(b[:])
	if err := os.MkdirAll(d.dir(id), 0o700); err != nil {
		return nil, err
	}
	pass, err := d.server.passphrase(ctx)
	if err != nil {
		return nil, err
	}
	key, err := hsm.GenerateFile(d.key(id), "log key of draft "+id, pass)
	if err != nil {
		return nil, err
	}
	s := &savedDraft{LogKey: key[:], Trust: d.server.trust.Bytes(), Answers: map[int]opening.DraftAnswer{}}
	if err := d.save(id, s); err != nil {
		return nil, err
	}
	return d.view(id, s), nil
}

// codeFile holds the SM3 of each code that has been handed out and not used.
func (d *drafts) codeFile() string { return filepath.Join(d.server.cfg.Dir, "codes") }

// NewCode makes a one-time code with which an agency registers a lot. Only its digest is kept.
func (s *Server) NewCode() (string, error) {
	d := s.drafts
	d.mu.Lock()
	defer d.mu.Unlock()
	var b [10]byte
	rand.Read(b[:])
	code := hex.EncodeToString(b[:])
	old, err := os.ReadFile(d.codeFile())
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	return code, service.WriteFile(d.codeFile(), append(old, digestLine(code)...))
}

func digestLine(code string) string {
	h := sm.H("draft code", []byte(code))
	return hex.EncodeToString(h[:]) + "\n"
}

func (d *drafts) takeCode(code string) error {
	all, err := os.ReadFile(d.codeFile())
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	want := digestLine(code)
	lines := strings.SplitAfter(string(all), "\n")
	for i, l := range lines {
		if subtle.ConstantTimeCompare([]byte(l), []byte(want)) == 1 {
			return service.WriteFile(d.codeFile(), []byte(strings.Join(slices.Delete(lines, i, i+1), "")))
		}
	}
	return &opening.Refusal{Code: opening.CodeSigner, Detail: "the one-time code is not known or was used: ask the operator for another"}
}

func (d *drafts) load(id string) (*savedDraft, error) {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != 16 {
		return nil, web.ErrNoDraft
	}
	b, err := os.ReadFile(d.file(id))
	if os.IsNotExist(err) {
		return nil, web.ErrNoDraft
	} else if err != nil {
		return nil, err
	}
	s := &savedDraft{}
	return s, json.Unmarshal(b, s)
}

func (d *drafts) save(id string, s *savedDraft) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return service.WriteFile(d.file(id), b)
}

func (d *drafts) view(id string, s *savedDraft) *opening.LotDraft {
	out := &opening.LotDraft{ID: id, LogKey: s.LogKey, TrustHash: opening.Hex(sm.Sum(s.Trust)), Anchor: s.Anchor, Answered: []int{}, TSAs: []opening.DraftTSA{}}
	for _, t := range d.server.cfg.TSAs {
		out.TSAs = append(out.TSAs, opening.DraftTSA{Root: t.Root, Policy: t.Policy, OperatorsOwn: t.Authority != nil})
	}
	if s.Terms != nil {
		out.Terms, out.Signature = s.Terms.Terms, s.Terms.Signature
	}
	for j := range s.Answers {
		out.Answered = append(out.Answered, j)
	}
	slices.Sort(out.Answered)
	return out
}

// Draft implements web.Drafts.
func (d *drafts) Draft(_ context.Context, id string) (*opening.LotDraft, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.load(id)
	if err != nil {
		return nil, err
	}
	return d.view(id, s), nil
}

// Trust implements web.Drafts.
func (d *drafts) Trust(id string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.load(id)
	if err != nil {
		return nil, err
	}
	return s.Trust, nil
}

func wrong(format string, args ...any) error {
	return &opening.Refusal{Code: opening.CodeRule, Check: 3, Detail: fmt.Sprintf(format, args...)}
}

// SetTerms implements web.Drafts: the agency's Terms are judged here, before custodians are asked.
func (d *drafts) SetTerms(_ context.Context, id string, in opening.DraftTerms) (*opening.LotDraft, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.load(id)
	if err != nil {
		return nil, err
	}
	if s.Terms != nil {
		return nil, wrong("the Terms of this draft are set: begin another draft to change them")
	}
	if err := d.judge(s, in); err != nil {
		return nil, err
	}
	s.Terms = &in
	if err := d.save(id, s); err != nil {
		return nil, err
	}
	return d.view(id, s), nil
}

func (d *drafts) judge(s *savedDraft, in opening.DraftTerms) error {
	t, err := opening.ParseTerms(in.Terms)
	if err != nil {
		return wrong("%v", err)
	}
	if err := t.Check(d.server.cfg.Insecure); err != nil {
		return wrong("%v", err)
	}
	if t.AsksFacts() {
		return wrong("a supervisor has an encryption certificate: then every bid needs facts about its machine, which this version's programs cannot seal. Leave the certificate out")
	}
	if !bytes.Equal(t.LogKey[:], s.LogKey) || t.TrustHash != sm.Sum(s.Trust) {
		return wrong("the Terms do not name this draft's log key and trust file")
	}
	if t.Start <= opening.InstantOf(d.server.cfg.Clock()) {
		return wrong("the lot would have started at %s already", t.Start)
	}
	signer, err := cms.Verify(in.Signature, in.Terms)
	if err != nil {
		return wrong("%v", err)
	}
	if !slices.ContainsFunc(t.Agency, func(a []byte) bool { return bytes.Equal(a, signer) }) {
		return wrong("the Terms are not signed by the agency they name")
	}
	if d.server.cfg.CheckPinned {
		if err := t.CheckPinned(d.server.trust, d.server.cfg.Clock(), append(in.Evidence, d.server.revocation.all()...)); err != nil {
			return wrong("%v", err)
		}
	}
	return nil
}

// Answer implements web.Drafts: when the last custodian has answered the lot begins.
func (d *drafts) Answer(ctx context.Context, id string, j int, in opening.DraftAnswer) (*opening.LotDraft, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.load(id)
	if err != nil {
		return nil, err
	}
	if s.Terms == nil {
		return nil, wrong("the agency has not set the Terms yet")
	}
	t, err := opening.ParseTerms(s.Terms.Terms)
	if err != nil {
		return nil, err
	}
	if j < 1 || j > t.N {
		return nil, wrong("there is no custodian %d", j)
	}
	if old, ok := s.Answers[j]; ok && !(bytes.Equal(old.E, in.E) && bytes.Equal(old.V, in.V)) {
		return nil, wrong("custodian %d has answered already", j)
	} else if !ok {
		if err := checkAnswer(s, t, j, in); err != nil {
			return nil, err
		}
		s.Answers[j] = in
		if err := d.save(id, s); err != nil {
			return nil, err
		}
	}
	// A server that was killed between the last answer and the lot's beginning goes on when a custodian asks again.
	if begun := s.Anchor != nil && d.server.Room(sm.Hash(*s.Anchor)) != nil; len(s.Answers) == t.N && !begun {
		if err := d.complete(ctx, id, s, t.N); err != nil {
			return nil, err
		}
	}
	return d.view(id, s), nil
}

func checkAnswer(s *savedDraft, t *opening.Terms, j int, in opening.DraftAnswer) error {
	keys, err := in.Keys()
	if err != nil {
		return wrong("%v", err)
	}
	p := &opening.Params{Terms: *t, TermsDER: s.Terms.Terms, Custodians: make([]opening.CustodianKeys, t.N)}
	p.Custodians[j-1] = keys
	if err := p.CheckCustodian(j); err != nil {
		return wrong("custodian %d: %v", j, err)
	}
	return nil
}

// minLead is how long before its start a lot must be complete: its log begins before the start.
const minLead = opening.Second

// complete assembles the Params and begins the lot.
func (d *drafts) complete(ctx context.Context, id string, s *savedDraft, n int) error {
	var keys []opening.CustodianKeys
	for j := 1; j <= n; j++ {
		k, err := s.Answers[j].Keys()
		if err != nil {
			return err
		}
		keys = append(keys, k)
	}
	p, err := opening.MarshalParams(s.Terms.Terms, s.Terms.Signature, keys)
	if err != nil {
		return err
	}
	trust, err := parseTrust(s.Trust)
	if err != nil {
		return err
	}
	if err := p.Check(trust, d.server.cfg.Insecure); err != nil {
		return wrong("%v", err)
	}
	// Unsealing the log key takes long on a busy machine, so it comes before the time is looked at.
	logKey := "file:" + d.key(id)
	signer, err := d.server.openKey(ctx, logKey)
	if err != nil {
		return err
	}
	if p.Terms.Start < opening.InstantOf(d.server.cfg.Clock())+minLead {
		return &opening.Refusal{Code: opening.CodeLate, Check: 3, Detail: fmt.Sprintf("the custodians have answered too late: "+
			"the lot starts at %s. Begin another draft with a later start", p.Terms.Start)}
	}
	anchor := opening.Hex(p.Hash())
	s.Anchor = &anchor
	if err := d.save(id, s); err != nil {
		return err
	}
	return d.server.lots.begin(ctx, p, trust, logKey, signer)
}
