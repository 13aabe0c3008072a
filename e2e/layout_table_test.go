package e2e

import "strings"

const module = "kaibiao"

// A rule says what a package may import: packages of the module by name, "*" for all but those of cmd and
// those in [named]. Third-party packages are in [outside], because there the question is who may.
type rule struct {
	line    int // of the drawing in the architecture, counted from below
	imports string
	// pure packages touch neither disk nor network, nor does anything in the module that they import.
	pure bool
}

// packages is the drawing, package by package. One that does not exist yet is fine; one that is missing here is not.
var packages = map[string]rule{
	"crypto/der":           {0, "", true},
	"crypto/sm":            {1, "crypto/der", true},
	"crypto/cms":           {2, "crypto/der crypto/sm", true},
	"crypto/cert":          {3, "crypto/der crypto/sm crypto/cms", true},
	"crypto/cert/certtest": {3, "crypto/der crypto/sm crypto/cms crypto/cert", true},
	"crypto/keyfile":       {3, "crypto/der crypto/sm crypto/cms", true},
	"crypto/quorum":        {4, "crypto/der crypto/sm", true},
	"crypto/seal":          {4, "crypto/der crypto/sm crypto/cms crypto/cert", true},
	"timestamp":            {5, "crypto/der crypto/sm crypto/cms crypto/cert", true},
	"timestamp/tlog":       {5, "crypto/der crypto/sm", true},
	"opening":              {5, cores + " timestamp timestamp/tlog", true},
	"opening/bidder":       {6, cores + " opening timestamp timestamp/tlog", true},
	"opening/openingtest":  {6, cores + " crypto/cert/certtest opening timestamp timestamp/tlog", true},

	"opening/blob":        {7, "crypto/sm", false},
	"opening/report":      {7, below, false},
	"opening/report/xlsx": {7, below + " opening/report", false},
	"opening/custodian":   {7, below, false},
	"opening/web":         {7, below, false},
	"opening/client":      {7, below, false},
	"timestamp/journal":   {7, "crypto/der crypto/sm timestamp timestamp/tlog", false},
	"timestamp/tsa":       {7, "crypto/der crypto/sm crypto/cms crypto/cert timestamp", false},
	"hsm":                 {7, "crypto/der crypto/sm crypto/cms crypto/cert crypto/keyfile", false},
	"hsm/pkcs11":          {7, "crypto/der crypto/sm crypto/cert hsm", false},
	"hsm/sdf":             {7, "crypto/der crypto/sm crypto/cert hsm", false},
	"hsm/skf":             {7, "crypto/der crypto/sm crypto/cert hsm", false},
	"hsm/hsmtest":         {7, "crypto/der crypto/sm crypto/cms crypto/cert crypto/keyfile hsm", false},
	"ws":                  {7, below + " ws/page", false},
	"ws/page":             {7, "", false},

	"timestamp/journal/journaltest": {7, "crypto/der crypto/sm timestamp timestamp/tlog timestamp/journal", false},

	"e2e":                   {8, "", false}, // test files only
	"e2e/catest":            {8, "*", false},
	"cmd/internal/party":    {9, "*", false},
	"cmd/internal/service":  {9, "*", false},
	"cmd/internal/server":   {10, "* cmd/internal/party cmd/internal/service", false},
	"cmd/internal/holder":   {10, "* cmd/internal/party cmd/internal/service", false},
	"cmd/internal/demo":     {11, "* cmd/internal/server cmd/internal/holder cmd/internal/party", false},
	"cmd/internal/bench":    {11, "* cmd/internal/server cmd/internal/holder", false},
	"cmd/internal/doctor":   {11, "* cmd/internal/server cmd/internal/holder", false},
	"cmd/kaibiao":           {12, "* cmd/internal/party cmd/internal/server cmd/internal/demo cmd/internal/bench cmd/internal/doctor e2e/catest", false},
	"cmd/kaibiao-bid":       {12, "* cmd/internal/party", false},
	"cmd/kaibiao-custodian": {12, "* cmd/internal/holder cmd/internal/party", false},
	"cmd/kaibiao-audit":     {12, "*", false},
	"cmd/kaibiao-signer":    {12, "* hsm/pkcs11 hsm/sdf hsm/skf", false},
	"cmd/kaibiao-wasm":      {12, "*", false},
}

const (
	cores = "crypto/der crypto/sm crypto/cms crypto/cert crypto/quorum crypto/seal"
	below = cores + " opening opening/bidder timestamp timestamp/tlog"
)

