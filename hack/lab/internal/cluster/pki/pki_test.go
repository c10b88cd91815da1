package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"testing"
)

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	subject := Subject{
		Cluster: "east", NodeName: "east",
		Node: netip.MustParseAddr("172.30.0.11"), FirstService: netip.MustParseAddr("10.101.0.1"),
	}
	if err := Create(dir, subject); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	raw, err := os.ReadFile(CertFile(dir, CA))
	if err != nil {
		t.Fatal(err)
	}
	if !roots.AppendCertsFromPEM(raw) {
		t.Fatal("no certificate in the authority's file")
	}
	tests := map[string]struct {
		usage            x509.ExtKeyUsage
		wantName         string
		wantOrganization string
		wantHosts        []string
	}{
		APIServer: {
			usage: x509.ExtKeyUsageServerAuth, wantName: "kube-apiserver",
			wantHosts: []string{"kubernetes.default.svc", "localhost", "127.0.0.1", "172.30.0.11", "10.101.0.1"},
		},
		Kubelet: {
			usage: x509.ExtKeyUsageServerAuth, wantName: "system:node:east", wantOrganization: "system:nodes",
			wantHosts: []string{"east", "172.30.0.11"},
		},
		KubeletClient: {
			usage: x509.ExtKeyUsageClientAuth, wantName: "system:node:east", wantOrganization: "system:nodes",
		},
		Admin:              {usage: x509.ExtKeyUsageClientAuth, wantName: "lab-admin", wantOrganization: masters},
		APIServerToKubelet: {usage: x509.ExtKeyUsageClientAuth, wantName: "kube-apiserver-kubelet-client", wantOrganization: masters},
		ControllerManager:  {usage: x509.ExtKeyUsageClientAuth, wantName: "system:kube-controller-manager"},
		Scheduler:          {usage: x509.ExtKeyUsageClientAuth, wantName: "system:kube-scheduler"},
		Proxy:              {usage: x509.ExtKeyUsageClientAuth, wantName: "system:kube-proxy"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pair, err := tls.LoadX509KeyPair(CertFile(dir, name), KeyFile(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{tt.usage}}
			if _, err := pair.Leaf.Verify(options); err != nil {
				t.Errorf("verify: %v", err)
			}
			if got := pair.Leaf.Subject.CommonName; got != tt.wantName {
				t.Errorf("common name = %q, want %q", got, tt.wantName)
			}
			organization := ""
			if o := pair.Leaf.Subject.Organization; len(o) > 0 {
				organization = o[0]
			}
			if organization != tt.wantOrganization {
				t.Errorf("organization = %q, want %q", organization, tt.wantOrganization)
			}
			for _, host := range tt.wantHosts {
				if err := pair.Leaf.VerifyHostname(host); err != nil {
					t.Errorf("host %s: %v", host, err)
				}
			}
		})
	}
}

func TestKeysAreNotReadableByOthers(t *testing.T) {
	dir := t.TempDir()
	address := netip.MustParseAddr("127.0.0.1")
	if err := Create(dir, Subject{Cluster: "a", NodeName: "a", Node: address, FirstService: address}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{CA, Admin, ServiceAccount} {
		info, err := os.Stat(KeyFile(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("key %s has mode %v, want 0600", name, info.Mode().Perm())
		}
	}
}
