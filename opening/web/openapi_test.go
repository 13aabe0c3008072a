package web_test

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"kaibiao/opening"
)

func TestOpenAPIDescribesEveryCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		resp, _ := h.do("GET", "/openapi.json", nil)
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			OpenAPI string
			Paths   map[string]map[string]struct {
				OperationID string
				Parameters  []struct {
					Name, In string
				}
				Responses map[string]struct{ Content map[string]any }
			}
			Components struct{ Schemas map[string]any }
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(doc.OpenAPI, "3.1") {
			t.Errorf("OpenAPI %s", doc.OpenAPI)
		}
		var got []string
		ids := map[string]bool{}
		for path, ops := range doc.Paths {
			for method, op := range ops {
				got = append(got, strings.ToUpper(method)+" "+path)
				if op.OperationID == "" || ids[op.OperationID] {
					t.Errorf("%s %s: operation id %q", method, path, op.OperationID)
				}
				ids[op.OperationID] = true
				if _, ok := op.Responses["default"].Content["application/problem+json"]; !ok || len(op.Responses) < 2 {
					t.Errorf("%s %s: responses %v", method, path, op.Responses)
				}
				for rest := path; strings.Contains(rest, "{"); {
					_, rest, _ = strings.Cut(rest, "{")
					name, _, _ := strings.Cut(rest, "}")
					if !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.Name == name && p.In == "path" }) {
						t.Errorf("%s %s: no parameter %s", method, path, name)
					}
				}
				real := strings.NewReplacer("{anchor}", opening.Hex(h.anchor()).String(), "{body}", strings.Repeat("0", 64), "{bid}", strings.Repeat("0", 64),
					"{name}", "x", "{id}", "d1", "{j}", "1", "{upload}", strings.Repeat("0", 96)).Replace(path)
				if _, p := h.do(strings.ToUpper(method), real, nil); p != nil && (p.Code == "not-found" || p.Code == "method-not-allowed") {
					t.Errorf("%s %s is described and not served", method, path)
				}
			}
		}
		slices.Sort(got)
		const lot = " /api/lots/{anchor}"
		for _, call := range []string{"GET /healthz", "GET /openapi.json", "GET /api/lots", "GET" + lot, "GET" + lot + "/params", "GET" + lot + "/trust",
			"GET" + lot + "/checkpoint", "GET" + lot + "/events", "GET" + lot + "/bundle", "GET" + lot + "/receipts/{body}", "POST" + lot + "/records",
			"OPTIONS" + lot + "/uploads/", "POST" + lot + "/uploads/", "HEAD" + lot + "/uploads/{upload}", "PATCH" + lot + "/uploads/{upload}",
			"DELETE" + lot + "/uploads/{upload}", "GET" + lot + "/tickets/{bid}", "GET" + lot + "/pack", "GET" + lot + "/auditor", "PUT" + lot + "/record/{name}",
			"GET" + lot + "/record.json", "POST" + lot + "/mailbox", "POST /api/drafts", "GET /api/drafts/{id}", "GET /api/drafts/{id}/trust",
			"PUT /api/drafts/{id}/terms", "POST /api/drafts/{id}/custodians/{j}"} {
			if !slices.Contains(got, call) {
				t.Errorf("%s is not described", call)
			}
		}
		for _, name := range []string{"Problem", "LotState", "SubmitRequest", "MailboxItem", "LotDraft"} {
			if doc.Components.Schemas[name] == nil {
				t.Errorf("no schema %s", name)
			}
		}
		if doc.Components.Schemas["ErrorModel"] != nil {
			t.Error("huma's own errors are described")
		}
		for _, ref := range strings.Split(string(text), `"$ref":"#/components/schemas/`)[1:] {
			name, _, _ := strings.Cut(ref, `"`)
			if doc.Components.Schemas[name] == nil {
				t.Errorf("a reference to no schema: %s", name)
			}
		}
	})
}
