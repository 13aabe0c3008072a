package ws

import (
	"encoding/hex"
	"strconv"

	"kaibiao/crypto/seal"
	"kaibiao/opening"
	"kaibiao/ws/page"
)

// table fills the one table, a row per bid in the order of submission.
func (v *view) table() {
	w := v.w
	t := &page.Table{Title: w.Roll, Order: w.Order, Prices: v.public.AllOpened}
	if t.Prices {
		t.Title = w.Prices
		t.PriceHead = v.priceHead()
		t.Compared = v.public.Limits != nil && v.public.Limits.Ceiling != ""
		if len(v.terms.Schema) > 1 {
			t.FieldsHead = w.Others
		}
	} else {
		t.Sum = w.Price + v.pick(bilingual{"：", ": "}) + w.PriceWait
	}
	for i := range v.public.Bids {
		t.Rows = append(t.Rows, v.row(i, t))
	}
	v.out.Table = t
}

func (v *view) row(i int, t *page.Table) page.Row {
	b := &v.public.Bids[i]
	row := page.Row{No: i + 1, ID: hex.EncodeToString(b.Bid.ID[:]), Name: b.Bid.Certificate.Name(), USCI: b.Bid.USCI,
		Delivered: exact(b.Bid.Time, v.now), Void: !b.Bid.Standing() || b.Bid.Opened && b.Bid.Verdict != opening.VerdictValid}
	row.Checkin = page.State{Class: "todo", Text: v.w.NotIn}
	if n := len(b.Bid.Checkins); n > 0 {
		row.Checkin = page.State{Class: "done", Text: v.w.CheckedIn, Sub: moment(b.Bid.Checkins[0].Time, v.now).Text}
	}
	row.Confirm = v.confirmState(b)
	row.Status = v.status(b)
	if b.Progress.Step == opening.StepFiles && b.Progress.Total > 0 {
		row.Done, row.Max = b.Progress.Done, b.Progress.Total
	}
	if t.Prices {
		v.form(b.Form, &row, t)
	}
	return row
}

func (v *view) confirmState(b *opening.PublicBid) page.State {
	switch {
	case !b.Bid.Standing():
		return page.State{Class: "void", Text: "—"}
	case b.Bid.Confirmed:
		return page.State{Class: "done", Text: v.w.Confirmed, Sub: moment(b.Bid.ConfirmTime, v.now).Text}
	case b.Frozen || v.public.Now >= v.public.WindowEnd:
		return page.State{Class: "void", Text: v.w.Unconfirmed}
	}
	return page.State{Class: "todo", Text: v.w.ToConfirm}
}

// status is the one word about a bid: the finding of people before the verdict, the verdict before the progress.
func (v *view) status(b *opening.PublicBid) page.State {
	w := v.w
	switch {
	case b.Bid.Withdrawn:
		return page.State{Class: "void", Text: w.Withdrawn}
	case b.Bid.Replaced:
		return page.State{Class: "void", Text: w.Replaced}
	}
	out := v.progress(b)
	if b.Bid.Opened && (b.Bid.Verdict != opening.VerdictValid || out.Class == "todo") {
		out = v.verdict(b.Bid.Verdict)
	}
	if f := v.public.Findings[hex.EncodeToString(b.Bid.ID[:])]; f != nil {
		out.Sub = v.pick(findingText(f))
	}
	return out
}

func (v *view) verdict(verdict opening.FormVerdict) page.State {
	text := v.pick(bilingual{verdict.Text(), verdictEN(verdict)})
	switch verdict {
	case opening.VerdictValid:
		return page.State{Class: "done", Text: text}
	case opening.VerdictPending:
		return page.State{Class: "todo", Text: text}
	case opening.VerdictReplaced, opening.VerdictWithdrawn, opening.VerdictReturned, opening.VerdictBidderUnconfirmed:
		return page.State{Class: "void", Text: text}
	}
	return page.State{Class: "bad", Text: text}
}

// progress is where a bid stands on its way.
func (v *view) progress(b *opening.PublicBid) page.State {
	w, p := v.w, b.Progress
	switch p.Step {
	case opening.StepQueued:
		return page.State{Class: "todo", Text: w.Queued}
	case opening.StepUnlock:
		return page.State{Class: "run", Text: w.Unlocking}
	case opening.StepForm:
		return page.State{Class: "run", Text: w.Checking}
	case opening.StepDone:
		return page.State{Class: "done", Text: w.FormOpen}
	case opening.StepFiles:
		out := page.State{Class: "run", Text: w.Unlocking}
		if p.Total > 0 {
			out.Text = page.Fill(w.Decrypting, "p", strconv.FormatInt(p.Done*100/p.Total, 10))
			out.Sub = page.Fill(w.FilesProgress, "done", bytesText(p.Done), "total", bytesText(p.Total))
		}
		return out
	case opening.StepFiled:
		return page.State{Class: "done", Text: w.FormOpen, Sub: w.FilesDone}
	}
	switch {
	case b.Frozen && b.Status == opening.FrozenConfirmed:
		return page.State{Class: "todo", Text: w.KeyWaiting}
	case b.Frozen && b.Status == opening.FrozenExcluded:
		return v.verdict(opening.VerdictReturned)
	case b.Frozen && b.Status == opening.FrozenLost:
		return v.verdict(opening.VerdictSystemFault)
	}
	return page.State{Class: "todo", Text: w.Sealing}
}

// priceField is the field of the schema that is the price: the first number. -1 if there is none.
func (v *view) priceField() int {
	for i, f := range v.terms.Schema {
		if f.Type == seal.Number {
			return i
		}
	}
	return -1
}

func (v *view) priceUnit() string {
	if i := v.priceField(); i >= 0 {
		return v.terms.Schema[i].Unit
	}
	return ""
}

func (v *view) priceHead() string {
	i := v.priceField()
	if i < 0 {
		return v.w.Price
	}
	f := v.terms.Schema[i]
	if f.Unit == "" {
		return f.Name
	}
	return f.Name + v.pick(bilingual{"（" + f.Unit + "）", " (" + f.Unit + ")"})
}

// form fills the cells that show once all forms are opened. Form is nil for a bid that is not valid.
func (v *view) form(f *seal.Form, row *page.Row, t *page.Table) {
	if f == nil {
		return
	}
	price := v.priceField()
	for i, field := range f.Fields {
		spec := v.terms.Schema[i]
		if i == price && field.Value != "" {
			row.Price = &page.Amount{Digits: grouped(field.Value), Unit: spec.Unit}
			if spec.Unit == "元" {
				row.Price.Words = opening.Capitals(field.Value)
			}
			if t.Compared {
				row.Compare = v.compare(field.Value)
			}
			continue
		}
		if field.Value != "" {
			row.Fields = append(row.Fields, page.Fact{Name: spec.Name, Text: field.Value + v.unit(spec.Unit)})
		}
	}
}

func (v *view) unit(u string) string {
	if u == "" {
		return ""
	}
	return " " + u
}

func (v *view) compare(price string) *page.State {
	percent, sign, ok := against(price, v.public.Limits.Ceiling)
	switch {
	case !ok:
		return nil
	case sign > 0:
		return &page.State{Class: "warn", Text: page.Fill(v.w.Above, "p", percent)}
	case sign == 0:
		return &page.State{Class: "done", Text: v.w.Same}
	}
	return &page.State{Class: "done", Text: page.Fill(v.w.Below, "p", percent)}
}
