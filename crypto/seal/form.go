package seal

import (
	"errors"
	"fmt"
	"strings"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Sizes of section 0, bytes of plaintext.
const (
	MaxForm     = 512 << 10 // of the DER Form
	FormPadding = 4096      // the plaintext is a multiple of it
)

// ErrForm says that section 0 is not a form this lot takes: the verdict is BIDDER_FAULT(form). Which of the four
// classes it was, the others say; all are ErrForm too.
var (
	ErrForm        = errors.New("price form refused")
	ErrFormPadding = fmt.Errorf("%w: padding", ErrForm)
	ErrFormDER     = fmt.Errorf("%w: encoding", ErrForm)
	ErrFormSchema  = fmt.Errorf("%w: fields", ErrForm)
	ErrFormFiles   = fmt.Errorf("%w: file list", ErrForm)
)

// A Field is one filled-in field; a value left out is empty.
type Field struct{ ID, Value string }

// A File is the name of an attached file and its length in plaintext, bytes.
type File struct {
	Name   string
	Length int64
}

// A Form is the price form (投标函): the plaintext of section 0.
type Form struct {
	Fields []Field // all fields of the lot's schema, in its order
	Files  []File  // one for each section of kind file, in their order
	Client string  // the sealing program, for diagnosis
}

const formLabel = sm.Prefix + "form"

// Value returns the value of a field, empty if it was left out or does not exist.
func (f *Form) Value(id string) string {
	for _, field := range f.Fields {
		if field.ID == id {
			return field.Value
		}
	}
	return ""
}

// Marshal returns the DER of f. It returns an error ([ErrFormFiles] among them) for what [ParseForm] would refuse.
func (f *Form) Marshal() ([]byte, error) {
	if err := checkNames(f.Files); err != nil {
		return nil, err
	}
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Text(formLabel)
		w.Sequence(func(w *der.Writer) {
			for _, field := range f.Fields {
				w.Sequence(func(w *der.Writer) {
					w.Text(field.ID)
					w.Text(field.Value)
				})
			}
		})
		w.Sequence(func(w *der.Writer) {
			for _, file := range f.Files {
				w.Sequence(func(w *der.Writer) {
					w.Text(file.Name)
					w.Int(file.Length)
				})
			}
		})
		w.Text(f.Client)
	})
	b, err := w.Bytes()
	if err != nil {
		return nil, err
	}
	if err := der.Check(b, MaxForm); err != nil {
		return nil, fmt.Errorf("price form: %w", err)
	}
	return b, nil
}

// Plain returns the plaintext of section 0: the DER, then zero bytes up to a multiple of 4096, so that the length does
// not tell the digits of a price.
func (f *Form) Plain() ([]byte, error) {
	b, err := f.Marshal()
	if err != nil {
		return nil, err
	}
	return append(b, make([]byte, -len(b)&(FormPadding-1))...), nil
}

// ParseForm reads the plaintext of section 0. It checks what does not depend on the lot: padding, encoding, file names;
// [OpenForm] checks all. Every refusal is an [ErrForm].
func ParseForm(plain []byte) (*Form, error) {
	b, err := cutForm(plain)
	if err != nil {
		return nil, err
	}
	f, err := parseForm(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormDER, err)
	}
	if err := checkNames(f.Files); err != nil {
		return nil, err
	}
	return f, nil
}

// OpenForm reads the plaintext of section 0 of the bid with header h, in a lot with this schema: everything that decides
// between VALID and BIDDER_FAULT(form) once section 0 is decrypted. Every refusal is an [ErrForm].
func OpenForm(plain []byte, schema Schema, h *Header) (*Form, error) {
	f, err := ParseForm(plain)
	if err != nil {
		return nil, err
	}
	if err := schema.Check(f); err != nil {
		return nil, err
	}
	if err := f.CheckFiles(h.Sections); err != nil {
		return nil, err
	}
	return f, nil
}

// cutForm returns the DER in front of the padding.
func cutForm(plain []byte) ([]byte, error) {
	if len(plain)%FormPadding != 0 {
		return nil, fmt.Errorf("%w: %d bytes are not a multiple of %d", ErrFormPadding, len(plain), FormPadding)
	}
	b, padding, err := der.Cut(plain, MaxForm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormDER, err)
	}
	if len(padding) >= FormPadding {
		return nil, fmt.Errorf("%w: %d bytes, fewer than %d are allowed", ErrFormPadding, len(padding), FormPadding)
	}
	if !allZero(padding) {
		return nil, fmt.Errorf("%w: not all zero", ErrFormPadding)
	}
	return b, nil
}

func allZero(b []byte) bool {
	var or byte
	for _, c := range b {
		or |= c
	}
	return or == 0
}

func parseForm(b []byte) (*Form, error) {
	r := der.NewReader(b, MaxForm)
	s := r.Sequence()
	f := new(Form)
	s.Literal(formLabel)
	for fields := s.Sequence(); fields.More(); {
		in := fields.Sequence()
		f.Fields = append(f.Fields, Field{ID: in.Text(MaxForm), Value: in.Text(MaxForm)})
		in.End()
	}
	for files := s.Sequence(); files.More(); {
		in := files.Sequence()
		f.Files = append(f.Files, File{Name: in.Text(MaxForm), Length: in.Int()})
		in.End()
	}
	f.Client = s.Text(MaxForm)
	s.End()
	if err := r.End(); err != nil {
		return nil, err
	}
	return f, nil
}

// checkNames holds the rules of the file list beyond DER.
func checkNames(files []File) error {
	seen := make(map[string]bool, len(files))
	for i, f := range files {
		if err := CheckFileName(f.Name); err != nil {
			return fmt.Errorf("%w: file %d: %w", ErrFormFiles, i+1, err)
		}
		if seen[f.Name] {
			return fmt.Errorf("%w: file %d: the name is there twice", ErrFormFiles, i+1)
		}
		seen[f.Name] = true
	}
	return nil
}

// CheckFileName reports whether a file may have this name in a bid: 1 to 255 bytes of text without / and \, not . or ..
func CheckFileName(name string) error {
	switch {
	case len(name) < 1 || len(name) > 255:
		return fmt.Errorf("a file name of %d bytes, 1 to 255 are possible", len(name))
	case strings.ContainsAny(name, `/\`):
		return errors.New(`a file name must not contain / or \`)
	case name == "." || name == "..":
		return errors.New("a file cannot be named . or .. like a directory")
	}
	return der.CheckText(name)
}

// CheckFiles reports whether the file list has one file for each section of kind file, else [ErrFormFiles]. Lengths are
// left to [File.CheckLength]: they are judged file by file.
func (f *Form) CheckFiles(sections []Section) error {
	n := 0
	for _, s := range sections {
		if s.Kind == KindFile {
			n++
		}
	}
	if n != len(f.Files) {
		return fmt.Errorf("%w: %d files are listed, the bid has %d", ErrFormFiles, len(f.Files), n)
	}
	return nil
}

// CheckLength reports whether the file has the length that its section holds, else [ErrLength].
func (f File) CheckLength(s Section) error {
	n, err := PlainLen(s.Length)
	if err != nil {
		return err
	}
	if n != f.Length {
		return fmt.Errorf("%w: the form says %d bytes, the section holds %d", ErrLength, f.Length, n)
	}
	return nil
}
