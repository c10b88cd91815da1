package workloads

import (
	"slices"
	"testing"

	"github.com/meshfleet/meshfleet/internal/member"
)

func TestChoose(t *testing.T) {
	enabled := map[string]string{"istio-injection": "enabled"}
	prod := map[string]string{"istio.io/rev": "prod"}
	both := map[string]string{"istio-injection": "enabled", "istio.io/rev": "prod"}
	r := request(func(r *Request) { r.Tags = map[string]string{"default": target, "prod": former} })
	tests := map[string]struct {
		namespace map[string]string
		pod       Marks
		want      string // empty: skipped
	}{
		"istio-injection means the tag default":               {namespace: enabled, want: target},
		"a namespace names a tag":                             {namespace: prod, want: former},
		"a namespace names the tag default":                   {namespace: map[string]string{"istio.io/rev": "default"}, want: target},
		"istio-injection beats a revision":                    {namespace: both, want: target},
		"istio-injection beats the pod":                       {namespace: enabled, pod: Marks{Revision: "prod"}, want: target},
		"a namespace's revision beats the pod":                {namespace: prod, pod: Marks{Revision: "default"}, want: former},
		"a pod chooses in a namespace without labels":         {pod: Marks{Revision: "prod"}, want: former},
		"a pod that asks without naming gets the tag default": {pod: Marks{In: true}, want: target},
		"a pod that names beats one that asks":                {pod: Marks{In: true, Revision: "prod"}, want: former},
		"a namespace can forbid it":                           {namespace: map[string]string{"istio-injection": "disabled", "istio.io/rev": "prod"}, pod: Marks{Revision: "prod", In: true}},
		"an empty revision asks for none":                     {namespace: map[string]string{"istio.io/rev": ""}, pod: Marks{Revision: "prod"}},
		"nothing asks":                                        {},
		"a pod opts out":                                      {namespace: enabled, pod: Marks{Out: true}},
		"a pod on the host's network gets none":               {namespace: enabled, pod: Marks{HostNetwork: true}},
		"a revision's name is no tag":                         {namespace: map[string]string{"istio.io/rev": target}},
		"a name that nobody knows is no tag":                  {namespace: map[string]string{"istio.io/rev": "canary"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := choose(tt.namespace, tt.pod, r)
			if got.revision != tt.want {
				t.Errorf("revision %q (%s), want %q", got.revision, got.skip, tt.want)
			}
			if (got.skip == "") != (tt.want != "") {
				t.Errorf("skipped because %q, want a reason exactly when there is no revision", got.skip)
			}
		})
	}
}

// TestChooseByDefault follows the webhook that the charts add for sidecarInjectorWebhook.enableNamespacesByDefault.
func TestChooseByDefault(t *testing.T) {
	named := func(name string) map[string]string { return map[string]string{"kubernetes.io/metadata.name": name} }
	byDefault := request(func(r *Request) { r.InjectsByDefault = true })
	for name, tt := range map[string]struct {
		namespace map[string]string
		pod       Marks
		want      string
	}{
		"nothing asks":                        {namespace: named("demo"), want: target},
		"a namespace refuses":                 {namespace: map[string]string{"istio-injection": "disabled"}},
		"a namespace names a tag":             {namespace: map[string]string{"istio.io/rev": "canary"}},
		"a namespace of Kubernetes":           {namespace: named("kube-system")},
		"a pod refuses by a label":            {namespace: named("demo"), pod: Marks{Out: true, Labelled: true}},
		"a pod refuses by an annotation":      {namespace: named("demo"), pod: Marks{Out: true}},
		"a pod has another label":             {namespace: named("demo"), pod: Marks{Labelled: true}},
		"a pod asks":                          {namespace: named("kube-system"), pod: Marks{In: true, Labelled: true}, want: target},
		"a pod names a revision":              {namespace: named("demo"), pod: Marks{Revision: former}},
		"a pod on the host's network":         {namespace: named("demo"), pod: Marks{HostNetwork: true}},
		"a namespace whose name is not known": {want: target},
	} {
		if got := choose(tt.namespace, tt.pod, byDefault); got.revision != tt.want || (got.skip == "") != (tt.want != "") {
			t.Errorf("%s: revision %q (%s), want %q", name, got.revision, got.skip, tt.want)
		}
	}
}

// TestMoveByDefault moves workloads of namespaces without labels that have a proxy, and foresees it. Those that have none stay as they are.
func TestMoveByDefault(t *testing.T) {
	w := clusterWith(namespace("plain", nil), workload(member.KindDeployment, "plain", "a"), workload(member.KindDeployment, "plain", "b", pods("", "")))
	r := request(func(r *Request) { r.InjectsByDefault = true })
	want := []string{"Deployment plain/a"}
	if got, _ := Plan(w, r); got.Total != 1 || !slices.Equal(got.Restarting, want) || len(got.Skipped) > 0 {
		t.Errorf("report %+v, want %v restarted", got, want)
	}
	if got := Foresee(w, r); !slices.Equal(got.Restarts, want) {
		t.Errorf("foresees %+v, want %v restarted", got, want)
	}
}

func TestMarks(t *testing.T) {
	inject := func(v string) map[string]string { return map[string]string{"sidecar.istio.io/inject": v} }
	tests := map[string]struct {
		labels, annotations map[string]string
		want                Marks
	}{
		"nothing":                             {},
		"a label that refuses":                {labels: inject("false"), want: Marks{Out: true, Labelled: true}},
		"an annotation that refuses":          {annotations: inject("false"), want: Marks{Out: true}},
		"a label that asks":                   {labels: inject("true"), want: Marks{In: true, Labelled: true}},
		"a label beats an annotation":         {labels: inject("true"), annotations: inject("false"), want: Marks{In: true, Labelled: true}},
		"other ways to say yes":               {annotations: inject("Yes")},
		"what is not yes is no":               {annotations: inject("maybe"), want: Marks{Out: true}},
		"the annotation of the real revision": {annotations: map[string]string{"istio.io/rev": former}},
		"the label of the wanted revision":    {labels: map[string]string{"istio.io/rev": "prod"}, want: Marks{Revision: "prod"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := marks(tt.labels, tt.annotations, false); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
