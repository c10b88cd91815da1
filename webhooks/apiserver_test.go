package webhooks

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/pinning"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestApprovalsAtAnAPIServer puts the edits of an editor and of an approver before a real API server, which asks the webhooks and answers
// what the roles of config/rbac permit. The editor may change MeshApprovals too: only the verb keeps him from a decision.
func TestApprovalsAtAnAPIServer(t *testing.T) {
	h := startHub(t)
	editor, approver := h.as("editor"), h.as("approver")
	inst := installation("shop", member("east", bySecret("east")), func(i *meshv1alpha1.MeshInstallation) {
		i.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{Name: "rest", Approval: meshv1alpha1.ApprovalRequired}}
	})
	h.must(editor.Create(t.Context(), inst))
	before := inst.DeepCopy()
	inst.Spec.Version, inst.Spec.Upgrade.Waves[0].Approval = "1.28.3", meshv1alpha1.ApprovalNotRequired
	lift := client.MergeFrom(before)
	h.refused("an editor lifts the requirement", editor.Patch(t.Context(), inst.DeepCopy(), lift, client.DryRunAll), "spec.upgrade.waves[rest].approval")
	h.must(approver.Patch(t.Context(), inst.DeepCopy(), lift, client.DryRunAll))
	other := before.DeepCopy()
	other.Spec.DataPlane.Tags = testutil.Tags("prod")
	h.must(editor.Patch(t.Context(), other, client.MergeFrom(before)))

	u := &meshv1alpha1.MeshUpgrade{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shop-1"}, Spec: meshv1alpha1.MeshUpgradeSpec{
		Installation: "shop", OnFailure: meshv1alpha1.FailureActionRollback,
		From:  meshv1alpha1.RevisionTarget{Revision: "1-28-3", Version: "1.28.3", Hash: "a"},
		To:    meshv1alpha1.RevisionTarget{Revision: "1-29-1", Version: "1.29.1", Hash: "b"},
		Waves: []meshv1alpha1.PlannedWave{{Name: "rest", Members: []string{"east"}, MaxConcurrent: 1, Approval: meshv1alpha1.ApprovalRequired}},
	}}
	h.must(h.admin.Create(t.Context(), u))
	a := asked(meshv1alpha1.DecisionPending, func(a *meshv1alpha1.MeshApproval) {
		a.Spec.UpgradeRef.UID, a.Spec.DecidedBy = u.UID, "somebody"
	})
	h.must(h.admin.Create(t.Context(), a))
	if a.Spec.DecidedBy != "" {
		t.Errorf("without a decision it is decided by %q", a.Spec.DecidedBy)
	}
	pending := client.MergeFrom(a.DeepCopy())
	a.Spec.Decision, a.Spec.Reason, a.Spec.DecidedBy = meshv1alpha1.DecisionApproved, "CHG-1", "somebody"
	if err := editor.Patch(t.Context(), a.DeepCopy(), pending); !apierrors.IsForbidden(err) {
		t.Errorf("an editor approves: error is %v, want Forbidden", err)
	}
	// The webhook reads the upgrade from a cache, which may not have it yet.
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 20*time.Second, true, func(ctx context.Context) (bool, error) {
		err := approver.Patch(ctx, a, pending)
		if apierrors.IsInvalid(err) && strings.Contains(err.Error(), "spec.upgradeRef.name") {
			return false, nil
		}
		return err == nil, err
	})
	h.must(err)
	if a.Spec.DecidedBy != "approver" || a.Spec.Reason != "CHG-1" {
		t.Errorf("decided by %q because of %q, want the approver because of CHG-1", a.Spec.DecidedBy, a.Spec.Reason)
	}
	decided := client.MergeFrom(a.DeepCopy())
	a.Spec.DecidedBy = "somebody"
	h.refused("a decision is changed", approver.Patch(t.Context(), a, decided), "spec is immutable after the decision")
}

// hub is an API server with the definitions, the webhooks and two people.
type hub struct {
	t      *testing.T
	config *rest.Config
	admin  client.Client
}

func startHub(t *testing.T) *hub {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set; `make test` sets it")
	}
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{testutil.InRepository("config", "crd", "bases")},
		WebhookInstallOptions: envtest.WebhookInstallOptions{Paths: []string{testutil.InRepository("config", "webhook", "manifests.yaml")}},
	}
	config, err := env.Start()
	if err != nil {
		t.Fatalf("start the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stop the API server: %v", err)
		}
	})
	h := &hub{t: t, config: config}
	h.admin = h.as("")
	h.must(h.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	h.permit("editor", "meshinstallation_editor_role.yaml")
	h.permit("approver", "meshapproval_approver_role.yaml")
	h.bind("approver", "meshfleet-meshinstallation-editor")
	h.must(h.admin.Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "approvals"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{meshv1alpha1.GroupVersion.Group}, Resources: []string{"meshapprovals"}, Verbs: []string{"get", "patch", "update"}},
	}}))
	h.bind("editor", "approvals")
	h.serve(env.WebhookInstallOptions)
	return h
}

// serve runs the webhooks until the test ends.
func (h *hub) serve(options envtest.WebhookInstallOptions) {
	h.t.Helper()
	mgr, err := ctrl.NewManager(h.config, ctrl.Options{
		Scheme: newScheme(h.t), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		WebhookServer: webhook.NewServer(webhook.Options{
			Host: options.LocalServingHost, Port: options.LocalServingPort, CertDir: options.LocalServingCertDir,
		}),
	})
	h.must(err)
	h.must(SetupWithManager(mgr, knownValues{}, pinning.Policy{}, namespace))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("the webhooks stopped: %v", err)
		}
	})
	started := mgr.GetWebhookServer().StartedChecker()
	h.must(wait.PollUntilContextTimeout(h.t.Context(), 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		return started(nil) == nil, nil
	}))
}

// as is a client of a user; of the administrator without a name.
func (h *hub) as(user string) client.Client {
	h.t.Helper()
	config := rest.CopyConfig(h.config)
	config.Impersonate.UserName = user
	c, err := client.New(config, client.Options{Scheme: newScheme(h.t)})
	h.must(err)
	return c
}

// permit gives a user a role of config/rbac.
func (h *hub) permit(user, file string) {
	h.t.Helper()
	content, err := os.ReadFile(filepath.Join(testutil.InRepository("config", "rbac"), file))
	h.must(err)
	role := &rbacv1.ClusterRole{}
	h.must(yaml.UnmarshalStrict(content, role))
	h.must(h.admin.Create(h.t.Context(), role))
	h.bind(user, role.Name)
}

func (h *hub) bind(user, role string) {
	h.t.Helper()
	h.must(h.admin.Create(h.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user + "-" + role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}))
}

func (h *hub) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// refused wants a refusal that contains a text.
func (h *hub) refused(what string, err error, text string) {
	h.t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		h.t.Errorf("%s: error is %v, want %q", what, err, text)
	}
}
