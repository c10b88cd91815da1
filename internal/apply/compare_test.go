package apply

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// decode reads an object as the client does: whole numbers are integers.
func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON([]byte(`{"kind":"Test","it":` + text + `}`)); err != nil {
		t.Fatal(err)
	}
	return map[string]any{"it": o.Object["it"]}
}

func TestHolds(t *testing.T) {
	cases := map[string]struct {
		desired, live string
		want          bool
	}{
		"the same":                                 {`{"a":"b"}`, `{"a":"b"}`, true},
		"another value":                            {`{"a":"b"}`, `{"a":"c"}`, false},
		"live has more":                            {`{"a":"b"}`, `{"a":"b","added":"by the API server"}`, true},
		"live lacks a field":                       {`{"a":"b","c":"d"}`, `{"a":"b"}`, false},
		"live lacks an empty map":                  {`{"a":{}}`, `{}`, true},
		"live lacks an empty list":                 {`{"a":[]}`, `{}`, true},
		"live lacks a null":                        {`{"a":null}`, `{}`, true},
		"live lacks an empty text":                 {`{"a":""}`, `{}`, false},
		"live lacks the empty value of a variable": {`{"name":"A","value":""}`, `{"name":"A"}`, true},
		"live lacks a zero":                        {`{"a":0}`, `{}`, false},
		"live lacks a false":                       {`{"a":false}`, `{}`, false},
		"a map against a text":                     {`{"a":{"b":"c"}}`, `{"a":"b"}`, false},
		"an empty map against null":                {`{"a":{}}`, `{"a":null}`, true},
		"lists of one length":                      {`["a",{"b":"c"}]`, `["a",{"b":"c","d":"e"}]`, true},
		"a longer list in live":                    {`["a"]`, `["a","b"]`, false},
		"a shorter list in live":                   {`["a","b"]`, `["a"]`, false},
		"a list in another order":                  {`["a","b"]`, `["b","a"]`, false},
		"a list against a map":                     {`["a"]`, `{"a":"b"}`, false},
		"a whole number against a fraction":        {`1`, `1.0`, true},
		"another number":                           {`1`, `2`, false},
		"a number against its text":                {`1`, `"1"`, false},
		"true against true":                        {`true`, `true`, true},
		"quantities in other words":                {`{"limits":{"cpu":"2000m","memory":"1024Mi"}}`, `{"limits":{"cpu":"2","memory":"1Gi"}}`, true},
		"a quantity as a number":                   {`{"requests":{"cpu":2}}`, `{"requests":{"cpu":"2"}}`, true},
		"another quantity":                         {`{"limits":{"cpu":"2"}}`, `{"limits":{"cpu":"3"}}`, false},
		"another resource":                         {`{"limits":{"cpu":"2000m"}}`, `{"limits":{"memory":"2"}}`, false},
		"more quantities in live":                  {`{"limits":{"cpu":"2000m"}}`, `{"limits":{"cpu":"2","memory":"1Gi"}}`, false},
		"quantities elsewhere count as texts":      {`{"data":{"cpu":"2000m"}}`, `{"data":{"cpu":"2"}}`, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := holds(decode(t, c.desired), decode(t, c.live)); got != c.want {
				t.Errorf("holds(%s, %s) is %v, want %v", c.desired, c.live, got, c.want)
			}
		})
	}
}

func TestNumber(t *testing.T) {
	cases := map[string]struct {
		in     any
		want   float64
		wantOK bool
	}{
		"int64":  {in: int64(3), want: 3, wantOK: true},
		"int32":  {in: int32(3), want: 3, wantOK: true},
		"int":    {in: 3, want: 3, wantOK: true},
		"float":  {in: 3.5, want: 3.5, wantOK: true},
		"text":   {in: "3"},
		"truth":  {in: true},
		"absent": {in: nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, ok := number(c.in); got != c.want || ok != c.wantOK {
				t.Errorf("number(%v) is %v, %v, want %v, %v", c.in, got, ok, c.want, c.wantOK)
			}
		})
	}
}

func TestIsEmpty(t *testing.T) {
	for _, v := range []any{nil, map[string]any{}, []any{}} {
		if !isEmpty(v) {
			t.Errorf("%#v is not empty", v)
		}
	}
	for _, v := range []any{"", false, int64(0), map[string]any{"a": nil}, []any{nil}} {
		if isEmpty(v) {
			t.Errorf("%#v is empty", v)
		}
	}
}

