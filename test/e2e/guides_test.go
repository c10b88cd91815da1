//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/guide"
	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	backupPage   = "docs/backup.md"
	conceptsPage = "docs/concepts.md"
	uninstall    = "Uninstall the operator"
)

// reader runs the commands of guides against the clusters.
func (s *suite) reader(t *testing.T) *guide.Reader {
	t.Helper()
	program, err := s.env.KubectlPath(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := guide.New(t.TempDir(), program, s.env.Path(), s.kubeconfigs(), s.env.Logf)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// kubeconfigs are the files of all clusters.
func (s *suite) kubeconfigs() map[string]string {
	files := map[string]string{harness.HubName: s.env.Hub.Kubeconfig}
	for _, m := range s.env.Members() {
		files[m] = s.env.Cluster(m).Kubeconfig
	}
	return files
}

// commands are those of a page below a heading.
func (s *suite) commands(t *testing.T, page, heading string) []string {
	t.Helper()
	content, err := os.ReadFile(s.env.Path(page))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := guide.Commands(content, heading)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// restoredByGuide follows docs/backup.md: what is to be backed up is, the objects of the hub are lost, and are restored. They are lost by the commands
// for a hub whose operator is gone (docs/concepts.md). Requests flow meanwhile, and nothing but Secrets and the claim is written in members.
func (s *suite) restoredByGuide(t *testing.T) {
	ctx, desk := t.Context(), s.reader(t)
	backup := s.commands(t, backupPage, "What to back up")
	lose := s.commands(t, conceptsPage, uninstall)
	restore := s.commands(t, backupPage, "The objects of the hub are lost, the cluster is not")
	var pinned string
	s.step(t, "back up", func() error {
		if _, err := desk.Run(ctx, backup[0]); err != nil {
			return err
		}
		var err error
		pinned, err = desk.Run(ctx, backup[1])
		return err
	})
	before := map[string]map[string]types.UID{}
	for _, m := range s.env.Members() {
		before[m] = s.istiods(t, m)
	}
	from := time.Now()
	s.underLoad(t, []string{"east", "west"}, loadPerSecond, func() error {
		if err := s.scaleOperator(ctx, 0); err != nil {
			return err
		}
		if _, err := desk.Run(ctx, lose[len(lose)-1]); err != nil {
			return err
		}
		if err := s.loseSecrets(ctx); err != nil {
			return err
		}
		if err := s.scaleOperator(ctx, 1); err != nil {
			return err
		}
		if err := s.env.AwaitOperator(ctx); err != nil {
			return err
		}
		if _, err := desk.Run(ctx, restore[0]); err != nil {
			return err
		}
		return s.waitReady(ctx)
	})
	after, err := desk.Run(ctx, backup[1])
	if err != nil || pinned == "" || after != pinned {
		t.Errorf("pinned root %q, before %q, %v", after, pinned, err)
	}
	time.Sleep(flushDelay)
	for _, m := range s.env.Members() {
		if diff := cmp.Diff(before[m], s.istiods(t, m)); diff != "" {
			t.Errorf("%s: istiod and gateway pods (-before +after):\n%s", m, diff)
		}
		s.requireRecordsOnly(t, m, from)
	}
}

// istiods are the pods of istiod and the gateway in a member.
func (s *suite) istiods(t *testing.T, member string) map[string]types.UID {
	t.Helper()
	pods := &corev1.PodList{}
	if err := s.env.Cluster(member).Client.List(t.Context(), pods, client.InNamespace(istioSystem)); err != nil || len(pods.Items) == 0 {
		t.Fatalf("%s: %d pods, %v", member, len(pods.Items), err)
	}
	out := map[string]types.UID{}
	for i := range pods.Items {
		out[pods.Items[i].Name] = pods.Items[i].UID
	}
	return out
}

// requireRecordsOnly wants the operator to have written nothing in a member but Secrets, tokens, the claim with its inventories and the marker.
func (s *suite) requireRecordsOnly(t *testing.T, member string, from time.Time) {
	t.Helper()
	identity, err := s.env.Identity(t.Context(), member)
	if err != nil {
		t.Fatal(err)
	}
	writes, total, err := s.env.Writes(member, identity, from, time.Now())
	if err != nil || total == 0 {
		t.Errorf("%s: the audit log has %d calls in the period (error: %v), so it proves nothing", member, total, err)
	}
	for _, w := range slices.DeleteFunc(writes, harness.AuditEvent.IsDryRun) {
		if text := w.String(); !strings.Contains(text, "secrets") && !strings.Contains(text, "token") && !strings.Contains(text, "meshfleet-") {
			t.Errorf("%s: the operator wrote: %s", member, w)
		}
	}
}

// scaleOperator runs so many instances of the operator and waits until no other is left.
func (s *suite) scaleOperator(ctx context.Context, replicas int32) error {
	d := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: harness.OperatorNamespace, Name: "meshfleet-controller-manager"}
	if err := s.env.Hub.Client.Get(ctx, key, d); err != nil {
		return err
	}
	if err := s.env.Hub.Client.Patch(ctx, d, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))); err != nil {
		return err
	}
	return harness.Await(ctx, fmt.Sprintf("%d pods of the operator", replicas), time.Minute, func(ctx context.Context) (bool, string, error) {
		err := s.env.Hub.Client.Get(ctx, key, d)
		return err == nil && d.Status.Replicas == replicas && d.Status.ObservedGeneration == d.Generation, fmt.Sprintf("%d replicas", d.Status.Replicas), err
	})
}

