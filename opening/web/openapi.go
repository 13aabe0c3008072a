package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"kaibiao/opening"
)

// rawCall is a call that huma does not serve: bytes, uploads, and bodies that may hold a secret. It stands in the
// OpenAPI description all the same.
type rawCall struct {
	method, path string
	pattern      string // of the mux, if it is not path
	id, summary  string
	body         any    // JSON, or nil
	takes        string // content type of a body of bytes
	status       int    // of success; 0: 200
	gives        string // content type of success; "" none
	signed       string // who signs the request, "" nobody
	params       []*huma.Param
	handler      handler
}

func (s *site) rawCalls() []rawCall {
	const lot = "/api/lots/{anchor}"
	form := &huma.Param{Name: "form", In: "query", Description: "1 (as soon as it is durable) or 2 (cosigned by w custodians)",
		Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"1", "2"}, Default: "1"}}
	list := []rawCall{
		{method: "GET", path: "/healthz", id: "health", summary: "Whether the server answers", gives: textType, handler: s.health},
		{method: "GET", path: "/openapi.json", id: "openapi", summary: "This description", gives: "application/json", handler: s.openapi},
		{method: "GET", path: lot + "/params", id: "params", summary: "The Params, DER; their hash is the anchor", gives: bytesType, handler: s.ofLot(s.params)},
		{method: "GET", path: lot + "/trust", id: "trust", summary: "The trust file that the Params name, DER", gives: bytesType, handler: s.ofLot(s.trust)},
		{method: "GET", path: lot + "/checkpoint", id: "checkpoint", summary: "The newest checkpoint for everybody that enough custodians have cosigned, before there is one the newest; a signed note", gives: textType, handler: s.ofLot(s.checkpoint)},
		{method: "GET", path: lot + "/receipts/{body}", id: "receipt", summary: "The receipt for the entry whose body has this SM3", gives: textType,
			params: []*huma.Param{form}, handler: s.ofLot(s.receipt)},
		{method: "GET", path: lot + "/record.json", id: "recordJSON", summary: "The opening record as JSON, once all forms are opened", gives: "application/json", handler: s.ofLot(s.recordJSON)},
		{method: "GET", path: lot + "/bundle", id: "bundle", summary: "The public bundle, from OPEN on", gives: tarType, handler: s.ofLot(s.publicBundle)},
		{method: "GET", path: lot + "/pack", id: "pack", summary: "The closing pack, from CLOSE on", gives: tarType, signed: "a custodian's witness key", handler: s.ofLot(s.closingPack)},
		{method: "GET", path: lot + "/auditor", id: "auditor", summary: "The auditor's bundle, from RECORD on", gives: tarType, signed: "agency, tenderer or supervisor", handler: s.ofLot(s.auditorBundle)},
		{method: "GET", path: lot + "/tickets/{bid}", id: "ticket", summary: "The ticket that a bidder left with a bid", gives: bytesType, signed: "a certificate of the bidder's firm", handler: s.ofLot(s.ticket)},
		{method: "POST", path: lot + "/records", id: "submit", summary: "Put a submission on record; the answer is its receipt, form 1. Its time is that of its last byte",
			body: opening.SubmitRequest{}, status: http.StatusCreated, gives: textType, handler: s.ofLot(s.submit)},
		{method: "POST", path: lot + "/mailbox", id: "mailbox", summary: "Pass on what a custodian took for the server", body: opening.MailboxItem{},
			status: http.StatusNoContent, handler: s.ofLot(s.mailbox)},
		{method: "PUT", path: lot + "/record/{name}", id: "putRecordFile", summary: "Hand in a file for the opening record, before RECORD", takes: bytesType,
			status: http.StatusNoContent, signed: "the agency", handler: s.ofLot(s.putRecordFile)},
		{method: "GET", path: "/api/drafts/{id}/trust", id: "draftTrust", summary: "The trust file that a draft's Terms have to name", gives: bytesType, handler: s.draftTrust},
	}
	return append(list, s.uploadCalls(lot+"/uploads/")...)
}

