package trust

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	component   = "trust"
	cacertsName = "cacerts"
	// rootConfigMap is where istiod publishes the root that it hands to workloads.
	rootConfigMap = "istio-ca-root-cert"
	// rootDeadline bounds the wait for istiod to publish the root.
	rootDeadline = 3 * time.Minute
)

// Steps of a member's trust.
type Steps struct {
	// Istiod tells what istiod pods sign with.
	Istiod Istiod

	memory member.Memory[signing]
}

// Part is the member's signing certificate, and the root that its istiod hands out.
func (s *Steps) Part() member.Part {
	return member.Part{
		Name: "trust",
		Steps: []member.Step{
			{Name: "trust", Condition: meshv1alpha1.ConditionTrustRootReady, Round: member.Prepare, Run: cacerts, Gate: true, Renews: true},
			{Name: "rootInForce", Condition: meshv1alpha1.ConditionTrustRootReady, Round: member.Prove, Run: s.inForce, Gate: true},
		},
		Components: []string{component},
		Kinds:      []client.Object{&corev1.Secret{}},
		Rules:      []rbacv1.PolicyRule{member.Rule("", member.Watch, "configmaps", "secrets")},

		NamespaceRules: []rbacv1.PolicyRule{member.Rule("", member.Own, "configmaps", "secrets")},
	}
}

// cacerts puts the member's signing certificate in place. Precondition: the claim. The member is given the pinned root and
// no other: workloads of two roots would not trust each other. While the hub cannot give what is wanted, a member that
// has a certificate of that root goes on with it.
func cacerts(ctx context.Context, pass *member.Pass) phase.Result {
	have, ours, err := PresentRoot(ctx, pass)
	if err != nil {
		return outcome.StalledOr(err, mesh.ErrForeignRoot, meshv1alpha1.ReasonForeignRoot)
	}
	pinned := pass.Object.Spec.PinnedRoot
	if len(pinned) == 0 {
		if ours {
			return phase.Complete(meshv1alpha1.ReasonReady, "the signing certificate is kept until the mesh's root is pinned")
		}
		return whatHubLacks(ctx, pass, phase.Waiting(meshv1alpha1.ReasonWaitingForCertificate, "the mesh's root is not known yet", 0))
	}
	served, err := servedRoot(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	if err := sameRoot(pass, have, served, pinned); err != nil {
		return outcome.Stalled(meshv1alpha1.ReasonForeignRoot, err)
	}
	result, isIntact := applyIssued(ctx, pass, have != nil)
	result.Passable = have != nil && isIntact
	return result
}

// applyIssued applies the certificate that cert-manager has issued under the pinned root, when it is valid by the clock of the member,
// too. After a write that failed, what the member has is not known to be intact.
func applyIssued(ctx context.Context, pass *member.Pass, hasOne bool) (result phase.Result, isIntact bool) {
	pinned := pass.Object.Spec.PinnedRoot
	secret := &corev1.Secret{}
	err := pass.Hub.Get(ctx, client.ObjectKey{Namespace: pass.Object.Namespace, Name: pass.Object.Spec.CASecret}, secret)
	if client.IgnoreNotFound(err) != nil {
		return outcome.Failed(err), true
	}
	bundle, err := ReadBundle(secret, pass.Object.Spec.TrustDomain, pass.Now)
	if errors.Is(err, ErrIncomplete) {
		return whatHubLacks(ctx, pass, phase.Waiting(meshv1alpha1.ReasonWaitingForCertificate,
			fmt.Sprintf("cert-manager has not issued Certificate %q yet", pass.Object.Spec.CASecret), 0)), true
	}
	if errors.Is(err, ErrRootUnusable) {
		return outcome.Stalled(meshv1alpha1.ReasonRootUnusable, fmt.Errorf("secret %q: %w", pass.Object.Spec.CASecret, err)), true
	}
	if err != nil {
		return outcome.Stalled(meshv1alpha1.ReasonWaitingForCertificate, fmt.Errorf("secret %q: %w", pass.Object.Spec.CASecret, err)), true
	}
	issued, err := Fingerprints(bundle.Roots)
	if err != nil {
		return outcome.Failed(err), true
	}
	if !slices.Equal(issued, sorted(pinned)) {
		return outcome.Stalled(meshv1alpha1.ReasonRootChanged, fmt.Errorf("%w: Secret %q is signed under root %s, the mesh has %s; it is not given "+
			"to the member. The condition TrustRootReady of MeshInstallation %q has the cure",
			ErrRootChanged, pass.Object.Spec.CASecret, mesh.ShortRoot(issued), mesh.ShortRoot(pinned), pass.Object.Spec.Installation)), true
	}
	pass.Object.Status.Trust.IntermediateNotAfter = &metav1.Time{Time: bundle.NotAfter}
	metrics.SetCertificateExpiry(pass.Key(), bundle.NotAfter)
	if early, err := tooEarly(ctx, pass, bundle, hasOne); err != nil || early > 0 {
		result := phase.Complete(meshv1alpha1.ReasonReady, fmt.Sprintf(
			"the signing certificate is in place; the renewed one follows when it has been valid for %s, because clocks differ", clockSkew))
		if result.After = early; err != nil {
			result = outcome.Failed(err)
		}
		return result, true
	}
	if err := applyCacerts(ctx, pass, bundle); err != nil {
		return outcome.Failed(err), false
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "the signing certificate is in place"), true
}

func applyCacerts(ctx context.Context, pass *member.Pass, bundle *Bundle) error {
	data := map[string]any{}
	for k, v := range bundle.Cacerts() {
		data[k] = base64.StdEncoding.EncodeToString(v)
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": string(corev1.SecretTypeOpaque),
		"metadata": map[string]any{"name": cacertsName, "namespace": pass.Namespace()},
		"data":     data,
	}}
	return pass.Apply(ctx, apply.Component{Name: component, Objects: []*unstructured.Unstructured{object}})
}

