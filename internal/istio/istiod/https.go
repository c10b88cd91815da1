package istiod

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"

	"k8s.io/client-go/rest"
)

// WebhookPort is where istiod serves its webhooks, over TLS and without asking for a client certificate.
const WebhookPort = 15017

// HTTPSClient makes a client whose every connection leads to a port of a pod, where it accepts only a certificate of
// that name signed below those roots. Close its idle connections when it is no longer needed.
func HTTPSClient(cfg *rest.Config, namespace, pod string, port int, roots *x509.CertPool, serverName string) *http.Client {
	return &http.Client{Timeout: askTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return Dial(ctx, cfg, namespace, pod, port)
		},
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12},
	}}
}
