package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/build"
)

// Source says how to reach a member. Exactly one field is set.
type Source struct {
	// Kubeconfig is a kubeconfig whose current context is the member.
	Kubeconfig []byte
	// Local is the cluster of Options.Local.
	Local bool
}

// SourceError is returned for a source that no retry can make usable.
type SourceError struct {
	// Reason is a condition reason of api/v1alpha1.
	Reason string
	// Message says what is wrong and what to do about it. It contains no credential.
	Message string
}

func (e *SourceError) Error() string { return e.Message }

func invalid(format string, args ...any) error {
	return &SourceError{Reason: meshv1alpha1.ReasonKubeconfigInvalid, Message: fmt.Sprintf(format, args...)}
}

// id identifies the source without revealing it.
func (s Source) id() string {
	if s.Local {
		return "local"
	}
	sum := sha256.Sum256(s.Kubeconfig)
	return hex.EncodeToString(sum[:])
}

// target is a source that can be dialled.
type target struct {
	id      string
	config  *rest.Config
	secrets []string
	// lifetime is that of the credential, and proxied is true when the connection goes through a proxy of the kubeconfig.
	lifetime Lifetime
	proxied  bool
}

// sameServer says whether both lead to the same API server, perhaps with other credentials.
func (t *target) sameServer(other *target) bool {
	return t.config.Host == other.config.Host && t.config.ServerName == other.config.ServerName &&
		string(t.config.CAData) == string(other.config.CAData)
}

func (o Options) resolve(src Source) (*target, error) {
	if src.Local == (len(src.Kubeconfig) > 0) {
		return nil, invalid("set either a kubeconfig that is not empty or the local cluster")
	}
	t := &target{id: src.id()}
	if src.Local {
		if o.Local == nil {
			return nil, invalid("the operator has no connection to its own cluster")
		}
		t.config = rest.CopyConfig(o.Local)
		// Peers need the CA's certificate, which a pod's own configuration only has as a file.
		if err := rest.LoadTLSFiles(t.config); err != nil {
			return nil, invalid("read the CA of the operator's own cluster: %v", err)
		}
	} else {
		config, proxy, err := parseKubeconfig(src.Kubeconfig)
		if err != nil {
			return nil, err
		}
		t.config = config
		t.lifetime, t.proxied = lifetimeOf(config), config.Proxy != nil
		t.secrets = append(t.secrets, proxy)
	}
	t.secrets = append(t.secrets, t.config.BearerToken, t.config.Password, string(t.config.KeyData))
	t.config.UserAgent = build.Current().UserAgent()
	t.config.QPS, t.config.Burst = o.QPS, o.Burst
	return t, nil
}

// parseKubeconfig accepts what works the same on any machine: inline data only, no programs, no files. The second
// result is the password of the proxy. Texts of the parsers are never passed on, because some quote the input.
func parseKubeconfig(data []byte) (*rest.Config, string, error) {
	kubeconfig, err := clientcmd.Load(data)
	if err != nil {
		return nil, "", invalid("the kubeconfig cannot be parsed: it must be YAML or JSON of kind Config, apiVersion v1")
	}
	kctx := kubeconfig.Contexts[kubeconfig.CurrentContext]
	if kctx == nil {
		return nil, "", invalid("the kubeconfig's current-context %q does not exist: set it to one of its contexts",
			kubeconfig.CurrentContext)
	}
	cluster, user := kubeconfig.Clusters[kctx.Cluster], kubeconfig.AuthInfos[kctx.AuthInfo]
	if cluster == nil {
		return nil, "", invalid("the kubeconfig has no cluster %q, which its current context names", kctx.Cluster)
	}
	if user == nil {
		return nil, "", invalid("the kubeconfig has no user %q, which its current context names", kctx.AuthInfo)
	}
	if err := checkCluster(cluster); err != nil {
		return nil, "", err
	}
	if err := checkUser(user); err != nil {
		return nil, "", err
	}
	proxyPassword := ""
	if cluster.ProxyURL != "" {
		proxy, err := url.Parse(cluster.ProxyURL)
		if err != nil {
			return nil, "", invalid("the kubeconfig's proxy-url is not a URL")
		}
		proxyPassword, _ = proxy.User.Password()
	}
	config, err := clientcmd.NewDefaultClientConfig(*kubeconfig, nil).ClientConfig()
	if err != nil {
		return nil, "", invalid("the kubeconfig's current context is not usable: check its cluster and user")
	}
	if _, err := rest.TLSConfigFor(config); err != nil {
		return nil, "", invalid("the kubeconfig's certificates or key are not usable: certificate-authority-data and " +
			"client-certificate-data must be PEM certificates, and client-key-data the key of the latter")
	}
	return config, proxyPassword, nil
}

func checkCluster(cluster *clientcmdapi.Cluster) error {
	server, err := url.Parse(cluster.Server)
	switch {
	case err != nil || server.Scheme != "https" || server.Host == "":
		return invalid("the kubeconfig's server must be an https URL with a host")
	case server.User != nil:
		return invalid("the kubeconfig's server must not contain a user or password: use a token or a client certificate")
	case cluster.InsecureSkipTLSVerify:
		return invalid("the kubeconfig sets insecure-skip-tls-verify, which would let anybody be the member: " +
			"set certificate-authority-data instead")
	case cluster.CertificateAuthority != "":
		return invalid("the kubeconfig names a certificate-authority file, which the operator does not have: " +
			"set certificate-authority-data instead (kubectl config view --raw --flatten does it)")
	}
	return nil
}

func checkUser(user *clientcmdapi.AuthInfo) error {
	const flatten = "set %s instead (kubectl config view --raw --flatten does it)"
	switch {
	case user.Exec != nil:
		return invalid("the kubeconfig runs a program to get credentials (exec), which the operator does not do: " +
			"use the token of a ServiceAccount or a client certificate")
	case user.AuthProvider != nil:
		return invalid("the kubeconfig uses an auth-provider, which the operator does not have: " +
			"use the token of a ServiceAccount or a client certificate")
	case user.TokenFile != "":
		return invalid("the kubeconfig names a tokenFile, which the operator does not have: set token instead")
	case user.ClientCertificate != "":
		return invalid("the kubeconfig names a client-certificate file, which the operator does not have: "+flatten,
			"client-certificate-data")
	case user.ClientKey != "":
		return invalid("the kubeconfig names a client-key file, which the operator does not have: "+flatten,
			"client-key-data")
	case user.Token == "" && (len(user.ClientCertificateData) == 0 || len(user.ClientKeyData) == 0):
		return invalid("the kubeconfig's user has no credential: " +
			"set token, or client-certificate-data and client-key-data")
	}
	return nil
}
