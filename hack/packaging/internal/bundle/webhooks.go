package bundle

import (
	"fmt"
	"slices"
	"strings"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

const (
	validatingKind = "ValidatingWebhookConfiguration"
	mutatingKind   = "MutatingWebhookConfiguration"
	injectFrom     = "cert-manager.io/inject-ca-from"
	// defaultPort is the port of a webhook's Service that the API server uses if the configuration names none.
	defaultPort = 443
)

// lostConditions are the match conditions that OLM cannot express and whose loss docs/install-operatorhub.md describes.
var lostConditions = []string{"not-being-deleted", "changes-spec", "protected"}

// webhooks are the admission webhooks with what serves them outside of OLM.
type webhooks struct {
	validating, mutating []admissionregistrationv1.MutatingWebhook
	// service, certificate, secret and issuer are names. OLM makes the first three of its own.
	service, certificate, secret, issuer string
	// ports are those of the Service.
	ports []corev1.ServicePort
}

func webhooksOf(objects []*unstructured.Unstructured) (*webhooks, error) {
	w := &webhooks{}
	validating, err := manifests.DecodeKind[admissionregistrationv1.ValidatingWebhookConfiguration](objects, validatingKind)
	if err != nil {
		return nil, err
	}
	sources := map[string]bool{}
	for _, configuration := range validating {
		sources[configuration.Annotations[injectFrom]] = true
		for _, v := range configuration.Webhooks {
			w.validating = append(w.validating, asMutating(v))
		}
	}
	mutating, err := manifests.DecodeKind[admissionregistrationv1.MutatingWebhookConfiguration](objects, mutatingKind)
	if err != nil {
		return nil, err
	}
	for _, configuration := range mutating {
		sources[configuration.Annotations[injectFrom]] = true
		w.mutating = append(w.mutating, configuration.Webhooks...)
	}
	if err := w.findService(objects); err != nil {
		return nil, err
	}
	if len(sources) != 1 {
		return nil, fmt.Errorf("%d certificates are injected into the webhook configurations, want 1", len(sources))
	}
	for source := range sources {
		_, w.certificate, _ = strings.Cut(source, "/")
	}
	if err := w.findIssuer(objects); err != nil {
		return nil, err
	}
	return w, nil
}

// asMutating returns a validating webhook as a mutating one, which has all its fields.
func asMutating(v admissionregistrationv1.ValidatingWebhook) admissionregistrationv1.MutatingWebhook {
	return admissionregistrationv1.MutatingWebhook{
		Name: v.Name, ClientConfig: v.ClientConfig, Rules: v.Rules, FailurePolicy: v.FailurePolicy, MatchPolicy: v.MatchPolicy,
		NamespaceSelector: v.NamespaceSelector, ObjectSelector: v.ObjectSelector, SideEffects: v.SideEffects, TimeoutSeconds: v.TimeoutSeconds,
		AdmissionReviewVersions: v.AdmissionReviewVersions, MatchConditions: v.MatchConditions,
	}
}

// findService finds the one Service that all webhooks name.
func (w *webhooks) findService(objects []*unstructured.Unstructured) error {
	for _, hook := range slices.Concat(w.validating, w.mutating) {
		service := hook.ClientConfig.Service
		if service == nil {
			return fmt.Errorf("webhook %s has no Service: OLM calls webhooks by the Service of their Deployment only", hook.Name)
		}
		if w.service != "" && w.service != service.Name {
			return fmt.Errorf("webhook %s has the Service %q, others have %q: OLM makes one Service", hook.Name, service.Name, w.service)
		}
		w.service = service.Name
	}
	for _, u := range manifests.OfKind(objects, "Service") {
		if u.GetName() != w.service {
			continue
		}
		service, err := manifests.Decode[corev1.Service](u)
		if err != nil {
			return err
		}
		w.ports = service.Spec.Ports
		return nil
	}
	return fmt.Errorf("there is no Service %q, which the webhooks name", w.service)
}

// findIssuer finds the Secret and the Issuer of the certificate.
func (w *webhooks) findIssuer(objects []*unstructured.Unstructured) error {
	for _, u := range manifests.OfKind(objects, "Certificate") {
		if u.GetName() != w.certificate {
			continue
		}
		var err error
		if w.secret, _, err = unstructured.NestedString(u.Object, "spec", "secretName"); err != nil {
			return err
		}
		if w.issuer, _, err = unstructured.NestedString(u.Object, "spec", "issuerRef", "name"); err != nil {
			return err
		}
		if w.secret == "" || w.issuer == "" {
			return fmt.Errorf("certificate %q has no secretName or no issuer", w.certificate)
		}
		return nil
	}
	return fmt.Errorf("there is no Certificate %q, which is injected into the webhook configurations", w.certificate)
}

// describe returns the webhooks in the form of OLM, mutating ones first.
func (w *webhooks) describe(deployment *appsv1.Deployment) ([]operatorsv1alpha1.WebhookDescription, error) {
	var all []operatorsv1alpha1.WebhookDescription
	for _, group := range []struct {
		kind  operatorsv1alpha1.WebhookAdmissionType
		hooks []admissionregistrationv1.MutatingWebhook
	}{{operatorsv1alpha1.MutatingAdmissionWebhook, w.mutating}, {operatorsv1alpha1.ValidatingAdmissionWebhook, w.validating}} {
		for _, hook := range group.hooks {
			description, err := w.describeOne(group.kind, hook, deployment)
			if err != nil {
				return nil, fmt.Errorf("webhook %s: %w", hook.Name, err)
			}
			all = append(all, description)
		}
	}
	return all, nil
}

func (w *webhooks) describeOne(
	kind operatorsv1alpha1.WebhookAdmissionType, hook admissionregistrationv1.MutatingWebhook, deployment *appsv1.Deployment,
) (operatorsv1alpha1.WebhookDescription, error) {
	none := operatorsv1alpha1.WebhookDescription{}
	if hook.NamespaceSelector != nil {
		return none, fmt.Errorf("it has a namespaceSelector, which OLM sets itself to the namespaces of the OperatorGroup")
	}
	for _, condition := range hook.MatchConditions {
		if !slices.Contains(lostConditions, condition.Name) {
			return none, fmt.Errorf("OLM has no place for the match condition %q: describe its loss in docs/install-operatorhub.md", condition.Name)
		}
	}
	port := int32(defaultPort)
	if hook.ClientConfig.Service.Port != nil {
		port = *hook.ClientConfig.Service.Port
	}
	target, err := w.target(port, deployment)
	if err != nil {
		return none, err
	}
	return operatorsv1alpha1.WebhookDescription{
		GenerateName: hook.Name, Type: kind, DeploymentName: deployment.Name, ContainerPort: port, TargetPort: target, Rules: hook.Rules,
		FailurePolicy: hook.FailurePolicy, MatchPolicy: hook.MatchPolicy, ObjectSelector: hook.ObjectSelector, SideEffects: hook.SideEffects,
		TimeoutSeconds: hook.TimeoutSeconds, AdmissionReviewVersions: hook.AdmissionReviewVersions, ReinvocationPolicy: hook.ReinvocationPolicy,
		WebhookPath: hook.ClientConfig.Service.Path,
	}, nil
}

// target is the number of the container's port behind a port of the Service.
func (w *webhooks) target(port int32, deployment *appsv1.Deployment) (*intstr.IntOrString, error) {
	manager, err := manifests.Manager(deployment)
	if err != nil {
		return nil, err
	}
	for _, p := range w.ports {
		if p.Port != port {
			continue
		}
		for _, c := range manager.Ports {
			if p.TargetPort.Type == intstr.String && p.TargetPort.StrVal == c.Name || p.TargetPort.Type == intstr.Int && p.TargetPort.IntVal == c.ContainerPort {
				number := intstr.FromInt32(c.ContainerPort)
				return &number, nil
			}
		}
	}
	return nil, fmt.Errorf("port %d of the Service %q leads to no port of the container %q", port, w.service, manager.Name)
}
