package envtest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// issue plays cert-manager on the hub, as far as the operator uses it: self-signed and CA issuers, ECDSA keys, no renewal.
func issue(t *testing.T, hub *cluster) {
	t.Helper()
	p := &issuers{hub: hub.admin}
	loop(t, hub, []client.Object{&cmv1.Issuer{}, &cmv1.Certificate{}, &corev1.Secret{}}, func(ctx context.Context) error {
		return errors.Join(p.issuers(ctx), p.certificates(ctx))
	})
}

type issuers struct{ hub client.Client }

func (p *issuers) issuers(ctx context.Context) error {
	list := &cmv1.IssuerList{}
	if err := p.hub.List(ctx, list); err != nil {
		return err
	}
	var errs []error
	for i := range list.Items {
		issuer := &list.Items[i]
		ready := cmmeta.ConditionTrue
		if issuer.Spec.CA != nil {
			if _, err := p.pair(ctx, issuer.Namespace, issuer.Spec.CA.SecretName); err != nil {
				ready = cmmeta.ConditionFalse // there is nothing to sign with
			}
		}
		if len(issuer.Status.Conditions) > 0 && issuer.Status.Conditions[0].Status == ready {
			continue
		}
		issuer.Status.Conditions = []cmv1.IssuerCondition{{Type: cmv1.IssuerConditionReady, Status: ready}}
		errs = append(errs, p.hub.Status().Update(ctx, issuer))
	}
	return errors.Join(errs...)
}

func (p *issuers) certificates(ctx context.Context) error {
	list := &cmv1.CertificateList{}
	if err := p.hub.List(ctx, list); err != nil {
		return err
	}
	var errs []error
	for i := range list.Items {
		certificate := &list.Items[i]
		if !certificate.DeletionTimestamp.IsZero() {
			continue
		}
		// A Secret that is lost is made again: with another key, if it was the only place of it.
		err := p.hub.Get(ctx, client.ObjectKey{Namespace: certificate.Namespace, Name: certificate.Spec.SecretName}, &corev1.Secret{})
		if err == nil && len(certificate.Status.Conditions) > 0 || client.IgnoreNotFound(err) != nil {
			errs = append(errs, err)
			continue
		}
		if err := p.certificate(ctx, certificate); err != nil {
			errs = append(errs, fmt.Errorf("Certificate %s: %w", certificate.Name, err))
		}
	}
	return errors.Join(errs...)
}

// certificate issues one, when its issuer is ready.
func (p *issuers) certificate(ctx context.Context, c *cmv1.Certificate) error {
	issuer := &cmv1.Issuer{}
	err := p.hub.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.Spec.IssuerRef.Name}, issuer)
	if err != nil || len(issuer.Status.Conditions) == 0 || issuer.Status.Conditions[0].Status != cmmeta.ConditionTrue {
		return client.IgnoreNotFound(err)
	}
	var ca *tls.Certificate
	if issuer.Spec.CA != nil {
		if ca, err = p.pair(ctx, c.Namespace, issuer.Spec.CA.SecretName); err != nil {
			return err
		}
	}
	secret, err := sign(c, ca)
	if err != nil {
		return err
	}
	if err := p.hub.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	c.Status.Conditions = []cmv1.CertificateCondition{{Type: cmv1.CertificateConditionReady, Status: cmmeta.ConditionTrue}}
	return p.hub.Status().Update(ctx, c)
}

func (p *issuers) pair(ctx context.Context, namespace, name string) (*tls.Certificate, error) {
	secret := &corev1.Secret{}
	if err := p.hub.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	return &pair, err
}

// sign makes the Secret of a Certificate. Without a CA the certificate signs itself.
func sign(c *cmv1.Certificate, ca *tls.Certificate) (*corev1.Secret, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	want := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: c.Spec.CommonName},
		// Older than what the operator waits before it gives a renewed certificate to a member.
		NotBefore: time.Now().Add(-10 * time.Minute), NotAfter: time.Now().Add(c.Spec.Duration.Duration),
		IsCA: c.Spec.IsCA, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	parent, signer := want, crypto.PrivateKey(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, want, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	root := der
	if ca != nil {
		root = ca.Certificate[0]
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Spec.SecretName}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
			"ca.crt":                pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}),
		},
	}
	if template := c.Spec.SecretTemplate; template != nil {
		secret.Labels, secret.Annotations = template.Labels, template.Annotations
	}
	return secret, nil
}
