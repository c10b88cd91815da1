package builtin

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
)

// webhook is how the API server reaches a webhook of istiod, and what it trusts there.
type webhook struct {
	roots      *x509.CertPool
	serverName string
	path       string
}

// injector finds the webhook by which a revision injects proxies.
func injector(ctx context.Context, m *gate.Subject, revision string) (webhook, error) {
	list := &admissionregistrationv1.MutatingWebhookConfigurationList{}
	if err := m.Client.List(ctx, list, ofRevision(m, revision)); err != nil {
		return webhook{}, fmt.Errorf("list injection webhooks of revision %q: %w", revision, err)
	}
	var configs []admissionregistrationv1.WebhookClientConfig
	for i := range list.Items {
		for _, w := range list.Items[i].Webhooks {
			configs = append(configs, w.ClientConfig)
		}
	}
	return findWebhook(m, revision, "injection", configs)
}

// validator finds the webhook by which a revision validates Istio's objects.
func validator(ctx context.Context, m *gate.Subject, revision string) (webhook, error) {
	list := &admissionregistrationv1.ValidatingWebhookConfigurationList{}
	if err := m.Client.List(ctx, list, ofRevision(m, revision)); err != nil {
		return webhook{}, fmt.Errorf("list validation webhooks of revision %q: %w", revision, err)
	}
	var configs []admissionregistrationv1.WebhookClientConfig
	for i := range list.Items {
		for _, w := range list.Items[i].Webhooks {
			configs = append(configs, w.ClientConfig)
		}
	}
	return findWebhook(m, revision, "validation", configs)
}

func ofRevision(m *gate.Subject, revision string) client.ListOption {
	return client.MatchingLabels{istio.RevisionLabel: revision, meshv1alpha1.LabelInstallation: m.Installation}
}

func findWebhook(m *gate.Subject, revision, what string, configs []admissionregistrationv1.WebhookClientConfig) (webhook, error) {
	service := controlplane.RevisionPrefix + revision
	for _, c := range configs {
		if c.Service == nil || c.Service.Name != service || c.Service.Namespace != m.Namespace {
			continue
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(c.CABundle) {
			return webhook{}, fmt.Errorf("the %s webhook of revision %q has no certificate in its caBundle", what, revision)
		}
		return webhook{roots: roots, serverName: service + "." + m.Namespace + ".svc", path: ptr.Deref(c.Service.Path, "/")}, nil
	}
	return webhook{}, fmt.Errorf("revision %q has no %s webhook that leads to Service %q", revision, what, service)
}

// reviewer asks a webhook of one istiod pod.
type reviewer struct {
	client *http.Client
	url    string
}

func newReviewer(m *gate.Subject, pod string, hook webhook) reviewer {
	return reviewer{
		client: istiod.HTTPSClient(m.Config, m.Namespace, pod, istiod.WebhookPort, hook.roots, hook.serverName),
		url:    "https://" + hook.serverName + hook.path,
	}
}

func (r reviewer) close() { r.client.CloseIdleConnections() }

// create asks whether an object may be created, as a dry run.
func (r reviewer) create(ctx context.Context, kind metav1.GroupVersionKind, resource metav1.GroupVersionResource,
	object client.Object,
) (*admissionv1.AdmissionResponse, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", kind.Kind, err)
	}
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: types.UID("meshfleet-gate"), Kind: kind, Resource: resource, RequestKind: &kind, RequestResource: &resource,
			Name: object.GetName(), Namespace: object.GetNamespace(), Operation: admissionv1.Create, DryRun: ptr.To(true),
		},
	}
	review.Request.Object.Raw = raw
	body, err := json.Marshal(review)
	if err != nil {
		return nil, fmt.Errorf("write the review of %s: %w", kind.Kind, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := istiod.Do(r.client, req)
	if err != nil {
		return nil, err
	}
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(answer, &out); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if out.Response == nil || out.Response.UID != review.Request.UID {
		return nil, errors.New("the answer has no response to the request")
	}
	return out.Response, nil
}

func refusal(r *admissionv1.AdmissionResponse) string {
	if r.Result == nil || r.Result.Message == "" {
		return "refused without a reason"
	}
	return r.Result.Message
}
