package strictjson_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	experiment "github.com/go-json-experiment/json"
	v1 "github.com/go-json-experiment/json/v1"

	"github.com/mcpnet/mcpnet/internal/strictjson"
)

type inner struct {
	Kelvin string `json:"kelvin"`
	Plain  int
}

// odd reads itself.
type odd struct{ text string }

func (o *odd) UnmarshalJSON(data []byte) error { o.text = string(data); return nil }

type shape struct {
	inner
	Capabilities []inner           `json:"capabilities,omitempty"`
	Labels       map[string]string `json:"labels"`
	ByName       map[string]*inner `json:"byName"`
	Own          *odd              `json:"own"`
	Hidden       string            `json:"-"`
	Any          any               `json:"any"`
}

func TestCheck(t *testing.T) {
	for text, says := range map[string]string{
		`{"capabilities":[{"kelvin":"a","Plain":1}],"labels":{"a":"","A":""},"other":{"Any":1,"any":2}}`: "",
		`{"own":{"Kelvin":1},"any":{"Kelvin":2},"hidden":3,"Hidden":"x"}`:                                "",
		`null`:                "",
		`{"capabilitieſ":[]}`: `"capabilitie\u017f" is not "capabilities"`,
		`{"capabilities":[],"capabilitie\u017f":[]}`: `"capabilitie\u017f" is not "capabilities"`,
		`{"Capabilities":[]}`:                        `"Capabilities" is not "capabilities"`,
		`{"capabilities":[{},{"Kelvin":""}]}`:        `/capabilities/1/Kelvin: "Kelvin" is not "kelvin"`,
		`{"byName":{"x":{"plain":1}}}`:               `"plain" is not "Plain"`,
		"{\"\u212aelvin\":1}":                        `"\u212aelvin" is not "kelvin"`,
		`{"labels":{},"labels":{}}`:                  "/labels stands there twice",
		`{"labels":{"a":"","\u0061":""}}`:            "/labels/a stands there twice",
		`{"other":[{"x":1,"x":1}]}`:                  "/other/0/x stands there twice",
		`{"own":{"x":1,"x":1}}`:                      "/own/x stands there twice",
		`{"any":"` + "\xff" + `"}`:                   "UTF-8",
		`{"any":"\u0000"}`:                           `"/any" holds a NUL`,
		`{"labels":{"a\u0000b":""}}`:                 "holds a NUL",
		`{"other":[{"x":"/etc\u0000/srv"}]}`:         `"/other/0/x" holds a NUL`,
		`{"any":"\\u0000"}`:                          "",
		`{} {}`:                                      "more follows",
		`{} x`:                                       "more follows",
		``:                                           "unexpected EOF",
		`{"labels":`:                                 "unexpected EOF",
		`{"labels" 1}`:                               "invalid character",
	} {
		err := strictjson.Unmarshal([]byte(text), &shape{})
		if (says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

// FuzzUnmarshal: what is accepted is read alike by a reader that takes names in any case and the last of two members,
// and by one that takes neither.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{`{"capabilities":[{"kelvin":"a"}],"labels":{"a":"b"}}`, `{"CAPABILITIES":[{}],"own":1}`,
		`{"labels":{"a":"1"},"labels":{"b":"2"}}`, `{"capabilitieſ":[{"Plain":1,"plain":2}]}`, `{"byName":{"x":null}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var loose, exact shape
		if strictjson.Check(data, shape{}) != nil || json.Unmarshal(data, &loose) != nil {
			return
		}
		err := experiment.Unmarshal(data, &exact, v1.DefaultOptionsV1(), experiment.MatchCaseInsensitiveNames(false))
		if err != nil || !reflect.DeepEqual(loose, exact) {
			t.Errorf("%s: read as %+v and as %+v (%v)", data, loose, exact, err)
		}
	})
}
