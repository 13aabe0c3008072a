package server

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"kaibiao/timestamp/journal"
)

// live runs a program on its journal until ctx ends or a part fails, and returns why it failed. start begins the parts:
// each is given to part and lives until its context ends. All of them end before the journal's committer does, so that
// what they still write is written.
func live(ctx context.Context, store *journal.Store, start func(ctx context.Context, part func(func(context.Context) error)) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	committing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var committer, parts sync.WaitGroup
	committer.Go(func() {
		if err := store.Run(committing); err != nil && committing.Err() == nil {
			cancel(fmt.Errorf("the journal: %w", err))
		}
	})
	defer committer.Wait()
	defer stop()
	defer parts.Wait()
	err := start(ctx, func(f func(context.Context) error) {
		parts.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	})
	if err != nil {
		cancel(err)
		return err
	}
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
