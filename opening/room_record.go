package opening

import (
	"context"
	"slices"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
)

// MaxRecordFile bounds a file of the opening record, bytes.
const MaxRecordFile = 64 << 20

// AddRecordFile keeps a file for the opening record, durably, before RECORD names it.
func (r *Room) AddRecordFile(ctx context.Context, f NamedFile) error {
	if err := CheckRecordName(f.Name); err != nil {
		return refuse(CodeMalformed, 27, "%v", err)
	}
	if len(f.Data) > MaxRecordFile {
		return refuse(CodeOversize, 27, "a file of %d bytes, at most %d are taken", len(f.Data), MaxRecordFile)
	}
	r.side.Lock()
	defer r.side.Unlock()
	r.mu.RLock()
	recorded := r.state.Record != nil
	r.mu.RUnlock()
	if recorded {
		return refuse(CodeStage, 28, "the lot is recorded")
	}
	if err := r.append(ctx, Batch{Items: []Item{{ItemRecord, []byte(f.Name), f.Data}}}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record = slices.DeleteFunc(r.record, func(o NamedFile) bool { return o.Name == f.Name })
	r.record = append(r.record, f)
	return nil
}

// recordFits makes sure that a RECORD names record.json as it is now, and nothing that is not kept here: else no bundle of
// the lot could ever be valid. r.mu is held.
func (r *Room) recordFits(b *RecordBody) error {
	want := r.recordJSON()
	if want == nil {
		return refuse(CodeEarly, 27, "record.json is made when all forms are opened")
	}
	named := false
	for _, f := range b.Files {
		if f.Name == recordJSON {
			if named = true; f.Digest != sm.Sum(want) {
				return refuse(CodeRule, 27, "%s is another by now: fetch it again and sign RECORD anew", recordJSON)
			}
		}
		if !slices.ContainsFunc(r.record, func(h NamedFile) bool { return h.Name == f.Name && sm.Sum(h.Data) == f.Digest }) {
			return refuse(CodeIncomplete, 27, "the file %q is not kept here with this digest: send it first", f.Name)
		}
	}
	if !named {
		return refuse(CodeRule, 27, "RECORD names no %s", recordJSON)
	}
	return nil
}

// recordFiles returns the files that RECORD names; none before it. r.mu is held.
func (r *Room) recordFiles() []NamedFile {
	var out []NamedFile
	if r.state.Record == nil {
		return nil
	}
	for _, f := range r.state.Record.Files {
		for _, h := range r.record {
			if h.Name == f.Name {
				out = append(out, h)
			}
		}
	}
	return out
}

// RecordJSON returns record.json of the lot as it stands: nil before all forms are opened and known.
func (r *Room) RecordJSON() []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.failed != nil {
		return nil
	}
	return r.recordJSON()
}

// recordJSON is RecordJSON; r.mu is held.
func (r *Room) recordJSON() []byte {
	s := r.state
	known := s.AllOpened() && len(r.forms) > 0
	if s.Stage != Aborted && s.Stage != Frozen && !s.RecordFailed && !known {
		return nil
	}
	forms := map[BidID]*seal.Form{}
	for id, f := range r.forms {
		forms[id] = f.Form
	}
	return MakeRecordJSON(s, forms)
}
