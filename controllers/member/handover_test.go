package member

import (
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// TestKeeper leaves the Services of tags at a revision that workloads leave, but never brings them to one.
func TestKeeper(t *testing.T) {
	const from, to = "1-28-3", "1-29-1"
	labels := func(tag, revision string) map[string]string {
		return map[string]string{meshv1alpha1.LabelInstallation: "meshfleet-system.shop", "istio.io/tag": tag, "istio.io/rev": revision}
	}
	webhook := func(revision string) client.Object {
		return &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "tag", Labels: labels("prod", revision)}}
	}
	service := func(revision string) client.Object {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "tag", Labels: labels("prod", revision)}}
	}
	foreign := service(to)
	foreign.SetLabels(map[string]string{"istio.io/tag": "theirs", "istio.io/rev": to})
	tests := map[string]struct {
		stage   meshv1alpha1.Stage
		objects []client.Object
		want    string
	}{
		"the tags are about to move":                  {meshv1alpha1.StageWorkloads, []client.Object{webhook(from), service(from)}, from},
		"the webhook has moved":                       {meshv1alpha1.StageWorkloads, []client.Object{webhook(to), service(from)}, from},
		"a Service that has moved stays there":        {meshv1alpha1.StageWorkloads, []client.Object{webhook(to), service(to)}, ""},
		"workloads have left":                         {meshv1alpha1.StageSoak, []client.Object{webhook(to), service(from)}, ""},
		"tags that have moved are about to move back": {meshv1alpha1.StageRollBack, []client.Object{webhook(to), service(from)}, to},
		"the webhook has moved back":                  {meshv1alpha1.StageRollBack, []client.Object{webhook(from), service(to)}, to},
		"tags that have never moved":                  {meshv1alpha1.StageRollBack, []client.Object{webhook(from), service(from)}, ""},
		"tags of somebody else":                       {meshv1alpha1.StageRollBack, []client.Object{webhook(from), foreign}, ""},
		"before the tags move":                        {meshv1alpha1.StageGateways, []client.Object{webhook(from), service(from)}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := pass(tt.objects...)
			s.member.Spec.Rollout = &meshv1alpha1.MemberRollout{From: from, To: to, Stage: tt.stage}
			s.member.Spec.Revisions = []meshv1alpha1.Revision{{Name: from, Version: "1.28.3"}, {Name: to, Version: "1.29.1"}}
			got, err := (&Reconciler{}).keeper(t.Context(), s)
			if err != nil || got != tt.want {
				t.Errorf("keeper %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// TestTagsWaitForPermissions lets API servers learn what the former istiod may not write any more before the tags move.
func TestTagsWaitForPermissions(t *testing.T) {
	tests := map[string]struct {
		keeper, wrote string
		since         time.Duration
		want          bool
	}{
		"nobody keeps Gateways":                   {"", "istiod-1-28-3", 0, false},
		"the keeper was written":                  {"1-28-3", "istiod-1-28-3", time.Second, true},
		"only the other revision was written":     {"1-28-3", "istiod-1-29-1", 0, false},
		"the keeper was written in a former pass": {"1-28-3", "", time.Second, false},
		"the keeper is written again and again":   {"1-28-3", "istiod-1-28-3", permissionsSettle, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := pass()
			s.member.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{Since: metav1.NewTime(s.now.Add(-tt.since))}
			if tt.wrote != "" {
				s.wrote = map[string]bool{tt.wrote: true}
			}
			if got := isTooEarly(s, tt.keeper); got != tt.want {
				t.Errorf("too early: %v, want %v", got, tt.want)
			}
		})
	}
}
