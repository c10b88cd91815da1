package envtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
)

// heldStory is a hub whose members are played, so that upgrades come to their end.
type heldStory struct{ *suite }

// TestHeld is the story of a mesh in which a member is held back: the others are upgraded, and it follows when the hold is removed.
func TestHeld(t *testing.T) {
	needAssets(t)
	s := heldStory{&suite{members: map[string]*cluster{}, charts: charts.NewLibrary(chartsDir), log: newJournal(t), playsMembers: true}}
	var err error
	s.hub, err = startCluster(t, hubName)
	must(t, err)
	issue(t, s.hub)
	collect(t, s.hub)
	playMembers(t, s.hub)
	s.operator = s.startOperator(t)
	t.Cleanup(func() { s.operator.stop(t) })
	inst := shop(meshName, withMember("east"), withMember("north"), withMember("west"), func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Upgrade.Waves = []meshv1alpha1.Wave{
			{Name: "canary", MemberSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "canary"}}}, {Name: "rest"},
		}
		inst.Spec.Members[0].Labels = map[string]string{"tier": "canary"}
	})
	must(t, s.hub.admin.Create(t.Context(), inst))
	s.awaitReady(t, three...)
	s.runParts(t, []part{
		{"the others are upgraded", s.othersAreUpgraded},
		{"until passes", s.untilPasses},
		{"the mesh would leave it too far behind", s.tooFar},
		{"it follows", s.follows},
		{"all are held", s.allHeld},
		{"it is taken out", s.isTakenOut},
		{"the mesh is deleted", s.isDeleted},
	})
}

func hold(until time.Time, names ...string) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) {
		for i := range inst.Spec.Members {
			if m := &inst.Spec.Members[i]; slices.Contains(names, m.Name) {
				m.Hold = &meshv1alpha1.Hold{Reason: "Kubernetes is too old", Until: metav1.NewTime(until)}
			}
		}
	}
}

func noHold(inst *meshv1alpha1.MeshInstallation) {
	for i := range inst.Spec.Members {
		inst.Spec.Members[i].Hold = nil
	}
}

func ofVersion(v string) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Version = v }
}

// awaitMesh waits until the mesh has what is wanted of it.
func (s heldStory) awaitMesh(t *testing.T, what string, check func(*meshv1alpha1.MeshInstallation) error) {
	t.Helper()
	await(t, what, func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		if inst.Status.ObservedGeneration != inst.Generation {
			return errors.New("the spec is not observed")
		}
		return check(inst)
	})
}

// runs are the revisions of members, as `<name> <revision>`.
func (s heldStory) runs(ctx context.Context) (out []string, err error) {
	list := &meshv1alpha1.MeshMemberList{}
	if err := s.hub.admin.List(ctx, list, client.InNamespace(operatorNamespace)); err != nil {
		return nil, err
	}
	for i := range list.Items {
		m := &list.Items[i]
		text := m.Spec.Cluster
		for _, r := range m.Spec.Revisions {
			text += " " + r.Name
		}
		out = append(out, text)
	}
	return out, nil
}

// awaitRunning waits until the mesh is ready and its members have exactly these revisions.
func (s heldStory) awaitRunning(t *testing.T, version string, want ...string) {
	t.Helper()
	s.awaitMesh(t, fmt.Sprintf("the mesh runs %s, and members %v", version, want), func(inst *meshv1alpha1.MeshInstallation) error {
		got, err := s.runs(t.Context())
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) || inst.Status.EffectiveVersion != version || !meta.IsStatusConditionTrue(inst.Status.Conditions, meshv1alpha1.ConditionReady) {
			return fmt.Errorf("members run %q, the mesh %s: %s", got, inst.Status.EffectiveVersion, describe(inst.Status.Conditions))
		}
		return nil
	})
}

// awaitStalled waits until nothing can start for a reason, and the message names what is wanted.
func (s heldStory) awaitStalled(t *testing.T, reason string, words ...string) {
	t.Helper()
	s.awaitMesh(t, "the mesh stalls with "+reason, func(inst *meshv1alpha1.MeshInstallation) error {
		c := meta.FindStatusCondition(inst.Status.Conditions, meshv1alpha1.ConditionStalled)
		if c == nil || c.Reason != reason {
			return fmt.Errorf("conditions: %s", describe(inst.Status.Conditions))
		}
		for _, word := range words {
			if !strings.Contains(c.Message, word) {
				return fmt.Errorf("%q is not in %q", word, c.Message)
			}
		}
		return nil
	})
}

// upgraded are all upgrades that there were, as `<from> <to> <phase>: <members of the waves>`.
func (s heldStory) upgraded(t *testing.T) (out []string) {
	t.Helper()
	all, err := s.upgrades(t.Context())
	must(t, err)
	for i := range all {
		u := &all[i]
		var members []string
		for _, w := range u.Spec.Waves {
			members = append(members, w.Members...)
		}
		out = append(out, fmt.Sprintf("%s %s %s: %s", u.Spec.From.Revision, u.Spec.To.Revision, u.Status.Phase, strings.Join(members, " ")))
	}
	return out
}

