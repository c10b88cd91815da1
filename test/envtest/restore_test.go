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
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// TestRestore restores the objects of a hub without their status, in several states of the mesh and of its members. What runs in the members
// is found out from them, and nothing is changed there.
func TestRestore(t *testing.T) {
	s := newSuite(t)
	for _, name := range both {
		s.writeKubeconfig(t, name, s.members[name].kubeconfig(t))
	}
	must(t, s.hub.admin.Create(t.Context(), shop(meshName, withMember("east"), withMember("west"))))
	s.awaitReady(t, both...)
	s.runParts(t, []part{
		{"by the guide", s.restoredByGuide},
		{"the spec asks for another release", s.restoredWithOtherSpec},
		{"MeshMembers with their specs", s.restoredMembers},
		{"the claims are gone", s.restoredWithoutClaims},
		{"the claims are gone and the values differ", s.restoredWithOtherValues},
		{"another hub", s.restoredElsewhere},
		{"an upgrade that is half way", s.restoredHalfWay},
		{"the control plane's namespace is deleted", s.namespaceDeleted},
		{"a member leaves without its namespace", s.leavesWithoutNamespace},
	})
}

// kept is what a backup has of a mesh on the hub.
type kept struct {
	inst     *meshv1alpha1.MeshInstallation
	members  []meshv1alpha1.MeshMember
	upgrades []meshv1alpha1.MeshUpgrade
	secrets  []*corev1.Secret
}

// crash takes a backup, stops the operator, and takes every object of the mesh off the hub.
func (s *suite) crash(t *testing.T) kept {
	t.Helper()
	s.awaitCalm(t)
	s.operator.stop(t)
	inst, err := s.installation(t.Context())
	must(t, err)
	k := kept{inst: inst}
	members := &meshv1alpha1.MeshMemberList{}
	must(t, s.hub.admin.List(t.Context(), members, client.InNamespace(operatorNamespace)))
	k.members = members.Items
	k.upgrades, err = s.upgrades(t.Context())
	must(t, err)
	secrets := &corev1.SecretList{}
	must(t, s.hub.admin.List(t.Context(), secrets, client.InNamespace(operatorNamespace), client.MatchingLabels{meshv1alpha1.LabelInstallation: meshName}))
	for i := range secrets.Items {
		again := restorable(&secrets.Items[i])
		again.Labels = secrets.Items[i].Labels
		k.secrets = append(k.secrets, again)
	}
	s.lose(t, inst)
	return k
}

// restore brings back the Secrets and the mesh, with changes of its spec, and no status.
func (s *suite) restore(t *testing.T, k kept, options ...meshOption) {
	t.Helper()
	for _, secret := range k.secrets {
		must(t, client.IgnoreAlreadyExists(s.hub.admin.Create(t.Context(), secret.DeepCopy())))
	}
	s.operator = s.startOperator(t)
	again := shop(meshName)
	again.Spec = k.inst.Spec
	for _, option := range options {
		option(again)
	}
	must(t, s.hub.admin.Create(t.Context(), again))
}

// metaOf is the metadata of an object that is restored.
func metaOf(o client.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: o.GetName(), Labels: o.GetLabels(), Annotations: o.GetAnnotations(), Finalizers: o.GetFinalizers(),
	}
}

// snapshot is the state of the objects of a member that must not change: all of the mesh but Secrets, which may be renewed, and the claim with
// its inventories.
func (s *suite) snapshot(t *testing.T, member string) map[string]string {
	t.Helper()
	c := s.members[member]
	found, err := c.labelled(t.Context(), meshv1alpha1.LabelInstallation+"="+ownerLabel)
	must(t, err)
	out := map[string]string{}
	for _, o := range found {
		if o.kind == "Secret" || o.kind == "ConfigMap" && (o.name == "meshfleet-member" || strings.HasPrefix(o.name, "meshfleet-inventory-")) ||
			o.name == "meshfleet-discovery-marker" || strings.HasPrefix(o.name, "meshfleet-discovery") {
			continue
		}
		u, err := o.get(t.Context(), c)
		must(t, err)
		out[o.String()] = fmt.Sprintf("%s at %s", u.GetUID(), u.GetResourceVersion())
	}
	if len(out) < 10 {
		t.Errorf("%s: only %d objects, which prove nothing", member, len(out))
	}
	return out
}