// loseSecrets deletes what else the hub has of the mesh: its Secrets, with the root and the kubeconfigs.
func (s *suite) loseSecrets(ctx context.Context) error {
	err := s.env.Hub.Client.DeleteAllOf(ctx, &corev1.Secret{}, client.InNamespace(harness.OperatorNamespace),
		client.MatchingLabels{meshv1alpha1.LabelInstallation: harness.MeshName})
	for _, name := range []string{harness.MeshName + "-root", harness.KubeconfigSecretName("east"), harness.KubeconfigSecretName("west")} {
		secret := &corev1.Secret{}
		secret.Namespace, secret.Name = harness.OperatorNamespace, name
		err = errors.Join(err, client.IgnoreNotFound(s.env.Hub.Client.Delete(ctx, secret)))
	}
	return err
}

// uninstalledByGuide follows the chapter "Uninstall the operator" when no mesh is left: nothing of the operator stays, and users' objects do.
func (s *suite) uninstalledByGuide(t *testing.T) {
	ctx, desk := t.Context(), s.reader(t)
	for i, block := range s.commands(t, conceptsPage, uninstall)[:4] {
		s.step(t, fmt.Sprintf("step %d", i+1), func() error {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			_, err := desk.Run(ctx, block)
			return err
		})
	}
	requireGone(t, s.env.Hub, owned{"v1", "Namespace", "", harness.OperatorNamespace})
	requireGone(t, s.env.Hub, owned{"apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "meshinstallations.mesh.meshfleet.io"})
	east := s.env.Cluster("east")
	requireGone(t, east, owned{"v1", "Namespace", "", "meshfleet-member"})
	requireGone(t, east, owned{"rbac.authorization.k8s.io/v1", "Role", istioSystem, "meshfleet-member"})
	requireExists(t, east, owned{"v1", "Namespace", "", istioSystem})
}

// requireGone wants an object not to be there.
func requireGone(t *testing.T, c *harness.Cluster, o owned) {
	t.Helper()
	if exists, err := c.Exists(t.Context(), o.apiVersion, o.kind, o.namespace, o.name); exists || err != nil {
		t.Errorf("%s: %v exists: %t, %v", c.Name, o, exists, err)
	}
}
