package member

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/phase"
)

func TestSoleWriter(t *testing.T) {
	crd := func(name, manager string) apply.Contested {
		return apply.Contested{Object: apply.Reference{Kind: "CustomResourceDefinition", Name: name}, Manager: manager}
	}
	cases := map[string]struct {
		contested []apply.Contested
		want      string
	}{
		"no other client": {want: "no other client keeps changing the operator's objects"},
		"two clients": {
			contested: []apply.Contested{crd("a", "helm"), crd("b", "argocd-controller"), crd("c", "helm")},
			want: `client "argocd-controller" keeps changing CustomResourceDefinition b; client "helm" keeps changing ` +
				`CustomResourceDefinition a, CustomResourceDefinition c; the operator restores them each time: take them out of what that client applies`,
		},
		"one without a name": {
			contested: []apply.Contested{crd("a", "")},
			want: "a client without a name keeps changing CustomResourceDefinition a; the operator restores them each time: " +
				"take them out of what that client applies",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := soleWriter(c.contested)
			if diff := cmp.Diff(c.want, got.Result.Text()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if !got.Aside || (got.Result.Kind == phase.Done) != (len(c.contested) == 0) {
				t.Errorf("outcome %+v", got)
			}
		})
	}
	var many []apply.Contested
	for range 500 {
		many = append(many, crd(strings.Repeat("x", 60), strings.Repeat("y", 60)))
	}
	if text := soleWriter(many).Result.Text(); len(text) > 1000 {
		t.Errorf("the message has %d bytes", len(text))
	}
}
