package docs

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// playedKubectl grants tokens of a lifetime, whatever is asked.
func playedKubectl(t *testing.T, granted time.Duration) string {
	t.Helper()
	claims := fmt.Sprintf(`{"aud":["https://kubernetes"],"exp":%d,"iat":%d,"iss":"https://kubernetes"}`, 1767225600+int(granted.Seconds()), 1767225600)
	token := "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	script := `#!/usr/bin/env bash
case "$*" in
*"create token"*) echo ` + token + ` ;;
*"cluster.server}"*) printf https://203.0.113.7:6443 ;;
*"tls-server-name}"*) printf kubernetes ;;
esac
`
	path := filepath.Join(t.TempDir(), "kubectl")
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	return path
}

// TestMemberKubeconfigSecret wants a Secret whose token the operator renews, however short its lifetime is.
func TestMemberKubeconfigSecret(t *testing.T) {
	admin := filepath.Join(t.TempDir(), "admin.yaml")
	testutil.Must(t, os.WriteFile(admin, []byte("{}"), 0o600))
	cmd := exec.CommandContext(t.Context(), testutil.InRepository("hack", "member-kubeconfig.sh"), "--kubeconfig", admin, "--secret", "east-kubeconfig")
	cmd.Env = append(os.Environ(), "KUBECTL="+playedKubectl(t, time.Hour))
	out, err := cmd.Output()
	testutil.Must(t, err)
	secret := &corev1.Secret{}
	testutil.Must(t, yaml.UnmarshalStrict(out, secret))
	if secret.Kind != "Secret" || secret.Namespace != "meshfleet-system" || secret.Name != "east-kubeconfig" || secret.Annotations[meshv1alpha1.AnnotationRenew] != "true" {
		t.Errorf("it prints a %s %s/%s with the annotations %v", secret.Kind, secret.Namespace, secret.Name, secret.Annotations)
	}
	config, err := clientcmd.Load([]byte(secret.StringData["value"]))
	if err != nil || config.Clusters["member"].TLSServerName != "kubernetes" || config.AuthInfos["meshfleet-member"].Token == "" {
		t.Errorf("the kubeconfig is not complete: %v", err)
	}
}

// TestMemberKubeconfig wants the script to print the granted lifetime, and no kubeconfig whose token lives far shorter than asked.
func TestMemberKubeconfig(t *testing.T) {
	const year = 8760 * time.Hour
	cases := map[string]struct {
		granted  time.Duration
		args     []string
		wantErr  string
		wantText string
	}{
		"as long as asked":             {granted: year, wantText: "grants 8760h0m"},
		"a little shorter":             {granted: year * 3 / 4, wantText: "grants 6570h0m"},
		"a day in place of a year":     {granted: 24 * time.Hour, wantErr: "--accept-shorter", wantText: "asked for a token of 8760h0m, the API server grants 24h0m"},
		"an hour in place of a year":   {granted: time.Hour, wantErr: "client certificate", wantText: "grants 1h0m"},
		"accepted all the same":        {granted: time.Hour, args: []string{"--accept-shorter"}, wantText: "grants 1h0m"},
		"short, because it was asked":  {granted: 90 * time.Minute, args: []string{"--duration", "1h30m"}, wantText: "grants 1h30m"},
		"a duration that has no hours": {granted: 10 * time.Minute, args: []string{"--duration", "08m"}, wantText: "asked for a token of 0h8m"},
		"what is no duration":          {granted: year, args: []string{"--duration", "1y"}, wantErr: "--duration 1y"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			admin := filepath.Join(t.TempDir(), "admin.yaml")
			testutil.Must(t, os.WriteFile(admin, []byte("{}"), 0o600))
			var stdout, stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), testutil.InRepository("hack", "member-kubeconfig.sh"), append([]string{"--kubeconfig", admin}, c.args...)...)
			cmd.Env = append(os.Environ(), "KUBECTL="+playedKubectl(t, c.granted))
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if (err != nil) != (c.wantErr != "") || !strings.Contains(stderr.String(), c.wantErr) || !strings.Contains(stderr.String(), c.wantText) {
				t.Errorf("error %v, want %q; it says: %s", err, c.wantErr, stderr.String())
			}
			if strings.Contains(stderr.String(), "eyJ") {
				t.Error("it prints the token on the standard error output")
			}
			if err != nil {
				if stdout.Len() > 0 {
					t.Errorf("it prints a kubeconfig: %s", stdout.String())
				}
				return
			}
			config, err := clientcmd.Load(stdout.Bytes())
			if err != nil || config.Clusters["member"].TLSServerName != "kubernetes" || config.AuthInfos["meshfleet-member"].Token == "" {
				t.Errorf("the kubeconfig is not complete: %v", err)
			}
		})
	}
}
