package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAPI(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"cluster":"east"}`)
	}))
	defer target.Close()
	control := httptest.NewServer(newAPI(t.Context()))
	defer control.Close()

	var started, stopped report
	call(t, http.MethodPost, control.URL+"/run", `{"url":"`+target.URL+`","rps":200,"duration":"1h","timeout":"2s"}`, http.StatusCreated, &started)
	if !started.Running || started.ID == "" {
		t.Fatalf("started run is %+v, want a running one with an id", started)
	}
	for soFar := started; soFar.OK < 5; {
		call(t, http.MethodGet, control.URL+"/run/"+started.ID, "", http.StatusOK, &soFar)
	}
	call(t, http.MethodPost, control.URL+"/run/"+started.ID+"/stop", "", http.StatusOK, &stopped)
	if stopped.Running || stopped.Sent != stopped.OK || stopped.ByCluster["east"] != stopped.OK || stopped.Max <= 0 {
		t.Errorf("stopped run is %+v, want all sent to be answered by east", stopped)
	}

	var shots struct{ Answers []answer }
	call(t, http.MethodPost, control.URL+"/once", `{"url":"`+target.URL+`","count":3,"concurrency":2,"newConnection":true}`, http.StatusOK, &shots)
	if len(shots.Answers) != 3 || shots.Answers[2].Status != 200 || shots.Answers[2].Cluster != "east" {
		t.Errorf("answers are %+v, want three of east", shots.Answers)
	}
	call(t, http.MethodGet, control.URL+"/once?timeout=2s&url="+target.URL, "", http.StatusOK, &shots)
	if len(shots.Answers) != 1 || shots.Answers[0].Body != `{"cluster":"east"}` {
		t.Errorf("answers are %+v, want one", shots.Answers)
	}
}

func TestAPIRejects(t *testing.T) {
	control := httptest.NewServer(newAPI(t.Context()))
	defer control.Close()
	tests := map[string]struct {
		method, path, body string
		want               int
	}{
		"an unknown run":            {http.MethodGet, "/run/7", "", http.StatusNotFound},
		"an order without URL":      {http.MethodPost, "/run", `{}`, http.StatusBadRequest},
		"a misspelt field":          {http.MethodPost, "/run", `{"url":"http://echo","rate":5}`, http.StatusBadRequest},
		"a run without end":         {http.MethodPost, "/run", `{"url":"http://echo","duration":"100h"}`, http.StatusBadRequest},
		"a URL of another protocol": {http.MethodGet, "/once?url=ftp://echo", "", http.StatusBadRequest},
		"a timeout without unit":    {http.MethodGet, "/once?url=http://echo&timeout=5", "", http.StatusBadRequest},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			call(t, tc.method, control.URL+tc.path, tc.body, tc.want, nil)
		})
	}
}

func TestRunMode(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.Header.Get("X-Test"), http.StatusServiceUnavailable)
	}))
	defer target.Close()
	var out bytes.Buffer
	args := strings.Fields("run -rps 50 -duration 100ms -json -header X-Test:down -url " + target.URL)
	if err := command(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Sent != 5 || got.Failed != 5 || got.ByStatus["503"] != 5 || got.Failures[0].Error != "down\n" {
		t.Errorf("report is %+v, want five times 503 with the body %q", got, "down\n")
	}
	if err := command(t.Context(), []string{"walk"}, &out); err == nil {
		t.Error("command() accepted an unknown mode")
	}
}

func call(t *testing.T, method, url, body string, wantStatus int, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != wantStatus {
		t.Fatalf("%s %s = %d, want %d: %s", method, url, resp.StatusCode, wantStatus, content)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("%s %s answered %s: %v", method, url, content, err)
	}
}
