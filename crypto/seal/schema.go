package seal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kaibiao/crypto/der"
)

// A FieldType says what values a field takes.
type FieldType uint8

// Types of fields; in Terms they are 0 to 3.
const (
	Text   FieldType = iota + 1 // up to 1000 bytes
	Number                      // a decimal number with the field's scale
	Date                        // a day of the Gregorian calendar, 2026-11-24
	Choice                      // one of the field's choices
)

func (t FieldType) String() string {
	switch t {
	case Text:
		return "text"
	case Number:
		return "number"
	case Date:
		return "date"
	case Choice:
		return "choice"
	}
	return fmt.Sprintf("FieldType(%d)", uint8(t))
}

// Limits of values.
const (
	MaxText     = 1000 // bytes of a value of type [Text]
	MaxScale    = 6    // decimals
	MaxIntegral = 15   // digits before the decimal point
)

// A SchemaField is a field of the price form as the lot's Terms define it.
type SchemaField struct {
	ID, Name string
	Type     FieldType
	Unit     string   // of a number: 元, 日历天
	Scale    int      // decimals of a number, 0 to 6
	Required bool     // an empty value is refused
	Choices  []string // of a choice
}

// A Schema is the list of fields that every price form of a lot has, in this order.
type Schema []SchemaField

// Write writes s as it stands in Terms: [{field id, name, type, unit, scale, required flag, [choice text]}].
func (s Schema) Write(w *der.Writer) {
	w.Sequence(func(w *der.Writer) {
		for _, f := range s {
			w.Sequence(func(w *der.Writer) {
				w.Text(f.ID)
				w.Text(f.Name)
				w.Int(int64(f.Type) - 1)
				w.Text(f.Unit)
				w.Int(int64(f.Scale))
				w.Flag(f.Required)
				w.Sequence(func(w *der.Writer) {
					for _, c := range f.Choices {
						w.Text(c)
					}
				})
			})
		}
	})
}

// ReadSchema takes what [Schema.Write] writes. Errors are r's; [Schema.Validate] is not called.
func ReadSchema(r *der.Reader) Schema {
	var s Schema
	for list := r.Sequence(); list.More(); {
		in := list.Sequence()
		f := SchemaField{ID: in.Text(der.MaxItem), Name: in.Text(der.MaxItem)}
		f.Type = FieldType(in.Enum(int(Choice)) + 1)
		f.Unit = in.Text(der.MaxItem)
		f.Scale = in.Enum(MaxScale + 1)
		f.Required = in.Flag()
		for c := in.Sequence(); c.More(); {
			f.Choices = append(f.Choices, c.Text(der.MaxItem))
		}
		in.End()
		s = append(s, f)
	}
	return s
}

// Validate reports whether s can be used: ids unique and not empty, types known, scale 0 to 6, unit and scale only for
// numbers, choices (different ones, none empty) for fields of type choice and no others.
func (s Schema) Validate() error {
	seen := make(map[string]bool, len(s))
	for _, f := range s {
		if seen[f.ID] {
			return fmt.Errorf("two fields have the id %q", f.ID)
		}
		seen[f.ID] = true
		if err := f.validate(); err != nil {
			return fmt.Errorf("field %q: %w", f.ID, err)
		}
	}
	return nil
}

func (f SchemaField) validate() error {
	switch {
	case f.ID == "":
		return errors.New("the id is empty")
	case f.Type < Text || f.Type > Choice:
		return fmt.Errorf("unknown type %d", f.Type)
	case f.Scale < 0 || f.Scale > MaxScale:
		return fmt.Errorf("scale %d, 0 to %d are possible", f.Scale, MaxScale)
	case f.Type != Number && (f.Unit != "" || f.Scale != 0):
		return errors.New("only a number has a unit and a scale")
	case f.Type != Choice && len(f.Choices) > 0:
		return errors.New("only a choice has choices")
	case f.Type == Choice && len(f.Choices) == 0:
		return errors.New("a choice without choices")
	}
	seen := make(map[string]bool, len(f.Choices))
	for _, c := range f.Choices {
		if c == "" || seen[c] {
			return fmt.Errorf("the choice %q is empty or there twice", c)
		}
		seen[c] = true
	}
	return nil
}

// Price returns the index of the first number field, which is the price; a schema without one has no price.
func (s Schema) Price() (index int, ok bool) {
	i := slices.IndexFunc(s, func(f SchemaField) bool { return f.Type == Number })
	return i, i >= 0
}

// Check reports whether form has exactly the fields of s in their order, each with a value that its field takes.
// A refusal is [ErrFormSchema]; it names the field and the rule, never the value.
func (s Schema) Check(form *Form) error {
	if len(form.Fields) != len(s) {
		return fmt.Errorf("%w: %d fields where the lot has %d", ErrFormSchema, len(form.Fields), len(s))
	}
	for i, f := range s {
		if form.Fields[i].ID != f.ID {
			return fmt.Errorf("%w: field %d is not %q", ErrFormSchema, i+1, f.ID)
		}
		if err := f.CheckValue(form.Fields[i].Value); err != nil {
			return fmt.Errorf("%w: field %q: %w", ErrFormSchema, f.ID, err)
		}
	}
	return nil
}

// CheckValue reports whether the field takes this value. An empty value is one left out.
func (f SchemaField) CheckValue(value string) error {
	if err := der.CheckText(value); err != nil {
		return err
	}
	if value == "" {
		if f.Required {
			return errors.New("a value is required")
		}
		return nil
	}
	switch f.Type {
	case Text:
		if len(value) > MaxText {
			return fmt.Errorf("a text of %d bytes, at most %d are allowed", len(value), MaxText)
		}
		return nil
	case Number:
		return checkNumber(value, f.Scale)
	case Date:
		return checkDate(value)
	case Choice:
		if !slices.Contains(f.Choices, value) {
			return errors.New("not one of the choices")
		}
		return nil
	}
	return fmt.Errorf("unknown type %d", f.Type)
}

// checkNumber takes (0|[1-9][0-9]{0,14}), if scale > 0 followed by a point and scale digits.
func checkNumber(value string, scale int) error {
	integral, decimals, point := strings.Cut(value, ".")
	if point != (scale > 0) || len(decimals) != scale || !digits(integral) || !digits(decimals) ||
		integral == "" || len(integral) > MaxIntegral || len(integral) > 1 && integral[0] == '0' {
		return fmt.Errorf("a number is 1 to %d digits without a leading zero or sign, then, if there are decimals, a point and %d digits",
			MaxIntegral, scale)
	}
	return nil
}

func digits(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c < '0' || c > '9' }) < 0
}

func checkDate(value string) error {
	if day, err := time.Parse(time.DateOnly, value); err != nil || day.Format(time.DateOnly) != value {
		return errors.New("a date is written 2026-11-24 and must be in the calendar")
	}
	return nil
}
