package bidder

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/quorum"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// A File is an attachment to be sealed. Open is called once; it must yield exactly Size bytes.
type File struct {
	Name string
	Size int64
	Open func() (io.ReadCloser, error)
}

// Scratch keeps sealed sections until the header is known: files beside the bid, or the browser's private file system.
// What it keeps is ciphertext.
type Scratch interface {
	Create(section int) (io.WriteCloser, error)
	Open(section int) (io.ReadCloser, error)
}

// A Plan says what to seal.
type Plan struct {
	Identity Identity
	Fields   []seal.Field // every field of the schema in its order
	Files    []File
	Replaces opening.BidID // zero: none
	Client   string        // the sealing program, for diagnosis
	Facts    []byte        // EnvelopedData for the supervisors, where the Terms ask for it
	// Passphrase opens the ticket besides the encryption certificate; empty: none. It must come from [NewPassphrase]: who
	// holds the ticket can try passphrases for as long as he likes.
	Passphrase string
	// Progress, if not nil, is told the plaintext bytes done of a section.
	Progress func(section int, done, total int64)
}

// Sealed is a sealed bid: header and signature, whose sections lie in the Scratch, and the ticket. kC is gone.
type Sealed struct {
	Header    *seal.Header
	HeaderDER []byte
	Signature []byte
	Ticket    []byte
	KB        [32]byte // the bidder's half: what the ticket holds
	mayEarly  bool     // the Terms let KB be sent with the bid
}

// ID names the bid.
func (s *Sealed) ID() opening.BidID { return seal.HeaderID(s.HeaderDER) }

// Seal makes a bid. Everything that the lot would refuse of form, files, sizes and identity is refused here, before a byte
// is written; a file that has not exactly its size, while it is sealed. After an error the scratch holds nothing of use.
func (l *Lot) Seal(ctx context.Context, plan Plan, scratch Scratch) (*Sealed, error) {
	form := &seal.Form{Fields: plan.Fields, Client: plan.Client}
	for _, f := range plan.Files {
		form.Files = append(form.Files, seal.File{Name: f.Name, Length: f.Size})
	}
	if err := l.Params.Terms.Schema.Check(form); err != nil {
		return nil, err
	}
	plain, err := form.Plain()
	if err != nil {
		return nil, err
	}
	if err := l.checkPlan(&plan, int64(len(plain))); err != nil {
		return nil, err
	}
	s := &Sealed{mayEarly: l.Params.Terms.Early != opening.EarlyNo, Header: &seal.Header{ParamsHash: l.Anchor, CertHash: sm.Sum(plan.Identity.Certificate), Replaces: plan.Replaces}, KB: random32()}
	rand.Read(s.Header.Nonce[:])
	w := sealing{lot: l, plan: &plan, scratch: scratch, header: s.Header, ctx: s.Header.Context(), kC: random32()}
	defer clear(w.kC[:])
	if err := w.lock(s.KB); err != nil {
		return nil, err
	}
	if err := w.sections(ctx, plain); err != nil {
		return nil, err
	}
	if err := l.finish(s, plan); err != nil {
		return nil, err
	}
	return s, nil
}

// checkPlan judges what can be judged before the sealing.
func (l *Lot) checkPlan(plan *Plan, form int64) error {
	if l.asksFacts() != (len(plan.Facts) > 0) {
		return fmt.Errorf("%w, or facts were given that it does not ask for", ErrFacts)
	}
	if err := plan.Identity.check(); err != nil {
		return err
	}
	if plan.Passphrase == "" && len(plan.Identity.Encryption) == 0 {
		return errors.New("the ticket needs the encryption certificate or a passphrase")
	}
	if plan.Passphrase != "" && !passphraseForm.MatchString(plan.Passphrase) {
		return errors.New("the ticket's passphrase must be one that the program made")
	}
	sections := []int64{form}
	if len(plan.Facts) > 0 {
		sections = append(sections, seal.FactsSize)
	}
	for _, f := range plan.Files {
		if f.Size < 0 {
			return fmt.Errorf("the file %s has a negative size", f.Name)
		}
		sections = append(sections, f.Size)
	}
	return l.checkSizes(sections)
}

