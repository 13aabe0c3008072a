// Package e2e tests the whole system from outside: it runs the programs, and holds the layout of the source.
package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

func under(name, prefix string) bool { return name == prefix || strings.HasPrefix(name, prefix+"/") }

func has(list, name string) bool {
	for _, p := range strings.Fields(list) {
		if dir, all := strings.CutSuffix(p, "/..."); p == name || all && under(name, dir) {
			return true
		}
	}
	return false
}

// violations says what is wrong with these imports of a package, both named from the module's root.
func violations(pkg string, imports []string) []string {
	r, ok := packages[pkg]
	if !ok {
		return []string{fmt.Sprintf("package %s is unknown: add it to the table", pkg)}
	}
	var out []string
	for _, imp := range imports {
		first, _, _ := strings.Cut(imp, "/")
		switch {
		case r.pure && slices.ContainsFunc(impure, func(p string) bool { return under(imp, p) && imp != "net/url" && imp != "net/netip" }):
			out = append(out, fmt.Sprintf("%s imports %s, but touches neither disk nor network", pkg, imp))
		case first == module:
			if why := internal(pkg, r, strings.TrimPrefix(imp, module+"/")); why != "" {
				out = append(out, why)
			}
		case strings.Contains(first, "."):
			if why := thirdParty(pkg, imp); why != "" {
				out = append(out, why)
			}
		}
	}
	return out
}

func internal(pkg string, r rule, imp string) string {
	if has(r.imports, imp) {
		return ""
	}
	who, restricted := named[imp]
	if restricted && has(who, pkg) {
		return ""
	}
	_, known := packages[imp]
	if has(r.imports, "*") && known && !restricted && !under(imp, "cmd") {
		return ""
	}
	return fmt.Sprintf("%s imports %s, against the arrows", pkg, imp)
}

