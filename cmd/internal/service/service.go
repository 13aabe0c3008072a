// Package service is what every program that serves needs: a lifetime around a journal, an HTTP listener that ends
// gracefully, files replaced durably, and a journal's items in pages.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kaibiao/timestamp/journal"
)

// Run runs a program on its journal until ctx ends or a part fails, and returns why it failed. start begins the parts:
// each is given to part and lives until its context ends. All of them end before the journal's committer does, so that
// what they still write is written.
func Run(ctx context.Context, store *journal.Store, start func(ctx context.Context, part func(func(context.Context) error)) error) error {
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

// Serve answers on a listener until ctx ends; connections get five seconds to finish.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if srv.Shutdown(end) != nil {
			srv.Close()
		}
	})
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	<-done
	return nil
}

// WriteFile replaces a file at once and durably.
func WriteFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// page is how many items are read at a time: the journal's transactions stay short.
const page = 512

// EachItem calls use for every item of a kind, in order of key.
func EachItem(lot *journal.Lot, kind string, use func(journal.Item)) error {
	var after []byte
	for {
		list, err := lot.Items(kind, after, page)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return nil
		}
		for _, it := range list {
			use(it)
		}
		last := list[len(list)-1].Key
		if len(last) == 0 && len(list) < page {
			return nil
		}
		after = last
	}
}
