package pinning

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// sweepPace is how often packaged charts that nothing names are looked for, and sweepDeadline how long one look may take.
const sweepPace, sweepDeadline = 10 * time.Minute, time.Minute

// Start deletes packaged charts that nothing names any more, until the context ends.
func (p *Pins) Start(ctx context.Context) error {
	ticker := time.NewTicker(sweepPace)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := p.sweep(ctx); err != nil {
				log.FromContext(ctx).Error(err, "Deleting packaged charts that nothing names failed")
			}
		}
	}
}

func (p *Pins) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepDeadline)
	defer cancel()
	named, isComplete, err := p.named(ctx)
	if err != nil || !isComplete {
		return err
	}
	return p.Archives.sweep(ctx, func(digest string) bool { return named[digest] }, p.Now())
}

// named are the digests of the charts that meshes ask for, run, or may go back to. They are not complete while charts of a mesh are not
// pinned, as after a restore without status.
func (p *Pins) named(ctx context.Context) (named map[string]bool, isComplete bool, err error) {
	named, isComplete = map[string]bool{}, true
	note := func(all ...meshv1alpha1.ChartDigests) {
		for _, d := range all {
			for _, digest := range d.All() {
				named[digest] = true
			}
		}
	}
	in := client.InNamespace(p.Archives.Namespace)
	installations, members, upgrades := &meshv1alpha1.MeshInstallationList{}, &meshv1alpha1.MeshMemberList{}, &meshv1alpha1.MeshUpgradeList{}
	for _, list := range []client.ObjectList{installations, members, upgrades} {
		if err := p.Reader.List(ctx, list, in, client.UnsafeDisableDeepCopy); err != nil {
			return nil, false, fmt.Errorf("list %T: %w", list, err)
		}
	}
	for i := range installations.Items {
		inst := &installations.Items[i]
		pin := mesh.Pinned(&inst.Status, inst.Spec.Version, mesh.ChartSource(inst.Spec.Charts))
		switch {
		case pin != nil:
			note(pin.Charts)
		case inst.Spec.Charts != nil:
			isComplete = false
		}
	}
	for i := range members.Items {
		spec := &members.Items[i].Spec
		note(spec.ReaderCharts)
		for j := range spec.Revisions {
			note(spec.Revisions[j].Charts)
		}
		if spec.Rollout != nil {
			note(spec.Rollout.From.Charts, spec.Rollout.To.Charts)
		}
	}
	for i := range upgrades.Items {
		if u := &upgrades.Items[i]; !u.Status.Phase.IsFinished() {
			note(u.Spec.To.Charts)
		}
	}
	return named, isComplete, nil
}