func (s heldStory) othersAreUpgraded(t *testing.T) {
	west, err := s.member(t.Context(), "west")
	must(t, err)
	s.edit(t, hold(time.Now().Add(time.Hour), "west"), ofVersion(newer))
	s.awaitRunning(t, newer, "east 1-29-1", "north 1-29-1", "west 1-28-3")
	after, err := s.member(t.Context(), "west")
	must(t, err)
	// Peers read it with the permissions of the newest release; nothing else has changed.
	after.Spec.ReaderVersion = west.Spec.ReaderVersion
	if diff := cmp.Diff(west.Spec, after.Spec); diff != "" {
		t.Errorf("the work order of west has changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1-28-3 1-29-1 Succeeded: east north"}, s.upgraded(t)); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
	inst, err := s.installation(t.Context())
	must(t, err)
	if diff := cmp.Diff(meshv1alpha1.Sample{Count: 1, Names: []string{"west"}}, inst.Status.Members.Held); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	want := []meshv1alpha1.RevisionMembers{{Name: revision, Version: version, Members: 1}, {Name: "1-29-1", Version: newer, Members: 2}}
	if diff := cmp.Diff(want, inst.Status.Revisions); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
	must(t, has(inst.Status.Conditions, meshv1alpha1.ConditionHoldsCurrent, metav1.ConditionTrue, meshv1alpha1.ReasonReady))
}

// untilPasses lets the time of the hold pass without an edit: nothing but the clock makes the operator look.
func (s heldStory) untilPasses(t *testing.T) {
	s.edit(t, hold(time.Now().Add(5*time.Second), "west"))
	s.awaitMesh(t, "the hold is overdue", func(inst *meshv1alpha1.MeshInstallation) error {
		return has(inst.Status.Conditions, meshv1alpha1.ConditionHoldsCurrent, metav1.ConditionFalse, meshv1alpha1.ReasonHoldOverdue)
	})
	s.awaitRunning(t, newer, "east 1-29-1", "north 1-29-1", "west 1-28-3")
	await(t, "an event reports it", func(ctx context.Context) error {
		got, _, err := s.events(ctx)
		if want := "MeshInstallation " + meshName + ": " + meshv1alpha1.ReasonHoldOverdue; err == nil && !slices.Contains(got, want) {
			err = fmt.Errorf("no event %q among %q", want, got)
		}
		return err
	})
	warned := &warnings{}
	config := rest.CopyConfig(s.hub.config)
	config.WarningHandler = warned
	c, err := client.New(config, client.Options{Scheme: scheme})
	must(t, err)
	inst, err := s.installation(t.Context())
	must(t, err)
	hold(time.Now().Add(-time.Hour), "west")(inst)
	must(t, c.Update(t.Context(), inst))
	if !strings.Contains(strings.Join(warned.texts, "\n"), "has passed already") {
		t.Errorf("admission warns %q", warned.texts)
	}
}

// warnings keeps what an API server warns of.
type warnings struct{ texts []string }

func (w *warnings) HandleWarningHeader(_ int, _, text string) { w.texts = append(w.texts, text) }

func (s heldStory) tooFar(t *testing.T) {
	s.edit(t, ofVersion("1.30.4"))
	s.awaitStalled(t, meshv1alpha1.ReasonUpgradeBlocked, "member west (until", "Kubernetes is too old) is held at Istio 1.28.3", "1.30.4")
	s.edit(t, ofVersion(newer))
	s.awaitRunning(t, newer, "east 1-29-1", "north 1-29-1", "west 1-28-3")
}

func (s heldStory) follows(t *testing.T) {
	east, err := s.member(t.Context(), "east")
	must(t, err)
	s.edit(t, noHold)
	s.awaitRunning(t, newer, "east 1-29-1", "north 1-29-1", "west 1-29-1")
	if diff := cmp.Diff([]string{"1-28-3 1-29-1 Succeeded: east north", "1-28-3 1-29-1 Succeeded: east north west"}, s.upgraded(t)); diff != "" {
		t.Errorf("upgrades (-want +got):\n%s", diff)
	}
	after, err := s.member(t.Context(), "east")
	must(t, err)
	if after.Generation != east.Generation {
		t.Errorf("east, which ran the target already, had %d new work orders", after.Generation-east.Generation)
	}
}

func (s heldStory) allHeld(t *testing.T) {
	s.edit(t, hold(time.Now().Add(time.Hour), three...), ofVersion("1.30.4"))
	s.awaitStalled(t, meshv1alpha1.ReasonMembersHeld, "1-30-4", "east (until", "north (until", "west (until")
	s.edit(t, noHold, ofVersion(newer), hold(time.Now().Add(time.Hour), "west"))
	s.awaitRunning(t, newer, "east 1-29-1", "north 1-29-1", "west 1-29-1")
}

// isTakenOut lets west leave while it is held behind a mesh that has gone on.
func (s heldStory) isTakenOut(t *testing.T) {
	s.edit(t, ofVersion("1.30.4"))
	s.awaitRunning(t, "1.30.4", "east 1-30-4", "north 1-30-4", "west 1-29-1")
	s.edit(t, withoutMember("west"))
	s.awaitRunning(t, "1.30.4", "east 1-30-4", "north 1-30-4")
	// No member is held, so that no hold limits how far the mesh goes.
	s.edit(t, ofVersion("1.31.0"))
	s.awaitRunning(t, "1.31.0", "east 1-31-0", "north 1-31-0")
}

func (s heldStory) isDeleted(t *testing.T) {
	s.edit(t, hold(time.Now().Add(time.Hour), "east"))
	inst, err := s.installation(t.Context())
	must(t, err)
	s.permitDeletion(t, inst)
	must(t, s.hub.admin.Delete(t.Context(), inst))
	await(t, "the mesh is gone", func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("it is there: %s", describe(inst.Status.Conditions)))
	})
}
