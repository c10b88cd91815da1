package harness

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// KubeconfigSecretKey is the key of a member's kubeconfig in its Secret.
const KubeconfigSecretKey = "value"

// KubeconfigSecretName is the name of the Secret that the sample names for a member.
func KubeconfigSecretName(member string) string { return member + "-kubeconfig" }

// JoinMember gives the operator its credential for a member: a ServiceAccount there with exactly the permissions of
// config/member-rbac, as a kubeconfig in a Secret on the hub.
func (e *Env) JoinMember(ctx context.Context, member string) error {
	kubeconfig, err := e.MemberKubeconfig(ctx, member)
	if err != nil {
		return err
	}
	return e.WriteKubeconfigSecret(ctx, member, kubeconfig)
}

// MemberKubeconfig runs the script that a user would run and returns the kubeconfig that it prints.
func (e *Env) MemberKubeconfig(ctx context.Context, member string) (string, error) {
	path, err := e.KubectlPath(ctx)
	if err != nil {
		return "", err
	}
	out, err := e.output(ctx, "env", "KUBECTL="+path, "hack/member-kubeconfig.sh",
		"--kubeconfig", e.Cluster(member).Kubeconfig)
	if err != nil {
		return "", fmt.Errorf("make the kubeconfig of member %q: %w", member, err)
	}
	return out, nil
}

// WriteKubeconfigSecret stores a kubeconfig where the sample looks for the member's.
func (e *Env) WriteKubeconfigSecret(ctx context.Context, member, kubeconfig string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: OperatorNamespace, Name: KubeconfigSecretName(member),
	}}
	err := e.Hub.Client.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get the kubeconfig Secret of member %q: %w", member, err)
	}
	secret.Data = map[string][]byte{KubeconfigSecretKey: []byte(kubeconfig)}
	if err != nil {
		err = e.Hub.Client.Create(ctx, secret)
	} else {
		err = e.Hub.Client.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("write the kubeconfig Secret of member %q: %w", member, err)
	}
	return nil
}

// memberIdentity is the user name under which the operator acts in a member, read from the token in its kubeconfig.
func (e *Env) memberIdentity(ctx context.Context, member string) (string, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: OperatorNamespace, Name: KubeconfigSecretName(member)}
	if err := e.Hub.Client.Get(ctx, key, secret); err != nil {
		return "", fmt.Errorf("get the kubeconfig Secret of member %q: %w", member, err)
	}
	config, err := clientcmd.Load(secret.Data[KubeconfigSecretKey])
	if err != nil {
		return "", fmt.Errorf("parse the kubeconfig of member %q: %w", member, err)
	}
	for _, info := range config.AuthInfos {
		if info.Token != "" {
			return tokenSubject(info.Token)
		}
	}
	return "", fmt.Errorf("the kubeconfig of member %q has no token", member)
}

// tokenSubject reads the subject of a ServiceAccount token without checking it.
func tokenSubject(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("the token is not a JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", fmt.Errorf("decode the token: %w", err)
	}
	var claims struct {
		Sub string `json:"sub"`
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return "", fmt.Errorf("decode the token: %w", err)
	}
	return claims.Sub, nil
}
