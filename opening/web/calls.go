package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"kaibiao/opening"
)

// maxEvents is how many bytes of entries one answer carries; the caller asks on from the next number.
const maxEvents = 8 << 20

type (
	noInput  struct{}
	lotInput struct {
		Anchor string `path:"anchor" doc:"Anchor of the lot: the hash of its Params, 64 hex digits, as printed in the notice"`
	}
	eventsInput struct {
		Anchor string `path:"anchor" doc:"Anchor of the lot"`
		From   uint64 `query:"from" doc:"Number of the first entry wanted"`
	}
	draftInput struct {
		ID string `path:"id" doc:"Random id of the draft" maxLength:"64"`
	}
	newDraftInput struct {
		Body opening.DraftRequest
	}
	termsInput struct {
		ID   string `path:"id" doc:"Random id of the draft" maxLength:"64"`
		Body opening.DraftTerms
	}
	answerInput struct {
		ID   string `path:"id" doc:"Random id of the draft" maxLength:"64"`
		J    int    `path:"j" doc:"Number of the custodian, from 1" minimum:"1" maximum:"15"`
		Body opening.DraftAnswer
	}
	output[T any] struct{ Body T }
)

// jsonCalls registers the calls that take and give JSON.
func (s *site) jsonCalls(api huma.API) {
	call(s, api, get("lots", "/api/lots", "All lots of this server"), s.lots)
	call(s, api, get("lot", "/api/lots/{anchor}", "What anybody may know of a lot now"), s.lot)
	call(s, api, get("events", "/api/lots/{anchor}/events", "The public entries of the log from a number on; none if there are no more yet, and perhaps not all at once"), s.events)
	op := operation(http.MethodPost, "newDraft", "/api/drafts", "Begin a lot with the operator's one-time code", maxSmall)
	op.DefaultStatus = http.StatusCreated
	op.Middlewares = append(op.Middlewares, s.fewDrafts)
	call(s, api, op, s.newDraft)
	call(s, api, get("draft", "/api/drafts/{id}", "A lot on its way to its Params"), s.draft)
	call(s, api, operation(http.MethodPut, "setTerms", "/api/drafts/{id}/terms", "Hand in the agency's signed Terms", maxDraft), s.setTerms)
	call(s, api, operation(http.MethodPost, "answerDraft", "/api/drafts/{id}/custodians/{j}", "Hand in a custodian's keys", maxSmall), s.answerDraft)
}

func get(id, path, summary string) huma.Operation {
	return operation(http.MethodGet, id, path, summary, 0)
}

func operation(method, id, path, summary string, maxBody int64) huma.Operation {
	op := huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, MaxBodyBytes: maxBody, BodyReadTimeout: patience,
		Responses: map[string]*huma.Response{"default": problemResponse()}}
	op.Middlewares = huma.Middlewares{fixStatus}
	return op
}

// call registers an operation. Its errors become problems.
func call[I, O any](s *site, api huma.API, op huma.Operation, f func(context.Context, *I) (O, error)) {
	huma.Register(api, op, func(ctx context.Context, in *I) (*output[O], error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, s.answer(err)
		}
		return &output[O]{out}, nil
	})
}

// answering is a huma context whose status the transformer may still change: huma answers 422 where we say 400.
type answering struct {
	inner
	status int
}

type inner = huma.Context // embedded under a name that leaves the method Context free

// Unwrap lets huma's adapter find its own context.
func (c *answering) Unwrap() huma.Context { return c.inner }

// SetStatus implements [huma.Context].
func (c *answering) SetStatus(status int) {
	if c.status != 0 {
		status = c.status
	}
	c.inner.SetStatus(status)
}

func fixStatus(ctx huma.Context, next func(huma.Context)) { next(&answering{inner: ctx}) }

// ourProblems puts our problems in the place of huma's.
func ourProblems(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := fromModel(m)
	if a, ok := ctx.(*answering); ok {
		a.status = p.Status
	}
	return p, nil
}

// fewDrafts keeps strangers from trying codes.
func (s *site) fewDrafts(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if !s.quota.drafts.take(s.who(r), 1, s.parts.Clock()) {
		tooMany(5e9).write(w)
		return
	}
	next(ctx)
}

func (s *site) lots(context.Context, *noInput) ([]opening.LotSummary, error) {
	out := []opening.LotSummary{}
	now := s.now()
	for _, r := range s.parts.Lots.Rooms() {
		r.Read(func(st *opening.State) {
			out = append(out, opening.Summary(r.Params(), st.StageAt(now), st.Close, st.Open))
		})
	}
	return out, nil
}

func (s *site) lot(_ context.Context, in *lotInput) (*opening.LotState, error) {
	room, err := s.room(in.Anchor)
	if err != nil {
		return nil, err
	}
	p := room.Public()
	return p.StateJSON(room.Params()), nil
}

func (s *site) events(_ context.Context, in *eventsInput) ([]opening.LotEvent, error) {
	room, err := s.room(in.Anchor)
	if err != nil {
		return nil, err
	}
	out := []opening.LotEvent{}
	events, _ := room.Events(in.From)
	size := 0
	for _, e := range events {
		if size += len(e.Record.Raw); size > maxEvents && len(out) > 0 {
			break
		}
		r := e.Record
		out = append(out, opening.LotEvent{Seq: e.Seq, Kind: r.Kind.String(), Time: r.Time, Tick: r.Tick, Slot: r.Slot, Entry: r.Raw})
	}
	return out, nil
}

func (s *site) newDraft(ctx context.Context, in *newDraftInput) (*opening.LotDraft, error) {
	return s.parts.Drafts.New(ctx, in.Body.Code)
}

func (s *site) draft(ctx context.Context, in *draftInput) (*opening.LotDraft, error) {
	return s.parts.Drafts.Draft(ctx, in.ID)
}

func (s *site) setTerms(ctx context.Context, in *termsInput) (*opening.LotDraft, error) {
	return s.parts.Drafts.SetTerms(ctx, in.ID, in.Body)
}

func (s *site) answerDraft(ctx context.Context, in *answerInput) (*opening.LotDraft, error) {
	return s.parts.Drafts.Answer(ctx, in.ID, in.J, in.Body)
}