// checkSizes bounds sections by the lot and the format; the few kilobytes of header and signature come on top.
func (l *Lot) checkSizes(plain []int64) error {
	t := &l.Params.Terms
	if n := int64(len(plain)); n > min(t.MaxSections, seal.MaxSections) {
		return fmt.Errorf("the bid has %d sections, the lot allows %d", n, min(t.MaxSections, seal.MaxSections))
	}
	left := t.MaxBytes
	for i, n := range plain {
		if n > seal.MaxSection || seal.CipherLen(n) > seal.MaxSection {
			return fmt.Errorf("section %d has more than %d bytes", i, seal.MaxSection)
		}
		if left -= seal.CipherLen(n); left < 0 {
			return fmt.Errorf("the sealed bid has more than the %d bytes that the lot allows", t.MaxBytes)
		}
	}
	return nil
}

// check makes sure that key and certificates are a pair that can sign and wrap.
func (id *Identity) check() error {
	c, err := cert.Parse(id.Certificate)
	if err != nil {
		return err
	}
	if err := c.MaySign(); err != nil {
		return err
	}
	if k, err := sm.PublicOf(id.Key.Public()); err != nil || k != c.PublicKey() {
		return errors.New("the signing key is not that of the certificate: check which device is plugged in")
	}
	if len(id.Encryption) == 0 {
		return nil
	}
	if c, err = cert.Parse(id.Encryption); err != nil {
		return err
	}
	return c.MayEncrypt()
}

// finish signs the header and makes the ticket.
func (l *Lot) finish(s *Sealed, plan Plan) (err error) {
	if s.HeaderDER, err = s.Header.Marshal(); err != nil {
		return err
	}
	if s.Signature, err = cms.Sign(plan.Identity.Key, plan.Identity.Certificate, s.HeaderDER); err != nil {
		return err
	}
	t := &l.Params.Terms
	if size, err := s.Header.FileSize(len(s.Signature)); err != nil || size > t.MaxBytes || int64(len(s.Header.Sections)) > t.MaxSections {
		return fmt.Errorf("the sealed bid has %d bytes in %d sections, the lot allows %d in %d", size, len(s.Header.Sections), t.MaxBytes, t.MaxSections)
	}
	s.Ticket, err = makeTicket(s.KB, s.Header, plan.Identity.Encryption, plan.Passphrase)
	return err
}

// iterations of a ticket's passphrase: programs make the passphrase, it has 80 random bits.
const iterations = 600_000

func makeTicket(kB [32]byte, h *seal.Header, encryption []byte, passphrase string) ([]byte, error) {
	var wrap []byte
	var err error
	if len(encryption) > 0 {
		if wrap, err = cms.Encrypt(kB[:], [][]byte{encryption}); err != nil {
			return nil, fmt.Errorf("wrapping the ticket for the encryption certificate: %w", err)
		}
	}
	n := 0
	if passphrase != "" {
		n = iterations
	}
	t, err := seal.MakeTicket(kB, h, wrap, passphrase, n)
	if err != nil {
		return nil, err
	}
	return t.Marshal()
}

// passphraseForm is what [NewPassphrase] makes.
var passphraseForm = regexp.MustCompile(`^[A-Z2-7]{4}(-[A-Z2-7]{4}){3}$`)

// NewPassphrase makes a passphrase of 80 random bits, to be shown once and printed.
func NewPassphrase() string {
	var b [10]byte
	rand.Read(b[:])
	s := base32.StdEncoding.EncodeToString(b[:])
	return strings.Join([]string{s[0:4], s[4:8], s[8:12], s[12:16]}, "-")
}

