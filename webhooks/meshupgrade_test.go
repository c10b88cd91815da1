package webhooks

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// upgrade is one in a phase, with an order, if there is one.
func record(phase meshv1alpha1.UpgradePhase, order meshv1alpha1.UpgradeAction, edits ...func(*meshv1alpha1.MeshUpgrade)) *meshv1alpha1.MeshUpgrade {
	u := &meshv1alpha1.MeshUpgrade{ObjectMeta: metav1.ObjectMeta{Name: "shop-1", Namespace: namespace}}
	u.Status.Phase = phase
	if order != "" {
		u.Annotations = map[string]string{meshv1alpha1.AnnotationAction: string(order)}
	}
	for _, edit := range edits {
		edit(u)
	}
	return u
}

func TestOrders(t *testing.T) {
	const pause, abort, retry = meshv1alpha1.UpgradeActionPause, meshv1alpha1.UpgradeActionAbort, meshv1alpha1.UpgradeActionRetry
	const running, over, done = meshv1alpha1.UpgradeRunning, meshv1alpha1.UpgradeRolledBack, meshv1alpha1.UpgradeSucceeded
	deleted := func(u *meshv1alpha1.MeshUpgrade) { u.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
	labelled := func(u *meshv1alpha1.MeshUpgrade) { u.Labels = map[string]string{"a": "b"} }
	partly := func(u *meshv1alpha1.MeshUpgrade) { u.Status.Failed = []string{"west"} }
	empty := func(u *meshv1alpha1.MeshUpgrade) {
		u.Annotations = map[string]string{meshv1alpha1.AnnotationAction: ""}
	}
	cases := map[string]struct {
		phase         meshv1alpha1.UpgradePhase
		before, after meshv1alpha1.UpgradeAction
		edits         []func(*meshv1alpha1.MeshUpgrade)
		// want is a part of the refusal. Empty: it is accepted.
		want   string
		warned bool
	}{
		"a pause of what is under way":           {phase: running, after: pause},
		"a pause of what has just been made":     {after: pause},
		"a pause of a plan":                      {phase: meshv1alpha1.UpgradePlanned, after: pause},
		"an abort of what is under way":          {phase: running, after: abort},
		"an abort of what is paused":             {phase: meshv1alpha1.UpgradePaused, before: pause, after: abort},
		"an abort of what stops":                 {phase: meshv1alpha1.UpgradeStopping, after: abort},
		"a pause of what is going back":          {phase: meshv1alpha1.UpgradeRollingBack, after: pause, warned: true},
		"a retry of what is over":                {phase: over, after: retry},
		"a retry of what was aborted":            {phase: over, before: abort, after: retry},
		"a retry of what stopped":                {phase: meshv1alpha1.UpgradeStopped, after: retry},
		"a retry of what some members missed":    {phase: done, after: retry, edits: []func(*meshv1alpha1.MeshUpgrade){partly}},
		"an order that is taken away":            {phase: running, before: pause},
		"an order that is taken away afterwards": {phase: over, before: abort},
		"an order that is emptied":               {phase: running, before: pause, edits: []func(*meshv1alpha1.MeshUpgrade){empty}},
		"a word that is none":                    {phase: running, after: "Stop", want: `supported values: "Pause", "Abort", "Retry"`},
		"a word in small letters":                {phase: running, after: "pause", want: `supported values: "Pause", "Abort", "Retry"`},
		"a word that is none, afterwards":        {phase: over, after: "Again", want: `supported values: "Pause", "Abort", "Retry"`},
		"a retry of what is under way":           {phase: running, after: retry, want: "is not over; to let it go on, take the annotation away"},
		"a retry of what is paused":              {phase: meshv1alpha1.UpgradePaused, before: pause, after: retry, want: "is not over"},
		"a retry of what has just been made":     {after: retry, want: "is not over"},
		"a retry of what succeeded":              {phase: done, after: retry, want: "nothing to try again"},
		"a pause of what is over":                {phase: over, after: pause, want: "is over (RolledBack); write it on the one that is under way"},
		"an abort of what stopped":               {phase: meshv1alpha1.UpgradeStopped, after: abort, want: "is over (Stopped); write it on the one that is under way"},
		"an abort of what succeeded":             {phase: done, after: abort, want: "to go back, change the spec of the MeshInstallation"},
		// What was let through before, or was right then, hinders nothing.
		"something else while the order is none":      {phase: running, before: "Stop", after: "Stop", edits: []func(*meshv1alpha1.MeshUpgrade){labelled}},
		"something else when the order has come true": {phase: over, before: abort, after: abort, edits: []func(*meshv1alpha1.MeshUpgrade){labelled}},
		"something else when the retry is under way":  {phase: over, before: retry, after: retry, edits: []func(*meshv1alpha1.MeshUpgrade){labelled}},
		"something else without an order":             {phase: running, edits: []func(*meshv1alpha1.MeshUpgrade){labelled}},
		"a finalizer of what is being deleted":        {phase: running, before: "Stop", after: "Stop", edits: []func(*meshv1alpha1.MeshUpgrade){deleted}},
		"anything about what is being deleted":        {phase: over, after: "Stop", edits: []func(*meshv1alpha1.MeshUpgrade){deleted}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			warnings, err := orders{}.ValidateUpdate(t.Context(), record(c.phase, c.before), record(c.phase, c.after, c.edits...))
			if (len(warnings) > 0) != c.warned {
				t.Errorf("warnings %v, want some: %t", warnings, c.warned)
			}
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			const field = "metadata.annotations[mesh.meshfleet.io/action]"
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want a refusal that names %s and says %q, got: %v", field, c.want, err)
			}
		})
	}
}

