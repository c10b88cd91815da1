package envtest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/meshfleet/meshfleet/test/guide"
)

// reader runs the commands of guides as an administrator of all clusters.
func (s *suite) reader(t *testing.T) *guide.Reader {
	t.Helper()
	files := map[string]string{}
	for _, c := range s.clusters() {
		user, err := c.env.AddUser(envtest.User{Name: "reader", Groups: []string{"system:masters"}}, nil)
		must(t, err)
		kubeconfig, err := user.KubeConfig()
		must(t, err)
		files[c.name] = filepath.Join(t.TempDir(), c.name)
		must(t, os.WriteFile(files[c.name], kubeconfig, 0o600))
	}
	r, err := guide.New(t.TempDir(), filepath.Join(os.Getenv(assetsVariable), "kubectl"), filepath.Join("..", ".."), files, t.Logf)
	must(t, err)
	return r
}

// commands are those of a page below a heading.
func commands(t *testing.T, page, heading string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", page))
	must(t, err)
	blocks, err := guide.Commands(content, heading)
	must(t, err)
	return blocks
}

// restoredByGuide follows docs/backup.md. The objects of the hub are lost by the commands for a hub whose operator is gone (docs/concepts.md).
func (s *suite) restoredByGuide(t *testing.T) {
	desk := s.reader(t)
	run := func(block string) string {
		t.Helper()
		out, err := desk.Run(t.Context(), block)
		must(t, err)
		return out
	}
	backup := commands(t, "docs/backup.md", "What to back up")
	lose := commands(t, "docs/concepts.md", "Uninstall the operator")
	run(backup[0])
	pinned := run(backup[1])
	s.awaitCalm(t)
	before, start := s.snapshots(t), time.Now()
	s.operator.stop(t)
	run(lose[len(lose)-1])
	inst, err := s.installation(t.Context())
	if client.IgnoreNotFound(err) != nil || inst.Name != "" {
		t.Fatalf("the mesh is still there: %v, %v", inst.Finalizers, err)
	}
	s.lose(t, shop(meshName))
	for _, name := range both {
		must(t, s.hub.admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: kubeconfigSecret(name)}}))
	}
	s.operator = s.startOperator(t)
	for _, block := range commands(t, "docs/backup.md", "The objects of the hub are lost, the cluster is not") {
		run(block)
	}
	s.awaitReady(t, both...)
	s.awaitCalm(t)
	if after := run(backup[1]); after != pinned || pinned == "" {
		t.Errorf("pinned root %q, before %q", after, pinned)
	}
	s.untouched(t, before, start)
}
