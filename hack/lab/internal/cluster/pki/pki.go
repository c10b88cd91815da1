// Package pki makes the keys and certificates of one cluster: one authority for everything, and a certificate for each
// component with exactly the name that the built-in RBAC rules expect.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Names of the key pairs; each has a file <name>.crt and <name>.key.
const (
	CA                    = "ca"
	APIServer             = "apiserver"
	APIServerToKubelet    = "apiserver-kubelet-client"
	Kubelet               = "kubelet"
	KubeletClient         = "kubelet-client"
	Admin                 = "admin"
	ControllerManager     = "kube-controller-manager"
	Scheduler             = "kube-scheduler"
	Proxy                 = "kube-proxy"
	ServiceAccount        = "service-account"
	masters               = "system:masters"
	validity              = 365 * 24 * time.Hour
	clockSkew             = 5 * time.Minute
	serviceAccountKeyBits = 2048
)

// Subject is what the certificates are made for.
type Subject struct {
	Cluster string
	// NodeName and Node are the name and address of the only node.
	NodeName string
	Node     netip.Addr
	// FirstService is the ClusterIP that pods know the API server by.
	FirstService netip.Addr
}

type template struct {
	commonName, organization string
	usage                    x509.ExtKeyUsage
	dnsNames                 []string
	addresses                []netip.Addr
}

// CertFile and KeyFile are the paths of a pair.
func CertFile(dir, name string) string { return filepath.Join(dir, name+".crt") }

// KeyFile see CertFile.
func KeyFile(dir, name string) string { return filepath.Join(dir, name+".key") }

// Create writes all pairs into dir.
func Create(dir string, subject Subject) error {
	authority, err := newAuthority(dir, subject.Cluster)
	if err != nil {
		return err
	}
	for name, t := range templates(subject) {
		if err := authority.issue(dir, name, t); err != nil {
			return fmt.Errorf("issue certificate %q: %w", name, err)
		}
	}
	// Tokens are signed with RSA: it is what every consumer of service account tokens accepts.
	key, err := rsa.GenerateKey(rand.Reader, serviceAccountKeyBits)
	if err != nil {
		return fmt.Errorf("generate service account key: %w", err)
	}
	return writeKey(dir, ServiceAccount, key)
}

func templates(s Subject) map[string]template {
	node := "system:node:" + s.NodeName
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	client := func(organization, name string) template {
		return template{commonName: name, organization: organization, usage: x509.ExtKeyUsageClientAuth}
	}
	return map[string]template{
		APIServer: {
			commonName: "kube-apiserver", usage: x509.ExtKeyUsageServerAuth,
			dnsNames: []string{
				"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
				"localhost", s.NodeName,
			},
			addresses: []netip.Addr{loopback, s.Node, s.FirstService},
		},
		Kubelet: {
			commonName: node, organization: "system:nodes", usage: x509.ExtKeyUsageServerAuth,
			dnsNames: []string{s.NodeName}, addresses: []netip.Addr{s.Node},
		},
		KubeletClient:      client("system:nodes", node),
		APIServerToKubelet: client(masters, "kube-apiserver-kubelet-client"),
		Admin:              client(masters, "lab-admin"),
		ControllerManager:  client("", "system:kube-controller-manager"),
		Scheduler:          client("", "system:kube-scheduler"),
		Proxy:              client("", "system:kube-proxy"),
	}
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(dir, cluster string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate authority key: %w", err)
	}
	certificate, err := base(pkix.Name{CommonName: "lab-" + cluster})
	if err != nil {
		return nil, err
	}
	certificate.IsCA = true
	certificate.BasicConstraintsValid = true
	certificate.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, certificate, certificate, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("create authority: %w", err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("create authority: %w", err)
	}
	return &authority{certificate: parsed, key: key}, writePair(dir, CA, der, key)
}

func (a *authority) issue(dir, name string, t template) error {
	subject := pkix.Name{CommonName: t.commonName}
	if t.organization != "" {
		subject.Organization = []string{t.organization}
	}
	certificate, err := base(subject)
	if err != nil {
		return err
	}
	certificate.KeyUsage = x509.KeyUsageDigitalSignature
	certificate.ExtKeyUsage = []x509.ExtKeyUsage{t.usage}
	certificate.DNSNames = t.dnsNames
	for _, address := range t.addresses {
		certificate.IPAddresses = append(certificate.IPAddresses, net.IP(address.AsSlice()))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, a.certificate, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return writePair(dir, name, der, key)
}

func base(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("generate serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(validity),
	}, nil
}

func writePair(dir, name string, der []byte, key any) error {
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(CertFile(dir, name), block, 0o644); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	return writeKey(dir, name, key)
}

func writeKey(dir, name string, key any) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(KeyFile(dir, name), block, 0o600); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}