func (s *site) uploadCalls(path string) []rawCall {
	one := path + "{upload}"
	version := headerParam("Tus-Resumable", "1.0.0")
	offset := headerParam("Upload-Offset", "Where the bytes belong")
	return []rawCall{
		{method: "OPTIONS", path: path, pattern: path + "{$}", id: "uploadOptions", summary: "What the upload server can (tus 1.0)", status: http.StatusNoContent,
			handler: s.ofLot(s.uploadOptions)},
		{method: "OPTIONS", path: one, id: "uploadOptionsOne", summary: "The same", status: http.StatusNoContent, handler: s.ofLot(s.uploadOptions)},
		{method: "POST", path: path, pattern: path + "{$}", id: "createUpload", summary: "Begin the upload of a sealed section (tus creation); Location is its address",
			status: http.StatusCreated, params: []*huma.Param{version, headerParam("Upload-Length", "Bytes of the section"),
				headerParam("Upload-Metadata", "The key root with the base64 of the section's root in hex")}, handler: s.ofLot(s.tus(s.createUpload))},
		{method: "HEAD", path: one, id: "uploadOffset", summary: "How many bytes are durable", params: []*huma.Param{version}, handler: s.ofLot(s.tus(s.headUpload))},
		{method: "PATCH", path: one, id: "patchUpload", summary: "Add bytes; with the last one the section is whole", takes: patchType, status: http.StatusNoContent,
			params: []*huma.Param{version, offset}, handler: s.ofLot(s.tus(drained(s.patchUpload)))},
		{method: "DELETE", path: one, id: "deleteUpload", summary: "Give an upload up (tus termination)", status: http.StatusNoContent,
			params: []*huma.Param{version}, handler: s.ofLot(s.tus(s.deleteUpload))},
	}
}

func headerParam(name, description string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Required: true, Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
}

// routes registers every call and makes the description.
func (s *site) routes() error {
	config := huma.DefaultConfig("开标 kaibiao", "1")
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // no $schema members and links
	config.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	config.Transformers = []huma.Transformer{ourProblems}
	if s.parts.Base != "" {
		config.Servers = []*huma.Server{{URL: s.parts.Base}}
	}
	api := humago.New(s.mux, config)
	spec := api.OpenAPI()
	schemas := spec.Components.Schemas
	schemas.Schema(reflect.TypeFor[opening.Problem](), true, "Problem")
	s.jsonCalls(api)
	for _, c := range s.rawCalls() {
		spec.AddOperation(c.describe(schemas))
		pattern := c.pattern
		if pattern == "" {
			pattern = c.path
		}
		s.mux.HandleFunc(c.method+" "+pattern, s.serve(c.handler))
	}
	delete(schemas.Map(), "ErrorModel")
	delete(schemas.Map(), "ErrorDetail")
	var err error
	if s.spec, err = json.Marshal(spec); err != nil {
		return fmt.Errorf("describing the HTTP interface: %w", err)
	}
	return nil
}

func problemResponse() *huma.Response {
	return &huma.Response{Description: "A problem (RFC 9457): code, what happened and what to do",
		Content: map[string]*huma.MediaType{problemType: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}}}
}

// describe makes the OpenAPI operation.
func (c *rawCall) describe(schemas huma.Registry) *huma.Operation {
	op := &huma.Operation{OperationID: c.id, Method: c.method, Path: c.path, Summary: c.summary, Parameters: c.params,
		Responses: map[string]*huma.Response{"default": problemResponse()}}
	for rest := c.path; ; {
		name, after, ok := nextParam(rest)
		if !ok {
			break
		}
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
		rest = after
	}
	if c.signed != "" {
		op.Parameters = append(op.Parameters, &huma.Param{Name: opening.RequestHeader, In: "header", Required: true, Schema: &huma.Schema{Type: huma.TypeString},
			Description: "base64 of DER {request, signature}, signed by " + c.signed + "; accepted for 60 s and once"})
	}
	switch {
	case c.body != nil:
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: schemas.Schema(reflect.TypeOf(c.body), true, c.id)}}}
	case c.takes != "":
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{c.takes: {Schema: binary()}}}
	}
	status := c.status
	if status == 0 {
		status = http.StatusOK
	}
	ok := &huma.Response{Description: http.StatusText(status)}
	if c.gives != "" {
		ok.Content = map[string]*huma.MediaType{c.gives: {Schema: binary()}}
	}
	op.Responses[fmt.Sprint(status)] = ok
	return op
}

func binary() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "binary"} }

// nextParam cuts the next {name} out of a path.
func nextParam(path string) (name, rest string, ok bool) {
	_, path, ok = strings.Cut(path, "{")
	if !ok {
		return "", "", false
	}
	return strings.Cut(path, "}")
}
