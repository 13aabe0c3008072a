package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Limits of one transaction: a group ends after the batch that reaches one of them.
const (
	groupOps   = 4096
	groupBytes = MaxBatch
)

// An op is one change that waits for the committer.
type op struct {
	// check looks at the state, earlier ops of the same transaction included, and changes nothing. It returns what
	// writes (nil: nothing to write), or why not. Called by Run's goroutine only.
	check func(*txn) (write func() error, err error)
	then  func() // after the commit, if not nil
	size  int    // bytes to write
	done  chan error
}

// Run commits what [Lot.Append], [Lot.Lead] and [Store.Create] bring, until ctx ends (it returns nil, and what still
// waits gets [ErrClosed]) or a commit fails ([ErrBroken] with the cause). It may be called once.
func (s *Store) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.state != stateOpen {
		s.mu.Unlock()
		return errors.New("the journal's Run was called before, or after Close")
	}
	s.state = stateRunning
	s.mu.Unlock()
	defer s.end()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		for group := s.take(); len(group) > 0; group = s.take() {
			err := s.commitGroup(group)
			if ctx.Err() != nil && err == nil || errors.Is(err, ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		if s.isClosed() {
			return nil
		}
	}
}

// end refuses everything from now on.
func (s *Store) end() {
	s.mu.Lock()
	if s.state == stateRunning {
		s.state = stateEnded
	}
	waiting, err := s.takeAll(), s.refusal()
	s.mu.Unlock()
	finish(waiting, err)
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateClosed
}

// refusal says why nothing is written any more; s.mu is held.
func (s *Store) refusal() error {
	switch {
	case s.broken != nil:
		return s.broken
	case s.state == stateEnded || s.state == stateClosed:
		return ErrClosed
	}
	return nil
}

// do hands o to the committer and waits for it.
func (s *Store) do(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.done = make(chan error, 1)
	s.mu.Lock()
	if err := s.refusal(); err != nil {
		s.mu.Unlock()
		return err
	}
	s.queue = append(s.queue, o)
	s.mu.Unlock()
	s.poke()
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		if s.withdraw(o) {
			return ctx.Err()
		}
		return <-o.done
	}
}

func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// withdraw takes o out of the queue; false if the committer has it.
func (s *Store) withdraw(o *op) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, o)
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	return true
}

// take returns the next group, in order of arrival.
func (s *Store) take() []*op {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, 0
	for n < len(s.queue) && n < groupOps && size < groupBytes {
		size += s.queue[n].size
		n++
	}
	group := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	return group
}

// takeAll empties the queue; s.mu is held.
func (s *Store) takeAll() []*op {
	all := s.queue
	s.queue = nil
	return all
}

func finish(ops []*op, err error) {
	for _, o := range ops {
		o.done <- err
	}
}

// commitGroup writes a group in one transaction and answers each op. An error is ErrBroken, or ErrClosed.
func (s *Store) commitGroup(group []*op) error {
	refused := make([]error, len(group))
	err := guard(func() error { return s.transact(group, refused) })
	switch {
	case errors.Is(err, berrors.ErrDatabaseNotOpen): // closed since the group was taken
		err = ErrClosed
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrBroken, err)
		s.mu.Lock()
		s.broken = err
		s.mu.Unlock()
	}
	for i, o := range group {
		switch {
		case refused[i] != nil:
			o.done <- refused[i]
		case err != nil:
			o.done <- err
		default:
			if o.then != nil {
				o.then()
			}
			o.done <- nil
		}
	}
	return err
}

// transact fills refused with the reasons of the ops that wrote nothing.
func (s *Store) transact(group []*op, refused []error) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	defer rollback(tx)
	t, dirty := &txn{tx}, false
	for i, o := range group {
		write, err := o.check(t)
		if err != nil {
			refused[i] = err
			continue
		}
		if write == nil {
			continue
		}
		if err := write(); err != nil {
			return err
		}
		dirty = true
	}
	if !dirty {
		return nil
	}
	return s.commit(tx)
}

// rollback gives up what was not committed; after a commit it does nothing.
func rollback(tx *bbolt.Tx) {
	_ = tx.Rollback() // the only error is that the transaction has ended
}
