package journal_test

import (
	"context"
	"path/filepath"
	"testing"

	"kaibiao/crypto/sm"
	"kaibiao/timestamp/journal"
	"kaibiao/timestamp/journal/journaltest"
)

type engine struct{ *journal.Store }

func (e engine) Create(ctx context.Context, lot sm.Hash, first journal.Batch) (journaltest.Lot, error) {
	return e.Store.Create(ctx, lot, first)
}

func (e engine) Lot(name sm.Hash) (journaltest.Lot, error) { return e.Store.Lot(name) }

func TestTheSuite(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, func(dir string) (journaltest.Store, error) {
		s, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{})
		return engine{s}, err
	})
}
