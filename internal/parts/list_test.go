package parts

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/trust"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestEveryPackageIsAPart compares the list with the folders below this one.
func TestEveryPackageIsAPart(t *testing.T) {
	entries, err := os.ReadDir(".")
	testutil.Must(t, err)
	var names []string
	for _, p := range New(Deps{}).List {
		names = append(names, p.Name)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "testdata" && !slices.Contains(names, e.Name()) {
			t.Errorf("package %s is not in the list of New: add its Part", e.Name())
		}
	}
	for _, name := range names {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("part %s has no package of its name: %v", name, err)
		}
	}
}

// TestPartsListWhatTheyMake renders each part for each release: what it makes must be removed, watched, and allowed.
func TestPartsListWhatTheyMake(t *testing.T) {
	set := New(Deps{Charts: charts.NewLibrary(testutil.InRepository("bin", "charts"))})
	for _, version := range istioversion.Supported() {
		m := testutil.Member("east", at(version))
		for i := range set.List {
			p := &set.List[i]
			if p.Rendered == nil {
				continue
			}
			components, err := p.Rendered(t.Context(), membertest.Pass(t, m), &m.Spec)
			if err != nil {
				t.Fatalf("charts missing? run `make charts`: %v", err)
			}
			for _, c := range components {
				if !p.Makes(c.Name) {
					t.Errorf("%s: part %s makes component %q and does not list it: it would never be removed", version, p.Name, c.Name)
				}
				for _, o := range c.Objects {
					gvk := o.GroupVersionKind()
					if isUnwatched := gvk.Kind == "Gateway"; !isUnwatched && !slices.Contains(kindsOf(t, p), gvk.Kind) {
						t.Errorf("%s: part %s makes %s %s and does not list the kind: nothing watches it", version, p.Name, gvk.Kind, o.GetName())
					}
					resource := strings.ToLower(gvk.Kind) + "s"
					for _, verb := range member.Keep {
						rules := p.Rules
						if o.GetNamespace() != "" {
							rules = slices.Concat(rules, p.NamespaceRules)
						}
						if !allows(rules, gvk.Group, resource, verb) {
							t.Errorf("%s: part %s makes %s %s and has no rule for %s %s.%s", version, p.Name, gvk.Kind, o.GetName(), verb, resource, gvk.Group)
						}
					}
				}
			}
		}
	}
}

// TestStepsHaveNamesOfTheirOwn guards Pass.Result, which finds a step by its name.
func TestStepsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	steps := New(Deps{}).Steps()
	for _, s := range steps {
		if seen[s.Name] || s.Run == nil {
			t.Errorf("step %q stands twice, or does nothing", s.Name)
		}
		seen[s.Name] = true
	}
	for i := 1; i < len(steps); i++ {
		if steps[i].Round < steps[i-1].Round {
			t.Errorf("step %s of round %d comes after %s of round %d", steps[i].Name, steps[i].Round, steps[i-1].Name, steps[i-1].Round)
		}
	}
}

// at makes a member run one revision of a release.
func at(version string) func(*meshv1alpha1.MeshMember) {
	return func(m *meshv1alpha1.MeshMember) {
		name := mesh.RevisionName(version)
		m.Spec.Revisions = []meshv1alpha1.Revision{{Name: name, Version: version}}
		m.Spec.DefaultRevision, m.Spec.GatewayRevision, m.Spec.ReaderVersion = name, name, version
		m.Spec.Tags = []meshv1alpha1.Tag{{Name: "prod", Revision: name}}
	}
}

func kindsOf(t *testing.T, p *member.Part) (kinds []string) {
	t.Helper()
	scheme := clientgoscheme.Scheme
	testutil.Must(t, apiextensionsv1.AddToScheme(scheme))
	for _, o := range p.Kinds {
		gvk, err := apiutil.GVKForObject(o, scheme)
		testutil.Must(t, err)
		kinds = append(kinds, gvk.Kind)
	}
	return kinds
}

func allows(rules []rbacv1.PolicyRule, group, resource, verb string) bool {
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return len(r.ResourceNames) == 0 && slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb)
	})
}

// TestPresentRootTakesAnUnreadableCertificateForNone keeps a `cacerts` that cannot be read from refusing a claim: the trust part names it.
func TestPresentRootTakesAnUnreadableCertificateForNone(t *testing.T) {
	broken := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "cacerts", Namespace: testutil.Member("east").Spec.ControlPlaneNamespace},
		Data:       map[string][]byte{"root-cert.pem": []byte("no certificate")},
	}
	pass := membertest.Pass(t, testutil.Member("east"), broken)
	if _, _, err := trust.PresentRoot(t.Context(), pass); !errors.Is(err, mesh.ErrForeignRoot) {
		t.Fatalf("error %v, want that the root cannot be read", err)
	}
	if root, isOurs, err := presentRoot(t.Context(), pass); err != nil || isOurs || root != nil {
		t.Errorf("root %v, ours %v, error %v; want none of them", root, isOurs, err)
	}
}
