package opening

import (
	"fmt"
	"maps"

	"kaibiao/crypto/seal"
)

// readHalves reads the member once.
func (v *verification) readHalves() map[BidID]seal.FileHalf {
	if v.halves != nil {
		return v.halves
	}
	v.halves = map[BidID]seal.FileHalf{}
	raw, err := v.bundle.Bytes(memberHalves, MaxBidders*128)
	if err != nil {
		v.fail(29, memberHalves, "%v", err)
		return v.halves
	}
	list, err := ParseHalves(raw)
	if err != nil {
		v.fail(29, memberHalves, "%v", err)
	}
	for _, h := range list {
		if _, twice := v.halves[h.Bid]; twice {
			v.fail(29, memberHalves, "bid %s is named twice", h.Bid)
		}
		v.halves[h.Bid] = h.Half
	}
	return v.halves
}

func (v *verification) checkHalves() {
	halves := maps.Clone(v.readHalves())
	for _, b := range v.confirmedBids() {
		v.count(29)
		place := "bid " + b.ID.String()
		h, ok := halves[b.ID]
		delete(halves, b.ID)
		if !ok {
			v.missing(29, place, "its file half is not in the bundle")
		} else if err := b.Header.CheckFileHalf(h); err != nil {
			v.fail(29, place, "%v", err)
		}
	}
	for id := range halves {
		v.fail(29, "bid "+id.String(), "the halves are of confirmed bids only")
	}
}

func (v *verification) checkFiles() {
	for _, b := range v.confirmedBids() {
		for s := 1; s < len(b.Header.Sections); s++ {
			v.count(30)
			v.checkFile(b, s)
		}
	}
}

func (v *verification) checkFile(b *Bid, s int) {
	place := fmt.Sprintf("bid %s, section %d", b.ID, s)
	src := v.bundle.Section(b.ID, s)
	if src == nil {
		v.missing(30, place, "it is not in the bundle")
		return
	}
	if !v.checkRoot(30, place, b.Header.Sections[s], src) || !v.opened() {
		return
	}
	var half *seal.FileHalf
	if h, ok := v.readHalves()[b.ID]; ok {
		half = &h
	}
	got := v.state.JudgeFile(b, s, v.judge(b), half, src)
	if got != FileOK {
		v.notice(30, place, "%s", got)
	}
	switch {
	case len(b.Files) < s || b.Files[s-1] == got:
	case b.Files[s-1] == FileSystemFault:
		v.notice(30, place, "the log publishes it as lost; it was found again")
	default:
		v.fail(30, place, "the log publishes %q, recomputed is %q", b.Files[s-1], got)
	}
}
