package preflight

import (
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func space(name string, labels, annotations map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: annotations}}
}

// injector is somebody's configuration with one webhook for pods in namespaces with a label.
func injector(hook string, labels, selector map[string]string, resources ...string) *admissionregistrationv1.MutatingWebhookConfiguration {
	if len(resources) == 0 {
		resources = []string{"pods"}
	}
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "other", Labels: labels},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: hook, NamespaceSelector: &metav1.LabelSelector{MatchLabels: selector},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: resources},
			}},
		}},
	}
}

func TestWebhooks(t *testing.T) {
	const istio = "rev.namespace.sidecar-injector.istio.io"
	prod := map[string]string{"istio.io/rev": "prod"}
	cases := map[string]struct {
		hook        *admissionregistrationv1.MutatingWebhookConfiguration
		annotations map[string]string
		want, note  string
	}{
		"our own":                            {hook: injector(istio, map[string]string{meshv1alpha1.LabelInstallation: owner}, prod)},
		"another Istio for our tag":          {hook: injector(istio, nil, prod), want: "MutatingWebhookConfiguration other of another Istio adds sidecars in shop, too"},
		"another mesh's of this operator":    {hook: injector(istio, map[string]string{meshv1alpha1.LabelInstallation: "x.other"}, prod), want: "in shop, too"},
		"another Istio for its own tag":      {hook: injector(istio, nil, map[string]string{"istio.io/rev": "other"}), note: "1 other injectors stay away"},
		"another Istio for istio-injection":  {hook: injector(istio, nil, map[string]string{"istio-injection": "enabled"}), want: "in demo, too"},
		"something else than sidecars":       {hook: injector("vault.hashicorp.com", nil, nil)},
		"something else than pods":           {hook: injector("x.linkerd.io", nil, nil, "services"), annotations: map[string]string{"linkerd.io/inject": "enabled"}},
		"Linkerd where nobody asks for it":   {hook: injector("linkerd-proxy-injector.linkerd.io", nil, nil), note: "1 other injectors stay away"},
		"Linkerd where a namespace asks":     {hook: injector("linkerd-proxy-injector.linkerd.io", nil, nil), annotations: map[string]string{"linkerd.io/inject": "enabled"}, want: "of Linkerd adds sidecars in shop, too"},
		"Linkerd where a namespace does not": {hook: injector("linkerd-proxy-injector.linkerd.io", nil, nil), annotations: map[string]string{"linkerd.io/inject": "disabled"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := subject(t, allowed{}, c.hook, space("shop", prod, c.annotations), space("plain", nil, c.annotations),
				space("demo", map[string]string{"istio-injection": "enabled"}, nil),
				space("out", map[string]string{"istio-injection": "disabled", "istio.io/rev": "prod"}, c.annotations))
			f, err := webhooks(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.Problems, "; "); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("problems %q, want %q", got, c.want)
			}
			if !strings.HasPrefix(f.Note, "2 namespaces of the mesh") || !strings.Contains(f.Note, c.note) {
				t.Errorf("note %q, want 2 namespaces and %q", f.Note, c.note)
			}
		})
	}
}

// TestWebhooksWhereNoLabelAsks looks at namespaces without labels as well where they get proxies by default.
func TestWebhooksWhereNoLabelAsks(t *testing.T) {
	everywhere := injector("sidecar-injector.istio.io", nil, nil)
	m := subject(t, allowed{}, everywhere, space("plain", nil, nil), space("out", map[string]string{"istio-injection": "disabled"}, nil))
	for _, byDefault := range []bool{false, true} {
		m.InjectsByDefault = byDefault
		f, err := webhooks(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(f.Problems, "; "); strings.Contains(got, "adds sidecars in plain, too") != byDefault || strings.Contains(got, "out") {
			t.Errorf("with injection by default %t: %q", byDefault, got)
		}
	}
}