func thirdParty(pkg, imp string) string {
	longest := ""
	for prefix := range outside {
		if under(imp, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	switch {
	case longest == "":
		return fmt.Sprintf("%s imports %s, which no package may yet: add it to the table", pkg, imp)
	case !has(outside[longest], pkg):
		return fmt.Sprintf("%s imports %s; only [%s] and tests may", pkg, imp, outside[longest])
	}
	return ""
}

// linked says which of the auditor's forbidden packages are among deps.
func linked(deps []string) (out []string) {
	for _, dep := range deps {
		for _, p := range notInAuditor {
			if under(dep, p) {
				out = append(out, dep)
			}
		}
	}
	return out
}

type listed struct {
	ImportPath     string
	Imports, Deps  []string
	GoFiles        []string
	IgnoredGoFiles []string
	Error          *struct{ Err string }
}

// list runs go list over the module for a platform.
func list(t *testing.T, env ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps,GoFiles,IgnoredGoFiles,Error", "./...")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), append(env, "GOFLAGS=-mod=readonly -buildvcs=false")...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %v: %v", env, err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsFollowTheArrows(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{
		{"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0"},
		{"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=1"},
		{"GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0"},
	} {
		all := list(t, env...)
		if len(all) < 5 {
			t.Errorf("%v: go list sees only %d packages", env, len(all))
		}
		for _, p := range all {
			name := strings.TrimPrefix(p.ImportPath, module+"/")
			for _, v := range violations(name, p.Imports) {
				t.Errorf("%v: %s", env, v)
			}
			if p.Error != nil && len(p.GoFiles) > 0 {
				t.Errorf("%v: %s: %s", env, name, p.Error.Err)
			}
			// What the auditor runs is held before it exists.
			if name == "cmd/kaibiao-audit" || packages[name].pure && name != "crypto/keyfile" {
				if bad := linked(p.Deps); len(bad) > 0 {
					t.Errorf("%v: the auditor would link %s through %s", env, strings.Join(bad, ", "), name)
				}
			}
			if name == "cmd/kaibiao-wasm" && env[0] != "GOOS=js" && len(p.GoFiles) > 0 {
				t.Errorf("%v: %s has files for other platforms: %v", env, name, p.GoFiles)
			}
		}
	}
}

// The table is the drawing: arrows point down, and inside a line only those that are drawn.
func TestTheTableFollowsTheDrawing(t *testing.T) {
	t.Parallel()
	for pkg, r := range packages {
		for _, imp := range strings.Fields(r.imports) {
			target, ok := packages[imp]
			switch {
			case imp == "*":
				if r.line < 8 {
					t.Errorf("%s may import everything", pkg)
				}
			case !ok:
				t.Errorf("%s may import %s, which is not in the table", pkg, imp)
			case target.line > r.line:
				t.Errorf("%s may import %s, which is above it", pkg, imp)
			case target.line == r.line && !has(drawn[pkg], imp):
				t.Errorf("%s may import %s of its own line, but no arrow is drawn", pkg, imp)
			case r.pure && !target.pure:
				t.Errorf("%s is pure and may import %s, which is not", pkg, imp)
			}
		}
	}
	for prefix, who := range outside {
		for _, pkg := range strings.Fields(who) {
			if _, ok := packages[pkg]; !ok && !strings.HasSuffix(pkg, "/...") {
				t.Errorf("%s may be imported by %s, which is not in the table", prefix, pkg)
			}
		}
	}
	for imp, who := range named {
		for _, pkg := range strings.Fields(imp + " " + who) {
			if _, ok := packages[pkg]; !ok {
				t.Errorf("%s is not in the table", pkg)
			}
		}
	}
}

// The check sees what it is there for.
func TestBadImportsAreSeen(t *testing.T) {
	t.Parallel()
	const gmsm = "github.com/emmansun/gmsm/"
	for _, c := range []struct{ pkg, imp, want string }{
		{"crypto/magic", "fmt", "add it to the table"},
		{"utils", "", "add it to the table"},
		{"crypto/der", "kaibiao/crypto/sm", "against the arrows"},
		{"crypto/sm", "kaibiao/crypto/cms", "against the arrows"},
		{"crypto/cert", "kaibiao/crypto/keyfile", "against the arrows"},
		{"crypto/seal", "kaibiao/crypto/quorum", "against the arrows"},
		{"crypto/cert", "kaibiao/crypto/cert/certtest", "against the arrows"},
		{"timestamp", "kaibiao/timestamp/tlog", "against the arrows"},
		{"timestamp", "kaibiao/opening", "against the arrows"},
		{"opening", "kaibiao/opening/bidder", "against the arrows"},
		{"opening", "kaibiao/timestamp/journal", "against the arrows"},
		{"opening", "kaibiao/opening/blob", "against the arrows"},
		{"opening", "kaibiao/hsm", "against the arrows"},
		{"opening", "kaibiao/crypto/keyfile", "against the arrows"},
		{"opening/blob", "kaibiao/opening", "against the arrows"},
		{"opening/web", "kaibiao/ws", "against the arrows"},
		{"ws", "kaibiao/opening/web", "against the arrows"},
		{"ws/page", "kaibiao/crypto/sm", "against the arrows"},
		{"hsm", "kaibiao/hsm/pkcs11", "against the arrows"},
		{"hsm/sdf", "kaibiao/hsm/skf", "against the arrows"},
		{"cmd/kaibiao", "kaibiao/hsm/pkcs11", "against the arrows"},
		{"cmd/kaibiao-bid", "kaibiao/cmd/internal/demo", "against the arrows"},
		{"cmd/kaibiao-bid", "kaibiao/crypto/cert/certtest", "against the arrows"},
		{"cmd/kaibiao", "kaibiao/cmd/kaibiao-bid", "against the arrows"},
		{"cmd/kaibiao-audit", "kaibiao/e2e/catest", "against the arrows"},
		{"cmd/kaibiao", "kaibiao/unknown", "against the arrows"},
		{"cmd/internal/server", "kaibiao/timestamp/journal/journaltest", "against the arrows"},
		{"opening", gmsm + "sm2", "and tests may"},
		{"cmd/kaibiao", gmsm + "sm3", "and tests may"},
		{"hsm", gmsm + "smx509", "and tests may"},
		{"crypto/sm", gmsm + "smx509", "and tests may"},
		{"crypto/keyfile", gmsm + "smx509", "and tests may"},
		{"crypto/cms", gmsm + "pkcs7", "and tests may"},
		{"crypto/keyfile", gmsm + "pkcs7", "and tests may"},
		{"crypto/cert", gmsm + "cfca", "and tests may"},
		{"crypto/cms", gmsm + "pkcs8", "and tests may"},
		{"hsm", "github.com/emmansun/go-pkcs12", "and tests may"},
		{"crypto/cms", "golang.org/x/crypto/cryptobyte/asn1", "and tests may"},
		{"opening/web", "github.com/gorilla/websocket", "and tests may"},
		{"opening/web", "go.etcd.io/bbolt", "and tests may"},
		{"ws", "pgregory.net/rapid", "and tests may"},
		{"ws", "golang.org/x/crypto/ocsp", "no package may yet"},
		{"ws", "example.org/left-pad", "no package may yet"},
		{"opening", "net/http", "neither disk nor network"},
		{"opening/bidder", "os", "neither disk nor network"},
		{"timestamp", "os/exec", "neither disk nor network"},
		{"crypto/seal", "net", "neither disk nor network"},
	} {
		got := violations(c.pkg, []string{"fmt", c.imp})
		if len(got) != 1 || !strings.Contains(got[0], c.want) || !strings.Contains(got[0], c.pkg) || c.want != "add it to the table" && !strings.Contains(got[0], strings.TrimPrefix(c.imp, module+"/")) {
			t.Errorf("%s imports %s: %q, want %q", c.pkg, c.imp, got, c.want)
		}
	}
	for _, c := range [][2]string{
		{"crypto/sm", "kaibiao/crypto/der"}, {"crypto/sm", gmsm + "sm2"}, {"crypto/cert", gmsm + "smx509"}, {"crypto/keyfile", gmsm + "cfca"},
		{"opening", "kaibiao/timestamp/tlog"}, {"hsm", "kaibiao/crypto/keyfile"}, {"cmd/kaibiao-signer", "kaibiao/hsm/skf"},
		{"cmd/internal/demo", "kaibiao/cmd/internal/server"}, {"cmd/internal/demo", "kaibiao/crypto/cert/certtest"},
		{"cmd/kaibiao", "kaibiao/opening/web"}, {"cmd/kaibiao-bid", "github.com/spf13/cobra"}, {"opening", "net/url"},
	} {
		if got := violations(c[0], c[1:]); len(got) > 0 {
			t.Errorf("%s may import %s: %q", c[0], c[1], got)
		}
	}
	if bad := linked([]string{"net", "net/netip", "net/http/internal", "crypto/tls", "kaibiao/hsm/sdf", "kaibiao/wsx", "kaibiao/opening"}); len(bad) != 3 {
		t.Errorf("%v", bad)
	}
}

func TestTopLevelAndGoFolders(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
	n := 0
	err = filepath.WalkDir("..", func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(file, ".."+string(filepath.Separator)))
		if e.IsDir() && slices.Contains([]string{".git", "node_modules", "testdata", "data", "bin", "out"}, e.Name()) {
			return fs.SkipDir
		}
		if e.IsDir() || path.Ext(name) != ".go" {
			return nil
		}
		n++
		if folder, _, _ := strings.Cut(name, "/"); !slices.Contains(goFolders, folder) {
			t.Errorf("%s: Go files live in %v", name, goFolders)
		}
		if slices.Contains(noGoFiles, path.Dir(name)) {
			t.Errorf("%s: that folder holds no Go file", name)
		}
		if path.Dir(name) == "e2e" && !strings.HasSuffix(name, "_test.go") {
			t.Errorf("%s: e2e holds test files only", name)
		}
		return nil
	})
	if err != nil || n < 20 {
		t.Errorf("%d Go files, %v", n, err)
	}
}

func TestGoMod(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range modFaults(t, data) {
		t.Error(why)
	}
	bad := "module kaibiao2\n\ngo 1.25.0\n\ntoolchain go1.26.8\n\nreplace a.b/c => ../c\n\nexclude a.b/d v1.0.0\n"
	if got := modFaults(t, []byte(bad)); len(got) != 5 {
		t.Errorf("of five faults these are seen: %q", got)
	}
}

func modFaults(t *testing.T, data []byte) (out []string) {
	t.Helper()
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.Module == nil || f.Module.Mod.Path != module {
		out = append(out, "go.mod is not of module "+module)
	}
	if f.Go == nil || f.Go.Version != "1.26.0" {
		out = append(out, "go.mod has another go line than 1.26.0")
	}
	if f.Toolchain != nil {
		out = append(out, "go.mod has a toolchain line")
	}
	if len(f.Replace) > 0 {
		out = append(out, "go.mod has a replace, so that go install of a version would not work")
	}
	if len(f.Exclude) > 0 {
		out = append(out, "go.mod has an exclude")
	}
	return out
}
