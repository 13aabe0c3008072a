package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/blob"
	"kaibiao/opening/web"
)

// takeSection keeps a section 0 that a custodian gives back, if it belongs to a bid of the lot.
func (s *Server) takeSection(ctx context.Context, r *opening.Room, b []byte) error {
	th := sm.NewTreeHash()
	th.Write(b)
	root := th.Root()
	known := false
	r.Read(func(st *opening.State) {
		for _, bid := range st.Bids {
			known = known || bid.Header.Sections[0].Root == root
		}
	})
	if !known {
		return &opening.Refusal{Code: opening.CodeUnknownBid, Detail: "these bytes are section 0 of no bid of the lot"}
	}
	if has, err := s.blobs.Has(root); err != nil || has {
		return err
	}
	return putBlob(ctx, s.blobs, root, b)
}

func putBlob(ctx context.Context, store *blob.Store, root sm.Hash, b []byte) error {
	var id [16]byte
	randomBytes(id[:])
	u, err := store.Upload(hex.EncodeToString(id[:]), int64(len(b)))
	if err != nil {
		return err
	}
	if _, err := u.Append(ctx, 0, bytes.NewReader(b)); err != nil {
		return err
	}
	return u.Finish(root)
}

// uploads makes a blob store the [web.Uploads] of the HTTP interface.
type uploads struct{ store *blob.Store }

// Upload implements [web.Uploads].
func (u uploads) Upload(id string, length int64) (web.Upload, error) {
	return u.store.Upload(id, length)
}

// Resume implements [web.Uploads].
func (u uploads) Resume(id string) (web.Upload, error) { return u.store.Resume(id) }

// Size implements [web.Uploads].
func (u uploads) Size(root sm.Hash) (int64, error) {
	b, err := u.store.Get(root)
	if err != nil {
		return 0, err
	}
	return b.Size(), nil
}

// uploadFaults are the errors of the store as the HTTP interface names them.
var uploadFaults = []struct{ blob, web error }{
	{blob.ErrNotFound, web.ErrUploadUnknown}, {blob.ErrOffset, web.ErrUploadOffset}, {blob.ErrBusy, web.ErrUploadBusy},
	{blob.ErrRoot, web.ErrUploadRoot}, {blob.ErrFull, web.ErrUploadFull},
}

func uploadFault(err error) error {
	for _, f := range uploadFaults {
		if errors.Is(err, f.blob) {
			return f.web
		}
	}
	return err
}
