package gitops

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestToolsCannotDecideAtAnAPIServer applies the policy of the samples, and wants it to stop GitOps tools from deciding, and nobody else. Every
// user is an administrator here, as Argo CD is by default.
func TestToolsCannotDecideAtAnAPIServer(t *testing.T) {
	config := startHub(t)
	admin := clientAs(t, config, "admin")
	applySample(t, admin, filepath.Join("policies", "approvals-by-people.yaml"))
	testutil.Must(t, admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "meshfleet-system"}}))
	testutil.Must(t, admin.Create(t.Context(), approval("shop-rest", meshv1alpha1.DecisionPending)))
	argo := clientAs(t, config, "system:serviceaccount:argocd:argocd-server")
	const approve, label = `{"spec":{"decision":"Approved"}}`, `{"metadata":{"labels":{"a":"b"}}}`
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		// The API server enforces a policy a moment after it was created.
		last = patch(ctx, argo, approve)
		return apierrors.IsForbidden(last), nil
	})
	if err != nil {
		t.Fatalf("Argo CD decides: %v, the last error is %v", err, last)
	}
	flux := clientAs(t, config, "system:serviceaccount:flux-system:mesh-editor")
	if err := patch(t.Context(), flux, approve); !apierrors.IsForbidden(err) {
		t.Errorf("Flux decides: error is %v, want forbidden", err)
	}
	if err := argo.Create(t.Context(), approval("shop-other", meshv1alpha1.DecisionApproved), client.DryRunAll); !apierrors.IsForbidden(err) {
		t.Errorf("Argo CD creates a decision: error is %v, want forbidden", err)
	}
	for what, err := range map[string]error{
		"Argo CD writes a label":                    patch(t.Context(), argo, label),
		"a person decides":                          patch(t.Context(), clientAs(t, config, "alice@example.com"), approve),
		"an account of another namespace decides":   patch(t.Context(), clientAs(t, config, "system:serviceaccount:changes:bot"), approve),
		"an account of a similar namespace decides": patch(t.Context(), clientAs(t, config, "system:serviceaccount:argocd-tools:bot"), approve),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// startHub starts an API server with the kinds of the mesh, without the operator's webhooks.
func startHub(t *testing.T) *rest.Config {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set; `make test` sets it")
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{testutil.InRepository("config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	config, err := env.Start()
	if err != nil {
		t.Fatalf("start the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stop the API server: %v", err)
		}
	})
	return config
}

// clientAs is a client of a user that may do everything.
func clientAs(t *testing.T, config *rest.Config, user string) client.Client {
	t.Helper()
	impersonating := rest.CopyConfig(config)
	impersonating.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	c, err := client.New(impersonating, client.Options{Scheme: testutil.HubScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// applySample creates the objects of a file of config/samples/gitops.
func applySample(t *testing.T, c client.Client, file string) {
	t.Helper()
	content, err := os.ReadFile(testutil.InRepository("config", "samples", "gitops", file))
	testutil.Must(t, err)
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		o := &unstructured.Unstructured{}
		testutil.Must(t, yaml.Unmarshal(document, &o.Object))
		testutil.Must(t, c.Create(t.Context(), o))
	}
}

func approval(name string, decision meshv1alpha1.Decision) *meshv1alpha1.MeshApproval {
	return &meshv1alpha1.MeshApproval{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "meshfleet-system"},
		Spec:       meshv1alpha1.MeshApprovalSpec{UpgradeRef: meshv1alpha1.UpgradeRef{Name: "shop", UID: "1"}, Wave: "rest", Decision: decision},
	}
}

// patch tries a change of the approval, and changes nothing.
func patch(ctx context.Context, c client.Client, change string) error {
	return c.Patch(ctx, approval("shop-rest", ""), client.RawPatch(types.MergePatchType, []byte(change)), client.DryRunAll)
}
