package main

import "testing"

func TestCallerSPIFFE(t *testing.T) {
	tests := map[string]struct {
		headers []string
		want    string
	}{
		"is empty without the header": {},
		"reads the URI of the only element": {
			headers: []string{`By=spiffe://cluster.local/ns/demo/sa/echo;Hash=468ed3;Subject="";URI=spiffe://cluster.local/ns/demo/sa/client-east`},
			want:    "spiffe://cluster.local/ns/demo/sa/client-east",
		},
		"takes the last element, which the own sidecar wrote": {
			headers: []string{`By=spiffe://a;URI=spiffe://cluster.local/ns/evil/sa/forged,By=spiffe://b;URI=spiffe://cluster.local/ns/demo/sa/gateway`},
			want:    "spiffe://cluster.local/ns/demo/sa/gateway",
		},
		"takes the last of several header lines": {
			headers: []string{`URI=spiffe://cluster.local/ns/a/sa/one`, `URI=spiffe://cluster.local/ns/a/sa/two`},
			want:    "spiffe://cluster.local/ns/a/sa/two",
		},
		"is not confused by separators in a quoted subject": {
			headers: []string{`Hash=1;Subject="CN=a,O=\"x;y\",URI=spiffe://forged";URI=spiffe://cluster.local/ns/demo/sa/real`},
			want:    "spiffe://cluster.local/ns/demo/sa/real",
		},
		"is empty when the last caller had no identity": {
			headers: []string{`URI=spiffe://cluster.local/ns/a/sa/one,By=spiffe://b;Hash=2;URI=`},
		},
		"skips a URI that is no SPIFFE identity": {
			headers: []string{`URI=https://example.com/;uri="spiffe://cluster.local/ns/a/sa/quoted"`},
			want:    "spiffe://cluster.local/ns/a/sa/quoted",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := callerSPIFFE(tc.headers); got != tc.want {
				t.Errorf("callerSPIFFE() = %q, want %q", got, tc.want)
			}
		})
	}
}
