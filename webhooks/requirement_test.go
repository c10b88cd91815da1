package webhooks

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// TestApprovalsAreRequiredUntilAnApproverSaysOtherwise edits a mesh of which the wave rest requires an approval.
func TestApprovalsAreRequiredUntilAnApproverSaysOtherwise(t *testing.T) {
	const required, not = meshv1alpha1.ApprovalRequired, meshv1alpha1.ApprovalNotRequired
	wave := func(name string, approval meshv1alpha1.ApprovalPolicy, tier string) meshv1alpha1.Wave {
		w := meshv1alpha1.Wave{Name: name, Approval: approval}
		if tier != "" {
			w.MemberSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": tier}}
		}
		return w
	}
	waves := func(w ...meshv1alpha1.Wave) option {
		return func(i *meshv1alpha1.MeshInstallation) { i.Spec.Upgrade.Waves = w }
	}
	in := func(name, tier string) option {
		return member(name, bySecret(name), func(m *meshv1alpha1.Member) {
			if tier != "" {
				m.Labels = map[string]string{"tier": tier}
			}
		})
	}
	canary, rest := wave("canary", not, "canary"), wave("rest", required, "")
	west, east := in("west", "canary"), in("east", "")
	before := installation("shop", west, east, waves(canary, rest))
	cases := map[string]struct {
		old, inst *meshv1alpha1.MeshInstallation
		objects   []client.Object
		want      []string // fields
	}{
		"nothing of it changes":        {inst: installation("shop", west, east, waves(canary, rest), version("1.29.2"))},
		"it was never required":        {old: installation("shop", west, east), inst: installation("shop", west, east, version("1.29.2"))},
		"more is required":             {inst: installation("shop", west, east, waves(wave("canary", required, "canary"), rest))},
		"waves change places":          {inst: installation("shop", west, east, waves(rest, canary))},
		"a new mesh requires none":     {old: nil, inst: installation("shop", west, east)},
		"a canary joins":               {inst: installation("shop", west, east, in("north", "canary"), waves(canary, rest))},
		"a member leaves":              {inst: installation("shop", west, waves(canary, rest))},
		"the requirement is lifted":    {inst: installation("shop", west, east, waves(canary, wave("rest", not, ""))), want: []string{"spec.upgrade.waves[rest].approval", "spec.members[east]"}},
		"with the version at once":     {inst: installation("shop", west, east, version("1.29.2"), waves(canary, wave("rest", "", ""))), want: []string{"spec.upgrade.waves[rest].approval", "spec.members[east]"}},
		"all waves are gone":           {inst: installation("shop", west, east), want: []string{"spec.upgrade.waves[rest].approval", "spec.members[east]"}},
		"a member becomes a canary":    {inst: installation("shop", west, in("east", "canary"), waves(canary, rest)), want: []string{"spec.members[east]"}},
		"another wave takes a member":  {inst: installation("shop", west, in("east", "x"), waves(canary, wave("x", not, "x"), rest)), want: []string{"spec.members[east]"}},
		"an invalid wave on the way":   {inst: installation("shop", west, east, waves(canary, rest, wave("more", not, ""))), want: []string{"spec.members[east]"}},
		"no wave on the way":           {inst: installation("shop", west, east, waves(canary, wave("rest", required, "none"))), want: []string{"spec.members[east]"}},
		"the wave goes with a member":  {inst: installation("shop", west, waves(canary)), want: []string{"spec.upgrade.waves[rest].approval"}},
		"a member comes back, else":    {old: installation("shop", west, waves(canary, rest)), inst: installation("shop", west, in("east", "canary"), waves(canary, rest)), objects: []client.Object{meshMember("shop", "east", bySecret("east"), "")}, want: []string{"spec.members[east]"}},
		"a member comes back the same": {old: installation("shop", west, waves(canary, rest)), inst: installation("shop", west, east, waves(canary, rest)), objects: []client.Object{meshMember("shop", "east", bySecret("east"), "")}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if name != "a new mesh requires none" && c.old == nil {
				c.old = before
			}
			v := newValidator(t, c.objects...)
			v.mayApprove = onlyApprover
			for user, want := range map[string][]string{"editor": c.want, "approver": nil} {
				errs, err := v.checkRequirement(as(t, user, nil), &change{old: c.old, inst: c.inst})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, e := range errs {
					got = append(got, e.Field)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: refused fields (-want +got):\n%s\n%v", user, diff, errs)
				}
			}
		})
	}
}
