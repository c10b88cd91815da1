package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
)

const (
	// signingRecheck is how often istiod is asked with what it signs when nothing is pending.
	signingRecheck = 10 * time.Minute
	// signingPace is how often it is asked while it is to take over another intermediate.
	signingPace = 20 * time.Second
	// signingDeadline is how long it may take that an istiod signs with what was written: kubelet brings a Secret within 2 minutes.
	signingDeadline = 5 * time.Minute
)

// Istiod answers for one istiod pod.
type Istiod interface {
	// SigningEnd is the end of the certificate with which it signs for workloads. Zero: it signs for none.
	SigningEnd(ctx context.Context, cfg *rest.Config, namespace, pod string) (time.Time, error)
}

// signing is what is remembered of what a member's istiods sign with.
type signing struct {
	// certificate is the intermediate of the Secret that they were last asked about, and asked when.
	certificate []byte
	asked       time.Time
	// behind are the pods that sign with another one, and since is when the first of them was found.
	behind []string
	since  time.Time
}

// intermediateInForce asks every istiod pod whether it signs with the intermediate of the Secret. An istiod that has refused a renewed one
// keeps the old one, logs it, and never tries again: it reads the files only when they change. A restart cures that. The pass
// goes on meanwhile, because the old intermediate is still valid.
func (s *Steps) intermediateInForce(ctx context.Context, pass *member.Pass, secret *corev1.Secret) phase.Result {
	want, err := signingCertificate(secret)
	if err != nil {
		return outcome.Failed(err)
	}
	m := s.memory.Of(pass)
	pace := signingRecheck
	if len(m.behind) > 0 {
		pace = signingPace
	}
	if !bytes.Equal(m.certificate, want.Raw) || pass.Now.Sub(m.asked) >= pace {
		if err := s.askSigning(ctx, pass, m, want); err != nil {
			m.judge(pass, want) // a restart that was needed still is
			result := phase.Retrying(meshv1alpha1.ReasonWaitingForIstiod, err)
			result.Passable = true
			return result
		}
	}
	return m.judge(pass, want)
}

// askSigning asks the istiod pods, and reports the intermediate in force.
func (s *Steps) askSigning(ctx context.Context, pass *member.Pass, m *signing, want *x509.Certificate) error {
	pods, err := member.ServingIstiods(ctx, pass.Remote, &pass.Object.Spec)
	if err != nil {
		return err
	}
	var first time.Time
	var behind []string
	for i := range pods {
		end, err := s.Istiod.SigningEnd(ctx, pass.Config(), pods[i].Namespace, pods[i].Name)
		if err != nil {
			return fmt.Errorf("ask istiod pod %s for the end of its signing certificate: %w", pods[i].Name, err)
		}
		if end.IsZero() {
			continue
		}
		if first.IsZero() || end.Before(first) {
			first = end
		}
		if !end.Equal(want.NotAfter) {
			behind = append(behind, pods[i].Name)
		}
	}
	switch {
	case len(behind) == 0:
		m.since = time.Time{}
	case m.since.IsZero() || !bytes.Equal(m.certificate, want.Raw):
		m.since = pass.Now
	}
	m.certificate, m.asked, m.behind = want.Raw, pass.Now, behind
	if !first.IsZero() {
		pass.Object.Status.Trust.IntermediateInForceNotAfter = &metav1.Time{Time: first}
		metrics.SetCertificateInForceExpiry(pass.Key(), first)
	}
	return nil
}

// judge says what follows from the last answers.
func (m *signing) judge(pass *member.Pass, want *x509.Certificate) phase.Result {
	inForce := pass.Object.Status.Trust.IntermediateInForceNotAfter
	if len(m.behind) == 0 || inForce == nil {
		done := phase.Complete(meshv1alpha1.ReasonReady, "istiod hands out root "+mesh.ShortRoot(pass.Object.Status.Trust.RootFingerprints))
		done.After = signingRecheck
		return done
	}
	fact := fmt.Sprintf("istiod signs with an intermediate that expires at %s in %s; Secret %s/%s has the one that expires at %s",
		inForce.UTC().Format(time.RFC3339), mesh.List(m.behind, len(m.behind)), pass.Namespace(), cacertsName, want.NotAfter.UTC().Format(time.RFC3339))
	if pass.Now.Sub(m.since) < signingDeadline {
		result := phase.Complete(meshv1alpha1.ReasonReady, fact+": it is taken over within minutes")
		result.After = signingPace
		return result
	}
	pass.NeedRestart(meshv1alpha1.ReasonIntermediateNotInForce, fact)
	result := phase.Waiting(meshv1alpha1.ReasonIntermediateNotInForce, fact+fmt.Sprintf(
		": istiod has not taken it over within %s and is restarted in turn; its log contains the cause", signingDeadline), signingPace).
		Overdue(m.since, pass.Now, signingDeadline+plan.RestartDeadline, meshv1alpha1.ReasonIntermediateNotInForce)
	result.Passable = true
	return result
}

// signingCertificate is the certificate of the Secret `cacerts` with which istiod signs, in either of its layouts.
func signingCertificate(secret *corev1.Secret) (*x509.Certificate, error) {
	text := secret.Data["cert-chain.pem"]
	if len(secret.Data[corev1.TLSCertKey]) > 0 {
		text = secret.Data[corev1.TLSCertKey]
	}
	certs, err := ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("signing certificate in Secret %q: %w", secret.Name, err)
	}
	return certs[0], nil
}

// tooEarly is how long a renewed intermediate must still wait before it is written. Zero: it is written now. An istiod by whose clock
// it is not valid yet refuses it for good, and cert-manager issues certificates that begin at once. A member without a certificate
// gets it at once: an istiod that starts tries again until it is valid. So does one whose certificate is about to end.
func tooEarly(ctx context.Context, pass *member.Pass, renewed *Bundle, hasOne bool) (time.Duration, error) {
	wait := renewed.NotBefore.Add(clockSkew).Sub(pass.Now)
	if wait <= 0 || !hasOne {
		return 0, nil
	}
	secret := &corev1.Secret{}
	if err := pass.Remote.Get(ctx, client.ObjectKey{Namespace: pass.Namespace(), Name: cacertsName}, secret); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	present, err := signingCertificate(secret)
	if err != nil {
		// What cannot be read is replaced.
		return 0, nil //nolint:nilerr // istiod cannot read it either
	}
	written, err := ParseCertificates(renewed.Chain)
	if err != nil {
		return 0, fmt.Errorf("renewed certificate: %w", err)
	}
	if present.Equal(written[0]) || present.NotAfter.Sub(pass.Now) <= 2*clockSkew {
		return 0, nil
	}
	return wait, nil
}
