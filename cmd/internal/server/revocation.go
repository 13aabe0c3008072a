package server

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"kaibiao/crypto/cert"
)

// Revocation holds the CRLs of a folder in memory and finds the current ones for a chain. Files are read again when the
// folder's files change: an operator drops a new CRL and needs no restart.
type Revocation struct {
	dir  string
	warn func(format string, args ...any)
	mu   sync.Mutex
	seen map[string]time.Time // file -> modification time
	crls []revocationList
}

type revocationList struct {
	file string
	raw  []byte
	crl  *cert.CRL
}

// NewRevocation reads the folder; an unusable file is an error that names it.
func NewRevocation(dir string, warn func(format string, args ...any)) (*Revocation, error) {
	r := &Revocation{dir: dir, warn: warn}
	return r, r.reload()
}

// reload reads the folder again if anything in it changed. r.mu is held, or r is new.
func (r *Revocation) reload() error {
	files, err := filepath.Glob(filepath.Join(r.dir, "*.crl"))
	if err != nil {
		return err
	}
	sort.Strings(files)
	seen := map[string]time.Time{}
	changed := len(files) != len(r.seen)
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			return err
		}
		seen[f] = st.ModTime()
		changed = changed || !r.seen[f].Equal(st.ModTime())
	}
	if !changed {
		return nil
	}
	var crls []revocationList
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		c, err := cert.ParseCRL(raw)
		if err != nil {
			return fmt.Errorf("reading the CRL %s: %w", filepath.Base(f), err)
		}
		crls = append(crls, revocationList{f, raw, c})
	}
	r.seen, r.crls = seen, crls
	return nil
}

// Evidence implements [opening.Revocation]: for each certificate below the root, every CRL of its issuer's name that is
// current at the time.
func (r *Revocation) Evidence(chain []*cert.Certificate, at time.Time) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reload(); err != nil {
		r.warn("revocation lists: %v; those read before serve until they run out", err)
	}
	var out [][]byte
	for _, l := range r.crls {
		next, has := l.crl.NextUpdate()
		if at.Add(5*time.Second).Before(l.crl.ThisUpdate()) || has && at.After(next) {
			continue
		}
		for _, c := range chain[:max(0, len(chain)-1)] {
			if c.Issuer() == l.crl.Issuer() {
				out = append(out, l.raw)
				break
			}
		}
	}
	return out
}

// all returns every list there is.
func (r *Revocation) all() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out [][]byte
	for _, l := range r.crls {
		out = append(out, l.raw)
	}
	return out
}