func (s *suite) snapshots(t *testing.T) map[string]map[string]string {
	t.Helper()
	out := map[string]map[string]string{}
	for _, name := range both {
		out[name] = s.snapshot(t, name)
	}
	return out
}

// untouched fails when an object of the mesh in a member is another than before, and when the operator has written anything but Secrets, tokens
// and the records of the claim.
func (s *suite) untouched(t *testing.T, before map[string]map[string]string, since time.Time) {
	t.Helper()
	if diff := cmp.Diff(before, s.snapshots(t)); diff != "" {
		t.Errorf("objects in the members (-before +after):\n%s", diff)
	}
	for _, name := range both {
		for _, one := range s.members[name].calls(t, since) {
			isOwnRecord := one.ObjectRef.Resource == "configmaps" && strings.HasPrefix(one.ObjectRef.Name, "meshfleet-")
			isMarker := slices.Contains([]string{"services", "endpointslices"}, one.ObjectRef.Resource) && strings.HasPrefix(one.ObjectRef.Name, "meshfleet-")
			if !one.changes() || one.ObjectRef.Resource == "secrets" || one.ObjectRef.Subresource == "token" || isOwnRecord || isMarker ||
				strings.HasPrefix(one.ObjectRef.Resource, "selfsubject") {
				continue
			}
			t.Errorf("%s: written: %s", name, one)
		}
	}
}

// asksForNewer makes the spec ask for another release, by a plan that is not run.
func asksForNewer(inst *meshv1alpha1.MeshInstallation) {
	inst.Spec.Version, inst.Spec.Upgrade.Mode = newer, meshv1alpha1.UpgradeModePlan
}

func asksForOlder(inst *meshv1alpha1.MeshInstallation) {
	inst.Spec.Version, inst.Spec.Upgrade.Mode = version, meshv1alpha1.UpgradeModeRun
}

// restoredWithOtherSpec restores the mesh alone, from a Git that asks for another release meanwhile: the upgrade starts from what runs.
func (s *suite) restoredWithOtherSpec(t *testing.T) {
	k := s.crash(t)
	before, start := s.snapshots(t), time.Now()
	s.restore(t, k, asksForNewer)
	s.awaitPlanned(t)
	s.awaitRunning(t)
	s.awaitCalm(t)
	s.untouched(t, before, start)
	u, err := s.upgrade(t.Context())
	must(t, err)
	if u.Spec.From.Revision != revision || u.Spec.To.Version != newer {
		t.Errorf("the upgrade goes from %+v to %+v", u.Spec.From, u.Spec.To)
	}
	s.edit(t, asksForOlder)
	s.awaitReady(t, both...)
	s.awaitCalm(t)
	if diff := cmp.Diff(before, s.snapshots(t)); diff != "" {
		t.Errorf("objects in the members after the plan was dropped (-before +after):\n%s", diff)
	}
}

// awaitRunning waits until every member is known to run what it ran, with all of its work order.
func (s *suite) awaitRunning(t *testing.T) {
	t.Helper()
	await(t, "the members have found out what they run", func(ctx context.Context) error {
		var errs []error
		for _, name := range both {
			m, err := s.member(ctx, name)
			errs = append(errs, err)
			if err == nil && (m.Status.Recovered != nil || len(m.Status.Trust.RootFingerprints) == 0 || len(m.Spec.Revisions) != 1 || m.Spec.Revisions[0].Name != revision) {
				errs = append(errs, fmt.Errorf("%s: revisions %v, recovered %v, %s", name, m.Spec.Revisions, m.Status.Recovered, describe(m.Status.Conditions)))
			}
		}
		return errors.Join(errs...)
	})
}

