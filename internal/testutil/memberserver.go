package testutil

import (
	"os"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// StartMember starts the API server of a member for a test, and returns a client of its administrator and one with the
// credential that config/member-rbac makes.
func StartMember(t *testing.T) (admin, member client.Client) {
	t.Helper()
	admin, credential := StartMemberServer(t, nil)
	member, err := client.New(credential, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return admin, member
}

// StartMemberServer starts the API server of a member with more flags, and returns a client of its administrator and how to connect with the
// credential that config/member-rbac makes.
func StartMemberServer(t *testing.T, flags map[string]string) (admin client.Client, credential *rest.Config) {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set; `make test` sets it")
	}
	env := &envtest.Environment{}
	for name, value := range flags {
		env.ControlPlane.GetAPIServer().Configure().Set(name, value)
	}
	config, err := env.Start()
	if err != nil {
		t.Fatalf("start the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stop the API server: %v", err)
		}
	})
	if admin, err = client.New(config, client.Options{}); err != nil {
		t.Fatal(err)
	}
	credential = rest.AnonymousClientConfig(config)
	credential.BearerToken = memberToken(t, admin, InRepository("config", "member-rbac"))
	return admin, credential
}

// memberToken applies the manifests in a directory and returns a token of their ServiceAccount.
func memberToken(t *testing.T, admin client.Client, dir string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system"}}
	if err := admin.Create(t.Context(), namespace); err != nil {
		t.Fatalf("create the control plane's namespace: %v", err)
	}
	for _, file := range []string{
		"namespace.yaml", "service_account.yaml", "role.yaml", "role_binding.yaml", "controlplane/role.yaml", "controlplane/role_binding.yaml",
		"renewal_role.yaml", "renewal_role_binding.yaml",
	} {
		content, err := os.ReadFile(filepath.Join(dir, file)) //nolint:gosec // a file of the repository
		if err != nil {
			t.Fatal(err)
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(content, &o.Object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if filepath.Dir(file) == "controlplane" {
			// As its kustomization says.
			o.SetNamespace(namespace.Name)
		}
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "meshfleet-member", Namespace: "meshfleet-member"}}
	token := &authenticationv1.TokenRequest{}
	if err := admin.SubResource("token").Create(t.Context(), account, token); err != nil {
		t.Fatalf("request a token: %v", err)
	}
	return token.Status.Token
}
