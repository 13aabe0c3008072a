package opening

import (
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// The few shapes of which every structure of the protocol is made.

func writeLabel(w *der.Writer, label string) { w.Text(sm.Prefix + label) }
func readLabel(r *der.Reader, label string)  { r.Literal(sm.Prefix + label) }

func texts(w *der.Writer, v ...string) {
	for _, s := range v {
		w.Text(s)
	}
}

func ints(w *der.Writer, v ...int64) {
	for _, n := range v {
		w.Int(n)
	}
}

// list writes [{...}]: each item a SEQUENCE of its own.
func list[T any](w *der.Writer, items []T, write func(*der.Writer, T)) {
	w.Sequence(func(w *der.Writer) {
		for _, item := range items {
			w.Sequence(func(w *der.Writer) { write(w, item) })
		}
	})
}

func readList[T any](r *der.Reader, read func(*der.Reader) T) []T {
	var out []T
	for s := r.Sequence(); s.More(); {
		item := s.Sequence()
		v := read(item)
		if item.End() != nil {
			return nil
		}
		out = append(out, v)
	}
	return out
}

func textList(w *der.Writer, items []string) {
	w.Sequence(func(w *der.Writer) { texts(w, items...) })
}

func readTextList(r *der.Reader) []string {
	var out []string
	for s := r.Sequence(); s.More(); {
		out = append(out, s.Text(maxText))
	}
	return out
}

func octetList(w *der.Writer, items [][]byte) {
	w.Sequence(func(w *der.Writer) {
		for _, b := range items {
			w.Octets(b)
		}
	})
}

func readOctetList(r *der.Reader, max int) [][]byte {
	var out [][]byte
	for s := r.Sequence(); s.More(); {
		out = append(out, s.Octets(max))
	}
	return out
}

func hashList(w *der.Writer, items []sm.Hash) {
	w.Sequence(func(w *der.Writer) {
		for _, h := range items {
			w.Octets(h[:])
		}
	})
}

func readHashList(r *der.Reader) []sm.Hash {
	var out []sm.Hash
	for s := r.Sequence(); s.More(); {
		var h sm.Hash
		s.Fixed(h[:])
		out = append(out, h)
	}
	return out
}

func readPoint(r *der.Reader) sm.PublicKey {
	b := r.Octets(65)
	if r.Err() != nil {
		return sm.PublicKey{}
	}
	p, err := sm.ParsePublic(b)
	if err != nil {
		r.Fail("%v", err)
	}
	return p
}

func collect[T, U any](in []T, f func(T) U) []U {
	out := make([]U, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}
