package fetch

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// loginOf returns the credentials for a registry and a path in it. hint says why there are none.
func loginOf(src Source, host, path string) (login auth.Credential, hint string, err error) {
	if src.Username != "" {
		return auth.Credential{Username: src.Username, Password: src.Password}, "", nil
	}
	if len(src.DockerConfig) == 0 {
		return auth.EmptyCredential, "", nil
	}
	var config struct {
		Auths map[string]struct {
			Auth     string `json:"auth"`
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"auths"`
	}
	const form = `set it to {"auths": {"host": {"username": …, "password": …}}}`
	// The text of a JSON error may have a part of the content, which is secret.
	if json.Unmarshal(src.DockerConfig, &config) != nil {
		return auth.EmptyCredential, "", invalid(nil, "the docker config of spec.charts.pullSecretRef is not JSON with auths: %s", form)
	}
	best, bestLength := "", -1
	for _, key := range slices.Sorted(maps.Keys(config.Auths)) {
		entryHost, entryPath := splitEntry(key)
		isBelow := entryPath == "" || path == entryPath || strings.HasPrefix(path, entryPath+"/")
		if entryHost == canonical(host) && isBelow && len(entryPath) > bestLength {
			best, bestLength = key, len(entryPath)
		}
	}
	if bestLength < 0 {
		return auth.EmptyCredential, "the docker config has no entry for " + host, nil
	}
	entry := config.Auths[best]
	login = auth.Credential{Username: entry.Username, Password: entry.Password}
	if entry.Auth != "" {
		plain, err := base64.StdEncoding.DecodeString(entry.Auth)
		username, password, hasBoth := strings.Cut(string(plain), ":")
		if err != nil || !hasBoth {
			return auth.EmptyCredential, "", invalid(nil, "auth of %q in the docker config of spec.charts.pullSecretRef is not the base64 of "+
				"username:password: %s", clip(best), form)
		}
		login = auth.Credential{Username: username, Password: strings.TrimRight(password, "\x00")}
	}
	if login.Username == "" || login.Password == "" {
		return auth.EmptyCredential, "", invalid(nil, "%q in the docker config of spec.charts.pullSecretRef has no username and password: %s",
			clip(best), form)
	}
	return login, "", nil
}

// splitEntry splits a key of auths: host, host/path, https://host/v1/.
func splitEntry(key string) (host, path string) {
	if _, rest, hasScheme := strings.Cut(key, "://"); hasScheme {
		key = rest
	}
	host, path, _ = strings.Cut(key, "/")
	path = strings.Trim(path, "/")
	if path == "v1" || path == "v2" {
		path = ""
	}
	return canonical(host), path
}

// canonical gives one name to the three of Docker Hub.
func canonical(host string) string {
	host = strings.ToLower(host)
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return "docker.io"
	}
	return host
}