// sealing is a bid that is being made.
type sealing struct {
	lot     *Lot
	plan    *Plan
	scratch Scratch
	header  *seal.Header
	ctx     []byte
	kC      [32]byte
	kF      seal.FormHalf
	kA      seal.FileHalf
}

func (w *sealing) lock(kB [32]byte) error {
	box, err := quorum.Lock(w.kC, w.lot.Params.E(), w.lot.Params.Terms.T, w.ctx)
	if err != nil {
		return err
	}
	w.kF, w.kA = seal.Halves(kB, w.ctx)
	w.header.R, w.header.Shares = box.R, box.Shares
	w.header.FormCommitment, w.header.FileCommitment = seal.CommitForm(w.ctx, w.kF), seal.CommitFile(w.ctx, w.kA)
	return nil
}

func (w *sealing) sections(ctx context.Context, form []byte) error {
	key := seal.FormKey(w.kC, w.kF, w.ctx)
	if err := w.section(ctx, seal.KindForm, key, strings.NewReader(string(form)), int64(len(form))); err != nil {
		return err
	}
	if len(w.plan.Facts) > 0 {
		facts, err := seal.MarshalFacts(w.plan.Facts)
		if err != nil {
			return err
		}
		if err := w.section(ctx, seal.KindFacts, w.fileKey(), strings.NewReader(string(facts)), int64(len(facts))); err != nil {
			return err
		}
	}
	for _, f := range w.plan.Files {
		if err := w.file(ctx, f); err != nil {
			return fmt.Errorf("sealing %s: %w", f.Name, err)
		}
	}
	return nil
}

// fileKey is the key of the next section, which is not the form.
func (w *sealing) fileKey() seal.SectionKey {
	return seal.FileKey(w.kC, w.kA, w.ctx, uint16(len(w.header.Sections)))
}

func (w *sealing) file(ctx context.Context, f File) error {
	src, err := f.Open()
	if err != nil {
		return err
	}
	defer src.Close()
	return w.section(ctx, seal.KindFile, w.fileKey(), src, f.Size)
}

// section seals size bytes of src; more or fewer are an error.
func (w *sealing) section(ctx context.Context, kind seal.Kind, key seal.SectionKey, src io.Reader, size int64) (err error) {
	n := len(w.header.Sections)
	dst, err := w.scratch.Create(n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	out, err := seal.NewWriter(dst, key, seal.NewSalt())
	if err != nil {
		return err
	}
	in := &watched{ctx: ctx, src: io.LimitReader(src, size+1), progress: w.plan.Progress, section: n, total: size}
	got, err := out.ReadFrom(in)
	if err != nil {
		return err
	}
	if got != size {
		return fmt.Errorf("it has %d bytes now, it had %d when the form was made: seal again", got, size)
	}
	if err := out.Close(); err != nil {
		return err
	}
	w.header.Sections = append(w.header.Sections, out.Section(kind))
	return nil
}

// watched tells of progress and stops when its context ends.
type watched struct {
	ctx      context.Context
	src      io.Reader
	progress func(section int, done, total int64)
	section  int
	done     int64
	total    int64
}

func (r *watched) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.src.Read(p)
	r.done += int64(n)
	if r.progress != nil {
		r.progress(r.section, r.done, r.total)
	}
	return n, err
}

// WriteBid writes the `.kbid` of a sealed bid from its scratch.
func WriteBid(dst io.Writer, s *Sealed, scratch Scratch) error {
	w, err := seal.NewBidWriter(dst, s.HeaderDER, s.Signature)
	if err != nil {
		return err
	}
	for i := range s.Header.Sections {
		if err := writeSection(w, scratch, i); err != nil {
			return err
		}
	}
	return w.Close()
}

func writeSection(w *seal.BidWriter, scratch Scratch, i int) error {
	src, err := scratch.Open(i)
	if err != nil {
		return err
	}
	defer src.Close()
	return w.Section(src)
}
