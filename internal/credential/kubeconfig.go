// Package credential renews the credential by which the operator reaches a member, where it is a token of a ServiceAccount.
package credential

import (
	"bytes"
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshfleet/meshfleet/internal/fleet"
)

// errNoAccount says that a kubeconfig has nothing that can be renewed.
var errNoAccount = errors.New("its user has no token of a ServiceAccount with an expiry, and only such a token can be renewed")

// errNotInPlace says that a kubeconfig has its token in another form than as it is.
var errNotInPlace = errors.New("its token cannot be replaced in the text of the kubeconfig: write the token in one line, and without escapes")

// userToken is the token of the user of a kubeconfig, and its account.
type userToken struct {
	text    string
	claims  fleet.Token
	account types.NamespacedName
}

// readToken reads the token of the current context's user. Errors: errNoAccount. Texts of the parser are never passed on, because some
// quote the input.
func readToken(kubeconfig []byte) (userToken, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return userToken{}, errNoAccount
	}
	kctx := config.Contexts[config.CurrentContext]
	if kctx == nil || config.AuthInfos[kctx.AuthInfo] == nil {
		return userToken{}, errNoAccount
	}
	text := config.AuthInfos[kctx.AuthInfo].Token
	claims := fleet.ReadToken(text)
	account, isAccount := strings.CutPrefix(claims.Subject, "system:serviceaccount:")
	namespace, name, isNamed := strings.Cut(account, ":")
	if !isAccount || !isNamed || claims.NotBefore.IsZero() || !claims.NotAfter.After(claims.NotBefore) {
		return userToken{}, errNoAccount
	}
	return userToken{text: text, claims: claims, account: types.NamespacedName{Namespace: namespace, Name: name}}, nil
}

// withToken is the kubeconfig with another token for the same user. Nothing else in it changes.
func withToken(kubeconfig []byte, old, renewed string) ([]byte, error) {
	out := bytes.ReplaceAll(kubeconfig, []byte(old), []byte(renewed))
	if got, err := readToken(out); err != nil || got.text != renewed {
		return nil, errNotInPlace
	}
	return out, nil
}
