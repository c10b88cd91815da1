package member

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/credential"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

const (
	// credentialNotice bounds the time before the end at which a credential is reported as expiring. A person needs no more time to replace
	// a kubeconfig.
	credentialNotice = 7 * 24 * time.Hour
	// credentialShort is a lifetime that only automation can cope with. API servers that limit tokens grant an hour, or a day.
	credentialShort = 6 * time.Hour
	// credentialRetry is how soon a renewal that is due is looked at again.
	credentialRetry = time.Minute
)

// reportCredential reports the lifetime of the credential by which the operator reaches the member. Ready does not depend on it: the
// connection itself shows when the API server rejects the credential.
func reportCredential(pass *member.Pass, lifetime fleet.Lifetime, renewal credential.State) {
	pass.Object.Status.CredentialExpires = nil
	if !lifetime.NotAfter.IsZero() {
		pass.Object.Status.CredentialExpires = &metav1.Time{Time: lifetime.NotAfter}
	}
	metrics.SetCredentialExpiry(pass.Key(), lifetime.NotAfter)
	result := judgeCredential(lifetime, renewal, pass.Now)
	if result.Kind != phase.Done {
		result.Message = "the credential in " + credentialSource(pass.Object) + " " + result.Message
	}
	pass.Aside = append(pass.Aside, status.Outcome{Type: meshv1alpha1.ConditionCredentialCurrent, Aside: true, Result: result})
}

// judgeCredential says whether a credential expires soon. The message of one that does begins after its subject.
func judgeCredential(lifetime fleet.Lifetime, renewal credential.State, now time.Time) phase.Result {
	if lifetime.NotAfter.IsZero() {
		return phase.Complete(meshv1alpha1.ReasonReady, "the credential has no expiry, or does not contain it")
	}
	cure := "write a kubeconfig with a new credential into the Secret, for example from hack/member-kubeconfig.sh"
	if renewal.Cluster != "" {
		cure = fmt.Sprintf("Cluster API writes this Secret and has not renewed it: see the conditions of Cluster %q and of its control plane", renewal.Cluster)
	}
	expires := lifetime.NotAfter.UTC().Format(time.RFC3339)
	if renewal.IsAutomatic && lifetime.NotAfter.After(now) {
		return judgeRenewal(renewal, expires, now)
	}
	e := outcome.Expiry{
		NotBefore: lifetime.NotBefore, NotAfter: lifetime.NotAfter, Notice: credentialNotice,
		Current:  phase.Complete(meshv1alpha1.ReasonReady, "the credential expires at "+expires),
		Expiring: phase.Waiting(meshv1alpha1.ReasonCredentialExpiring, fmt.Sprintf("expires at %s: %s", expires, cure), 0),
		Expired:  phase.Waiting(meshv1alpha1.ReasonCredentialExpired, fmt.Sprintf("expired at %s: %s", expires, cure), 0),
	}
	life := lifetime.NotAfter.Sub(lifetime.NotBefore)
	isShort := !lifetime.NotBefore.IsZero() && life < credentialShort
	switch {
	case isShort && renewal.Cluster != "":
		// Providers with tokens of minutes renew them just before their end.
		e.Current = phase.Complete(meshv1alpha1.ReasonReady, fmt.Sprintf("the credential is valid for %s, and Cluster API renews it for Cluster %q",
			life, renewal.Cluster))
		e.Expiring = e.Current
	case isShort:
		e.Current = phase.Waiting(meshv1alpha1.ReasonCredentialShortLived, fmt.Sprintf("is valid for %s only, less than %s: its API server may "+
			"limit the lifetime of tokens; annotate the Secret with %s: \"true\" if nothing else writes it, renew it by other means, or use a "+
			"client certificate", life, credentialShort, meshv1alpha1.AnnotationRenew), 0)
	}
	return e.Judge(now)
}

// judgeRenewal says how the renewal of a credential stands that the operator renews and that has not expired.
func judgeRenewal(renewal credential.State, expires string, now time.Time) phase.Result {
	if renewal.Problem != "" {
		return phase.Waiting(meshv1alpha1.ReasonCredentialNotRenewed,
			fmt.Sprintf("expires at %s and could not be renewed: %s", expires, renewal.Problem), credentialRetry)
	}
	result := phase.Complete(meshv1alpha1.ReasonReady, fmt.Sprintf("the credential expires at %s and is renewed at %s",
		expires, renewal.Due.UTC().Format(time.RFC3339)))
	result.After = min(max(renewal.Due.Sub(now), credentialRetry), outcome.ExpiryRecheck)
	return result
}

// credentialSource names the place of the credential.
func credentialSource(m *meshv1alpha1.MeshMember) string {
	if ref := m.Spec.ClusterRef.KubeconfigSecret; ref != nil {
		return fmt.Sprintf("Secret %q", ref.Name)
	}
	return "the operator's own configuration"
}
