package trust

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// installation is the owner that objects in members of the mesh have.
const installation = "meshfleet-system.shop"

// inMember is the Secret `cacerts` in a member; ours has the installation's label.
func inMember(data map[string][]byte, owner string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: cacertsName, Namespace: testutil.ControlPlane, Labels: map[string]string{meshv1alpha1.LabelInstallation: owner},
		},
		Data: data,
	}
}

func TestPresentRoot(t *testing.T) {
	root := issue(t, "root", ecdsaKey(t), nil)
	fingerprints := []string{fingerprint(root.cert)}
	cases := map[string]struct {
		secret   *corev1.Secret
		want     []string
		wantOurs bool
		wantErr  error
	}{
		"none":                       {},
		"what we made":               {secret: inMember(map[string][]byte{"root-cert.pem": text(root)}, installation), want: fingerprints, wantOurs: true},
		"what others made":           {secret: inMember(map[string][]byte{"root-cert.pem": text(root)}, ""), want: fingerprints},
		"what another mesh made":     {secret: inMember(map[string][]byte{"root-cert.pem": text(root)}, "meshfleet-system.other"), want: fingerprints},
		"the layout of cert-manager": {secret: inMember(map[string][]byte{"ca.crt": text(root)}, ""), want: fingerprints},
		"one that cannot be read":    {secret: inMember(map[string][]byte{"root-cert.pem": []byte("text")}, ""), wantErr: mesh.ErrForeignRoot},
		"ours, if it cannot be read": {secret: inMember(nil, installation), wantErr: mesh.ErrForeignRoot},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var remote []client.Object
			if c.secret != nil {
				remote = append(remote, c.secret)
			}
			got, isOurs, err := PresentRoot(t.Context(), membertest.Pass(t, testutil.Member("east"), remote...))
			if isOurs != c.wantOurs || !errors.Is(err, c.wantErr) {
				t.Errorf("ours: %v, error %v, want %v, %v", isOurs, err, c.wantOurs, c.wantErr)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("root (-want +got):\n%s", diff)
			}
		})
	}
}