func TestOrdersHinderNoCreation(t *testing.T) {
	if _, err := (orders{}).ValidateCreate(t.Context(), record("", "Stop")); err != nil {
		t.Errorf("creation: %v", err)
	}
}

func TestDeletionOfAnUpgrade(t *testing.T) {
	started := func(u *meshv1alpha1.MeshUpgrade) { u.Status.StartedAt = &metav1.Time{Time: time.Unix(1, 0)} }
	deleted := func(u *meshv1alpha1.MeshUpgrade) { u.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
	mesh := installation("shop")
	going := installation("shop", func(inst *meshv1alpha1.MeshInstallation) {
		inst.DeletionTimestamp, inst.Finalizers = &metav1.Time{Time: time.Unix(1, 0)}, []string{meshv1alpha1.Finalizer}
	})
	cases := map[string]struct {
		upgrade *meshv1alpha1.MeshUpgrade
		inst    *meshv1alpha1.MeshInstallation
		refused bool
	}{
		"one that runs":                           {record(meshv1alpha1.UpgradeRunning, "", started), mesh, true},
		"one that is going back":                  {record(meshv1alpha1.UpgradeRollingBack, "Abort", started), mesh, true},
		"one that is paused":                      {record(meshv1alpha1.UpgradePaused, "", started), mesh, true},
		"a plan":                                  {record(meshv1alpha1.UpgradePlanned, ""), mesh, false},
		"one that is over":                        {record(meshv1alpha1.UpgradeRolledBack, "", started), mesh, false},
		"one that was deleted before":             {record(meshv1alpha1.UpgradeRunning, "", started, deleted), mesh, false},
		"one that runs while the mesh is deleted": {record(meshv1alpha1.UpgradeRunning, "", started), going, false},
		"one whose mesh is gone":                  {record(meshv1alpha1.UpgradeRunning, "", started), nil, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.upgrade.Namespace, c.upgrade.Spec.Installation = "meshfleet-system", "shop"
			_, err := orders{reader: readerOf(t, c.inst)}.ValidateDelete(t.Context(), c.upgrade)
			if refused := apierrors.IsForbidden(err); refused != c.refused || err != nil && !refused {
				t.Errorf("refused: %v (%v), want %v", refused, err, c.refused)
			}
			if c.refused && !strings.Contains(err.Error(), "mesh.meshfleet.io/action=Abort") {
				t.Errorf("no cure in: %v", err)
			}
		})
	}
}