// whatHubLacks says why no certificate comes: what the installation reports of the root, or else what the member waits for.
func whatHubLacks(ctx context.Context, pass *member.Pass, otherwise phase.Result) phase.Result {
	inst := &meshv1alpha1.MeshInstallation{}
	err := pass.Hub.Get(ctx, client.ObjectKey{Namespace: pass.Object.Namespace, Name: pass.Object.Spec.Installation}, inst)
	if client.IgnoreNotFound(err) != nil {
		return outcome.Failed(err)
	}
	c := meta.FindStatusCondition(inst.Status.Conditions, meshv1alpha1.ConditionTrustRootReady)
	if c != nil && c.Status == metav1.ConditionFalse {
		switch c.Reason {
		case meshv1alpha1.ReasonRootMissing, meshv1alpha1.ReasonRootChanged, meshv1alpha1.ReasonForeignRoot, meshv1alpha1.ReasonRootUnusable:
			return phase.Waiting(c.Reason, c.Message, outcome.Recheck)
		}
	}
	return otherwise.Overdue(pass.Object.CreationTimestamp.Time, pass.Now, IssueDeadline, meshv1alpha1.ReasonDeadlineExceeded)
}

// inForce reads back what istiod has taken over of the Secret: the root that it hands to workloads, and the intermediate with which it
// signs.
func (s *Steps) inForce(ctx context.Context, pass *member.Pass) phase.Result {
	secret := &corev1.Secret{}
	if err := pass.Remote.Get(ctx, client.ObjectKey{Namespace: pass.Namespace(), Name: cacertsName}, secret); err != nil {
		return outcome.Failed(err)
	}
	if result := rootInForce(ctx, pass, secret); result.Kind != phase.Done {
		return result
	}
	return s.intermediateInForce(ctx, pass, secret)
}

// rootInForce reads back the root that istiod hands to workloads: a Secret that was applied is not yet a root in
// force, because istiod reads it once and may have refused it.
func rootInForce(ctx context.Context, pass *member.Pass, secret *corev1.Secret) phase.Result {
	want, err := Fingerprints(secret.Data["root-cert.pem"])
	if err != nil {
		return outcome.Failed(fmt.Errorf("root in Secret %q: %w", cacertsName, err))
	}
	cm := &corev1.ConfigMap{}
	err = pass.Remote.Get(ctx, client.ObjectKey{Namespace: pass.Namespace(), Name: rootConfigMap}, cm)
	if client.IgnoreNotFound(err) != nil {
		return outcome.Failed(err)
	}
	waiting := phase.Waiting(meshv1alpha1.ReasonRootNotInForce, "istiod has not published its root yet", outcome.ShortWait)
	if err != nil {
		if waiting, err = explain(ctx, pass, waiting); err != nil {
			return outcome.Failed(err)
		}
		return waiting.Overdue(secret.CreationTimestamp.Time, pass.Now, rootDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	have, err := Fingerprints([]byte(cm.Data["root-cert.pem"]))
	if err != nil {
		return outcome.Failed(fmt.Errorf("root in ConfigMap %q: %w", rootConfigMap, err))
	}
	pass.Object.Status.Trust.RootFingerprints = have
	if !slices.Equal(have, want) {
		waiting.Message = fmt.Sprintf("istiod hands out root %s, the mesh has %s; if this lasts, restart istiod in namespace %s",
			mesh.ShortRoot(have), mesh.ShortRoot(want), pass.Namespace())
		if waiting, err = explain(ctx, pass, waiting); err != nil {
			return outcome.Failed(err)
		}
		return waiting.Overdue(secret.CreationTimestamp.Time, pass.Now, rootDeadline, meshv1alpha1.ReasonRootNotInForce)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "istiod hands out root "+mesh.ShortRoot(have))
}

// explain names the cause of a root that is not published, where it lies in a revision whose discoverySelectors leave out the
// control plane's namespace.
func explain(ctx context.Context, pass *member.Pass, waiting phase.Result) (phase.Result, error) {
	for i := range pass.Object.Spec.Revisions {
		r := &pass.Object.Spec.Revisions[i]
		values, err := mesh.Values(r.Values)
		if err != nil {
			return waiting, err
		}
		selectors, err := istio.ReadDiscoverySelectors(values)
		if err != nil {
			return waiting, err
		}
		if len(selectors) == 0 {
			continue
		}
		namespace := &corev1.Namespace{}
		if err := pass.Remote.Get(ctx, client.ObjectKey{Name: pass.Namespace()}, namespace); err != nil {
			return waiting, fmt.Errorf("read namespace %q: %w", pass.Namespace(), err)
		}
		if selectors.LeaveOut(namespace.Labels) {
			waiting.Message = fmt.Sprintf("meshConfig.discoverySelectors of revision %s do not select namespace %s, so istiod publishes no root there; "+
				"add a selector with matchLabels %s: %s, or label the namespace", r.Name, pass.Namespace(), corev1.LabelMetadataName, pass.Namespace())
			return waiting, nil
		}
	}
	return waiting, nil
}
