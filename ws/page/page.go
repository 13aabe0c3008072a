// Package page holds what browsers get: templates of the pages, style, script and icon. It knows nothing of lots: the
// caller fills the view types, which hold texts only, and everything is escaped here.
package page

import (
	"embed"
	"html/template"
	"io"
	"io/fs"
)

//go:embed *.html
var templates embed.FS

//go:embed tokens.css page.css page.js icon.svg
var assets embed.FS

// Assets has tokens.css, page.css, page.js and icon.svg.
func Assets() fs.FS { return assets }

// Security is the Content-Security-Policy under which every page works.
const Security = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Pages renders the pages.
type Pages struct{ list, lot, missing *template.Template }

// New parses the templates.
func New() (*Pages, error) {
	frame, err := template.ParseFS(templates, "frame.html")
	if err != nil {
		return nil, err
	}
	p := &Pages{}
	for name, to := range map[string]**template.Template{"list.html": &p.list, "lot.html": &p.lot, "missing.html": &p.missing} {
		t, err := frame.Clone()
		if err != nil {
			return nil, err
		}
		if *to, err = t.ParseFS(templates, name); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// List renders the list of lots.
func (p *Pages) List(w io.Writer, v *List) error { return p.list.ExecuteTemplate(w, "frame", v) }

// Lot renders the page of a lot.
func (p *Pages) Lot(w io.Writer, v *Lot) error { return p.lot.ExecuteTemplate(w, "frame", v) }

// Missing renders the page for an address that leads nowhere.
func (p *Pages) Missing(w io.Writer, v *Missing) error {
	return p.missing.ExecuteTemplate(w, "frame", v)
}
