package chart

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// defaultNamespace is where config/default installs the operator.
const defaultNamespace = "meshfleet-system"

const header = "{{- /* Generated from config by `make chart`. */ -}}\n"

// templateOf returns the template of an object.
func templateOf(u *unstructured.Unstructured, guard string) (string, error) {
	u = u.DeepCopy()
	if err := refuse(u.Object); err != nil {
		return "", err
	}
	h := &holes{}
	if u.GetKind() != "CustomResourceDefinition" {
		u.Object = h.namespaced(u.Object).(map[string]any)
	}
	if err := h.edit(u); err != nil {
		return "", err
	}
	if err := h.label(u); err != nil {
		return "", err
	}
	content, err := h.render(u.Object)
	if err != nil {
		return "", err
	}
	if guard != "" {
		content = "{{- if " + guard + " }}\n" + content + "{{- end }}\n"
	}
	return header + content, nil
}

// namespaced replaces the namespace of config/default in all strings of a value by that of the release.
func (h *holes) namespaced(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = h.namespaced(v[key])
		}
	case []any:
		for i := range v {
			v[i] = h.namespaced(v[i])
		}
	case string:
		if v == defaultNamespace {
			// A namespace may be named like a number.
			return h.expression("{{ .Release.Namespace | quote }}")
		}
		if strings.Contains(v, defaultNamespace) {
			return strings.ReplaceAll(v, defaultNamespace, h.expression("{{ .Release.Namespace }}"))
		}
	}
	return value
}

// label adds the labels of the chart to an object.
func (h *holes) label(u *unstructured.Unstructured) error {
	labels, err := child(u.Object, "metadata", "labels")
	if err != nil {
		return err
	}
	labels["zz-chart"] = h.block(`{{- include "meshfleet.labels" . | nindent +0 }}`)
	return nil
}

// edit puts the values into an object, as its kind has some.
func (h *holes) edit(u *unstructured.Unstructured) error {
	switch u.GetKind() {
	case "CustomResourceDefinition":
		return h.editCRD(u.Object)
	case "Deployment":
		return h.editDeployment(u.Object)
	case "ServiceAccount":
		return h.editServiceAccount(u.Object)
	case "ClusterRole":
		return h.editClusterRole(u)
	case "Certificate":
		return h.editCertificate(u.Object)
	case "NetworkPolicy":
		return h.editNetworkPolicy(u.Object)
	case "ServiceMonitor":
		return h.editServiceMonitor(u.Object)
	case "PrometheusRule":
		return h.extraLabels(u.Object, "metrics.prometheusRule.labels")
	}
	return nil
}

func (h *holes) editCRD(object map[string]any) error {
	annotations, err := child(object, "metadata", "annotations")
	if err != nil {
		return err
	}
	annotations["helm.sh/resource-policy"] = h.block("{{- if .Values.crd.keep }}\nhelm.sh/resource-policy: keep\n{{- end }}")
	return nil
}

func (h *holes) editServiceAccount(object map[string]any) error {
	metadata, err := child(object, "metadata")
	if err != nil {
		return err
	}
	if _, ok := metadata["annotations"]; ok {
		return errors.New("it has annotations, which would be replaced by the value serviceAccount.annotations")
	}
	metadata["annotations"] = h.block(optional("serviceAccount.annotations", "annotations"))
	return nil
}

// editClusterRole lets a value choose the built-in roles that get the permissions of a role for people.
func (h *holes) editClusterRole(u *unstructured.Unstructured) error {
	helper := helperOf(u)
	if helper == "" {
		return nil
	}
	labels, err := child(u.Object, "metadata", "labels")
	if err != nil {
		return err
	}
	for key := range labels {
		if strings.HasPrefix(key, aggregateLabel) {
			delete(labels, key)
		}
	}
	labels["zz-aggregate"] = h.block(fmt.Sprintf("{{- range .Values.rbacHelpers.aggregate.%s }}\n%s{{ . }}: \"true\"\n{{- end }}", helper, aggregateLabel))
	return nil
}

// aggregateLabel is the beginning of the labels by which the built-in roles get more permissions.
const aggregateLabel = "rbac.authorization.k8s.io/aggregate-to-"

func (h *holes) editCertificate(object map[string]any) error {
	spec, err := child(object, "spec")
	if err != nil {
		return err
	}
	own, found, err := unstructured.NestedString(spec, "issuerRef", "name")
	if err != nil {
		return err
	}
	if !found {
		return errors.New("it has no issuer")
	}
	spec["issuerRef"] = h.block(`{{- include "meshfleet.checkIssuer" . }}
issuerRef:
  {{- with .Values.certManager.issuerRef.group }}
  group: {{ . | quote }}
  {{- end }}
  kind: {{ .Values.certManager.issuerRef.kind | quote }}
  name: {{ .Values.certManager.issuerRef.name | default "` + own + `" | quote }}`)
	return nil
}

// metricsRule returns the rules of a NetworkPolicy, not a copy of them, and the index of the one that lets the metrics be read. That rule is a map.
func metricsRule(object map[string]any) (rules []any, index int, err error) {
	spec, err := child(object, "spec")
	if err != nil {
		return nil, 0, err
	}
	if rules, err = list(spec, "ingress"); err != nil {
		return nil, 0, err
	}
	for i := range rules {
		rule, ok := rules[i].(map[string]any)
		if !ok {
			continue
		}
		if ports, ok := rule["ports"].([]any); ok {
			if _, _, err := find(ports, "port", "metrics"); err == nil {
				return rules, i, nil
			}
		}
	}
	return nil, 0, errors.New("no rule of the NetworkPolicy is for the port metrics")
}

func (h *holes) editNetworkPolicy(object map[string]any) error {
	rules, index, err := metricsRule(object)
	if err != nil {
		return err
	}
	delete(rules[index].(map[string]any), "from")
	lines, err := listItem(rules[index])
	if err != nil {
		return err
	}
	rules[index] = h.block("{{- if .Values.metrics.enable }}\n" + lines +
		"  {{- with .Values.networkPolicy.metricsFrom }}\n  from:\n    {{- toYaml . | nindent +4 }}\n  {{- end }}\n{{- end }}")
	return nil
}

func (h *holes) editServiceMonitor(object map[string]any) error {
	spec, err := child(object, "spec")
	if err != nil {
		return err
	}
	endpoints, err := list(spec, "endpoints")
	if err != nil {
		return err
	}
	_, endpoint, err := find(endpoints, "port", "https")
	if err != nil {
		return err
	}
	endpoint["interval"] = h.block("{{- with .Values.metrics.serviceMonitor.interval }}\ninterval: {{ . | quote }}\n{{- end }}")
	return h.extraLabels(object, "metrics.serviceMonitor.labels")
}

// extraLabels adds the labels of a value to an object.
func (h *holes) extraLabels(object map[string]any, value string) error {
	labels, err := child(object, "metadata", "labels")
	if err != nil {
		return err
	}
	labels["zz-extra"] = h.block(items(value))
	return nil
}