func TestOwnsMore(t *testing.T) {
	const desired = `{"metadata":{"labels":{"a":"b"},"finalizers":["x"]},"ports":[{"name":"http","port":80}],"list":["one"]}`
	cases := map[string]struct {
		fields string
		want   bool
	}{
		"nothing":                        {`{}`, false},
		"what is desired":                {`{"f:metadata":{"f:labels":{".":{},"f:a":{}},"f:finalizers":{"v:\"x\"":{}}},"f:ports":{"k:{\"name\":\"http\"}":{".":{},"f:port":{}}},"f:list":{"i:0":{}}}`, false},
		"a label that is gone":           {`{"f:metadata":{"f:labels":{"f:c":{}}}}`, true},
		"a map that is gone":             {`{"f:metadata":{"f:annotations":{".":{}}}}`, true},
		"a member of a set that is gone": {`{"f:metadata":{"f:finalizers":{"v:\"y\"":{}}}}`, true},
		"an item that is gone":           {`{"f:ports":{"k:{\"name\":\"https\"}":{".":{}}}}`, true},
		"a field of an item":             {`{"f:ports":{"k:{\"name\":\"http\"}":{"f:protocol":{}}}}`, true},
		"a port's default protocol":      {`{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}`, false},
		"a port's other protocol":        {`{"f:ports":{"k:{\"port\":80,\"protocol\":\"UDP\"}":{".":{},"f:port":{}}}}`, true},
		"a position that is gone":        {`{"f:list":{"i:1":{}}}`, true},
		"a notation that is unknown":     {`{"f:list":{"x:1":{}}}`, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(c.fields), &fields); err != nil {
				t.Fatal(err)
			}
			if got := ownsMore(fields, decode(t, desired)["it"]); got != c.want {
				t.Errorf("ownsMore is %v, want %v", got, c.want)
			}
		})
	}
}

func TestKeepRuntimeFields(t *testing.T) {
	webhooks := func(webhooks ...any) *unstructured.Unstructured {
		return object("ValidatingWebhookConfiguration", "validator", field(webhooks, "webhooks"))
	}
	webhook := func(name string, policy any) any {
		w := map[string]any{"name": name}
		if policy != nil {
			w["failurePolicy"] = policy
		}
		return w
	}
	cases := map[string]struct {
		desired, live, want *unstructured.Unstructured
	}{
		"Ignore at creation":                        {webhooks(webhook("a", nil)), nil, webhooks(webhook("a", "Ignore"))},
		"the live policy is kept":                   {webhooks(webhook("a", nil)), webhooks(webhook("a", "Fail")), webhooks(webhook("a", "Fail"))},
		"a webhook that is new starts with Ignore":  {webhooks(webhook("a", nil), webhook("b", nil)), webhooks(webhook("a", "Fail")), webhooks(webhook("a", "Fail"), webhook("b", "Ignore"))},
		"a live webhook without policy gets Ignore": {webhooks(webhook("a", nil)), webhooks(webhook("a", nil)), webhooks(webhook("a", "Ignore"))},
		"other kinds are left as they are":          {object("ConfigMap", "c"), nil, object("ConfigMap", "c")},
		"no webhooks at all":                        {object("ValidatingWebhookConfiguration", "none"), nil, object("ValidatingWebhookConfiguration", "none")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			keepRuntimeFields(c.desired, c.live)
			if diff := cmp.Diff(c.want, c.desired); diff != "" {
				t.Errorf("desired (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIsNewerOrManaged(t *testing.T) {
	desired := object("ConfigMap", "crd", labels(map[string]string{versionLabel: "1.29.1"}))
	cases := map[string]struct {
		live map[string]string
		want bool
	}{
		"unlabelled":           {nil, false},
		"older":                {map[string]string{versionLabel: "1.28.3"}, false},
		"the same":             {map[string]string{versionLabel: "1.29.1"}, false},
		"newer":                {map[string]string{versionLabel: "1.29.2"}, true},
		"newer by more digits": {map[string]string{versionLabel: "1.100.0"}, true},
		"no version at all":    {map[string]string{versionLabel: "latest"}, false},
		"managed by OLM":       {map[string]string{"olm.managed": "true", versionLabel: "1.28.3"}, true},
		"not managed by OLM":   {map[string]string{"olm.managed": "false"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := isNewerOrManaged(object("ConfigMap", "crd", labels(c.live)), desired); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