// restoredMembers restores the MeshMembers too, with work orders that ask for another release than what runs.
func (s *suite) restoredMembers(t *testing.T) {
	k := s.crash(t)
	before, start := s.snapshots(t), time.Now()
	for i := range k.members {
		m := &meshv1alpha1.MeshMember{ObjectMeta: metaOf(&k.members[i]), Spec: *k.members[i].Spec.DeepCopy()}
		m.Spec.Revisions = []meshv1alpha1.Revision{{Name: "1-29-1", Version: newer}}
		m.Spec.DefaultRevision, m.Spec.GatewayRevision = "1-29-1", "1-29-1"
		for j := range m.Spec.Tags {
			m.Spec.Tags[j].Revision = "1-29-1"
		}
		must(t, s.hub.admin.Create(t.Context(), m))
	}
	s.restore(t, k)
	s.awaitReady(t, both...)
	s.awaitCalm(t)
	s.untouched(t, before, start)
}

// loseClaims deletes the claims of both members while the operator does not run.
func (s *suite) loseClaims(t *testing.T) {
	t.Helper()
	for _, name := range both {
		must(t, s.members[name].admin.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: controlPlaneNamespace, Name: "meshfleet-member"}}))
	}
}

// restoredWithoutClaims restores a mesh whose members have lost the record of what they run, while the spec asks for another release.
func (s *suite) restoredWithoutClaims(t *testing.T) {
	k := s.crash(t)
	s.loseClaims(t)
	before, start := s.snapshots(t), time.Now()
	s.restore(t, k, asksForNewer)
	s.awaitPlanned(t)
	s.awaitRunning(t)
	s.awaitCalm(t)
	s.untouched(t, before, start)
	s.edit(t, asksForOlder)
	s.awaitReady(t, both...)
}

// restoredWithOtherValues is the same with values that nobody can know any more: the members are left alone until the spec has those that run.
func (s *suite) restoredWithOtherValues(t *testing.T) {
	k := s.crash(t)
	s.loseClaims(t)
	before, start := s.snapshots(t), time.Now()
	former := k.inst.Spec.ControlPlane.DeepCopy()
	s.restore(t, k, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.ControlPlane.Values = jsonOf(t, map[string]any{"autoscaleMin": 3})
	})
	await(t, "the members say what is not known", func(ctx context.Context) error {
		var errs []error
		for _, name := range both {
			m, err := s.member(ctx, name)
			if err != nil {
				return err
			}
			errs = append(errs, stalled(m.Status.Conditions, meshv1alpha1.ReasonRestoring))
			if !strings.Contains(describe(m.Status.Conditions), "values-"+revision) {
				errs = append(errs, fmt.Errorf("no cure: %s", describe(m.Status.Conditions)))
			}
		}
		return errors.Join(errs...)
	})
	s.awaitCalm(t)
	s.untouched(t, before, start)
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.ControlPlane = *former })
	s.awaitReady(t, both...)
	s.awaitCalm(t)
	s.untouched(t, before, start)
}

// restoredElsewhere restores the mesh on a hub that the members do not know: they are left alone until their claims name it.
func (s *suite) restoredElsewhere(t *testing.T) {
	k := s.crash(t)
	uid, err := s.hub.uid(t.Context())
	must(t, err)
	s.claimFor(t, "uid-of-the-former-hub")
	before, start := s.snapshots(t), time.Now()
	s.restore(t, k)
	await(t, "the members are another hub's", func(ctx context.Context) error {
		var errs []error
		for _, name := range both {
			m, err := s.member(ctx, name)
			if err != nil {
				return err
			}
			errs = append(errs, stalled(m.Status.Conditions, meshv1alpha1.ReasonClusterClaimed))
		}
		return errors.Join(errs...)
	})
	s.unchanged(t, start)
	s.claimFor(t, uid)
	s.awaitReady(t, both...)
	s.awaitCalm(t)
	s.untouched(t, before, start)
}

