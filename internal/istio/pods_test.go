package istio

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Notes of the injector of Istio 1.29.1.
const (
	sidecarNote = `{"initContainers":["istio-init","istio-proxy"],"containers":null,"volumes":["workload-socket","istio-envoy","istio-data"],"revision":"1-29-1"}`
	agentNote   = `{"initContainers":null,"containers":["istio-proxy"],"volumes":["workload-socket","istio-xds","istio-data"],"revision":"1-29-1"}`
	simpleNote  = `{"initContainers":["grpc-bootstrap-init"],"containers":["app"],"volumes":["grpc-io-proxyless-bootstrap"],"revision":"1-29-1"}`
)

func TestIsProxyless(t *testing.T) {
	for name, test := range map[string]struct {
		templates, note string
		want            bool
	}{
		"a sidecar":                           {note: sidecarNote},
		"an agent by annotation":              {templates: "grpc-agent", want: true},
		"a bootstrap by annotation":           {templates: "common, grpc-simple", want: true},
		"an agent beside a sidecar":           {templates: "sidecar,grpc-agent", note: sidecarNote},
		"an agent by default":                 {note: agentNote, want: true},
		"a bootstrap by default":              {note: simpleNote, want: true},
		"an agent by a template of the users": {templates: "ours", note: agentNote, want: true},
		"a gateway":                           {templates: "gateway", note: sidecarNote},
		"a note that cannot be read":          {note: "injected"},
		"a pod without a proxy":               {},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{TemplatesAnnotation: test.templates, InjectedAnnotation: test.note}}}
		if got := IsProxyless(p); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}

func TestProxyRevision(t *testing.T) {
	for name, test := range map[string]struct{ annotation, note, want string }{
		"by the annotation":          {"1-29-1", `{"revision":"default"}`, "1-29-1"},
		"by the note":                {"", simpleNote, "1-29-1"},
		"a note that cannot be read": {"", "injected", ""},
		"a pod without a proxy":      {"1-29-1", "", ""},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{RevisionLabel: test.annotation, InjectedAnnotation: test.note}}}
		if got := ProxyRevision(p); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestIsLost(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, test := range map[string]struct {
		deletion time.Time
		want     bool
	}{
		"a pod that stays":                 {},
		"a pod that may take its time":     {deletion: now.Add(20 * time.Second)},
		"a pod that is late":               {deletion: now.Add(-lostAfter)},
		"a pod that is later than allowed": {deletion: now.Add(-lostAfter - time.Second), want: true},
	} {
		p := &corev1.Pod{}
		if !test.deletion.IsZero() {
			p.DeletionTimestamp = &metav1.Time{Time: test.deletion}
		}
		if got := IsLost(p, now); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}