// drawn are the arrows inside a line.
var drawn = map[string]string{
	"opening":                       "timestamp timestamp/tlog",
	"ws":                            "ws/page",
	"crypto/cert/certtest":          "crypto/cert",
	"opening/report/xlsx":           "opening/report",
	"hsm/pkcs11":                    "hsm",
	"hsm/sdf":                       "hsm",
	"hsm/skf":                       "hsm",
	"hsm/hsmtest":                   "hsm",
	"timestamp/journal/journaltest": "timestamp/journal",
}

// named are the packages that "*" does not include: who imports them has them in its rule, or is listed here.
var named = map[string]string{
	"hsm/pkcs11": "", "hsm/sdf": "", "hsm/skf": "",
	"hsm/hsmtest": "", "timestamp/journal/journaltest": "", "opening/openingtest": "", // tests only
	"crypto/cert/certtest": "cmd/internal/demo cmd/internal/bench cmd/kaibiao e2e/catest",
	"opening/report/xlsx":  "cmd/internal/server cmd/internal/demo cmd/kaibiao",
	"e2e":                  "", "e2e/catest": "",
}

// outside says who may import which third-party packages, in code that is not a test: the longest matching prefix
// counts, "cmd/..." is everything there, nothing is tests only.
var outside = map[string]string{
	"github.com/emmansun/gmsm":            "crypto/...",
	"github.com/emmansun/gmsm/smx509":     "crypto/cert crypto/cert/certtest",
	"github.com/emmansun/gmsm/cfca":       "crypto/keyfile",
	"github.com/emmansun/gmsm/pkcs":       "crypto/keyfile",
	"github.com/emmansun/gmsm/pkcs8":      "crypto/keyfile",
	"github.com/emmansun/gmsm/pkcs7":      "",
	"github.com/emmansun/go-pkcs12":       "crypto/keyfile",
	"golang.org/x/crypto/cryptobyte":      "crypto/der",
	"golang.org/x/crypto/scrypt":          "crypto/keyfile",
	"golang.org/x/mod/sumdb/note":         "timestamp/tlog",
	"github.com/transparency-dev/merkle":  "timestamp/tlog",
	"go.etcd.io/bbolt":                    "timestamp/journal",
	"github.com/gorilla/websocket":        "ws cmd/internal/bench cmd/internal/demo",
	"github.com/prometheus/client_golang": "ws opening/web cmd/...",
	"github.com/danielgtaylor/huma/v2":    "opening/web",
	"github.com/tus/tusd/v2":              "opening/web",
	"github.com/alexedwards/scs/v2":       "opening/web",
	"golang.org/x/exp/slog":               "opening/web",
	"golang.org/x/time/rate":              "opening/web opening/custodian timestamp/tsa",
	"github.com/spf13/cobra":              "cmd/...",
	"github.com/knadh/koanf":              "cmd/...",
	"github.com/vbauerster/mpb/v8":        "cmd/...",
	"github.com/beevik/ntp":               "cmd/...",
	"golang.org/x/sys":                    "hsm opening/blob timestamp/journal ws cmd/...",
	"golang.org/x/term":                   "cmd/...",
	"github.com/miekg/pkcs11":             "hsm/pkcs11",
	"github.com/ebitengine/purego":        "hsm/pkcs11 hsm/sdf hsm/skf",
	"github.com/signintech/gopdf":         "opening/report",
	"github.com/xuri/excelize/v2":         "opening/report/xlsx",
	"github.com/boombuler/barcode":        "opening/report cmd/...",
	"pgregory.net/rapid":                  "timestamp/journal/journaltest hsm/hsmtest",
	"github.com/google/go-cmp":            "timestamp/journal/journaltest hsm/hsmtest",
	"github.com/rogpeppe/go-internal":     "",
	"go.uber.org/goleak":                  "",
}

// impure are what a pure package imports none of, nor anything below them.
var impure = []string{"net", "os", "syscall", "golang.org/x/sys", "plugin", "database"}

// notInAuditor is what the offline verifier links none of. Package net itself cannot be avoided.
var notInAuditor = []string{"net/http", "crypto/tls", "github.com/gorilla/websocket", "go.etcd.io/bbolt", module + "/hsm", module + "/ws",
	module + "/opening/web", module + "/opening/client", module + "/timestamp/tsa", module + "/timestamp/journal", module + "/crypto/keyfile"}

// topLevel is all that the root folder may hold; the last five are not committed.
var topLevel = strings.Fields("cmd opening crypto timestamp ws hsm e2e go.mod go.sum SECURITY.md README.md LICENSE Makefile " +
	"docs deploy .ci .gitignore .git data bin out node_modules")

var goFolders = strings.Fields("cmd opening crypto timestamp ws hsm e2e")

// noGoFiles hold no Go file themselves: crypto, so that `crypto.` means the standard library; the devices, because C
// beside Go without cgo does not build.
var noGoFiles = strings.Fields("crypto cmd cmd/internal hsm/hsmtest/devices")