// claimFor writes the hub into the claims, as docs/backup.md says.
func (s *suite) claimFor(t *testing.T, uid string) {
	t.Helper()
	for _, name := range both {
		claim := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: controlPlaneNamespace, Name: "meshfleet-member"}}
		must(t, s.members[name].admin.Patch(t.Context(), claim, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"data":{"hub":%q}}`, uid))))
	}
}

// restoredHalfWay restores a mesh with the record of an upgrade that has begun in one member: it goes on, and nobody is ordered anything else.
func (s *suite) restoredHalfWay(t *testing.T) {
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Version = newer })
	canary := ""
	await(t, "the upgrade has begun in one member", func(ctx context.Context) error {
		for _, name := range both {
			m, err := s.member(ctx, name)
			if err != nil {
				return err
			}
			if m.Spec.Rollout != nil && m.Spec.Rollout.Stage == meshv1alpha1.StageInstall && len(m.Status.Revisions) == 2 && m.Status.Revisions[1].ReadyReplicas > 0 {
				canary = name
				return nil
			}
		}
		return errors.New("no member is at Install")
	})
	await(t, "the claim records it", func(ctx context.Context) error {
		claim, err := object{"v1", "ConfigMap", controlPlaneNamespace, "meshfleet-member"}.get(ctx, s.members[canary])
		if err != nil || !strings.Contains(fmt.Sprint(claim.Object["data"]), "Install") {
			return errors.Join(err, fmt.Errorf("claim: %v", claim.Object["data"]))
		}
		return nil
	})
	u, err := s.upgrade(t.Context())
	must(t, err)
	k := s.crash(t)
	before, start := s.snapshots(t), time.Now()
	again := &meshv1alpha1.MeshUpgrade{ObjectMeta: metaOf(u), Spec: u.Spec}
	// A record of an older upgrade comes back without its status, too. It has the later name.
	older := &meshv1alpha1.MeshUpgrade{ObjectMeta: metaOf(u), Spec: u.Spec}
	older.Name = u.Name + "-z"
	must(t, s.hub.admin.Create(t.Context(), again))
	must(t, s.hub.admin.Create(t.Context(), older))
	s.restore(t, k)
	await(t, "the upgrade is under way again", func(ctx context.Context) error {
		if err := s.hub.admin.Get(ctx, client.ObjectKeyFromObject(again), again); err != nil {
			return err
		}
		m, err := s.member(ctx, canary)
		if err != nil {
			return err
		}
		if again.Status.StartedAt == nil || again.Status.Phase.IsFinished() || m.Status.Recovered != nil || len(m.Status.Revisions) != 2 ||
			m.Spec.Rollout == nil || m.Spec.Rollout.Stage != meshv1alpha1.StageInstall || m.Spec.Rollout.Upgrade != u.Name {
			return fmt.Errorf("phase %q of %s, started %v, rollout %v, revisions %v, recovered %v: %s", again.Status.Phase, u.Name, again.Status.StartedAt, m.Spec.Rollout,
				m.Status.Revisions, m.Status.Recovered, describe(m.Status.Conditions))
		}
		return nil
	})
	await(t, "the other record is over", func(ctx context.Context) error {
		err := s.hub.admin.Get(ctx, client.ObjectKeyFromObject(older), older)
		if err == nil && !older.Status.Phase.IsFinished() {
			err = fmt.Errorf("phase %q: %s", older.Status.Phase, older.Status.Message)
		}
		return err
	})
	s.awaitCalm(t)
	s.untouched(t, before, start)
	s.edit(t, asksForOlder)
	s.awaitReady(t, both...)
}
