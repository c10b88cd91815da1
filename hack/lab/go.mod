module github.com/meshfleet/meshfleet/hack/lab

go 1.26.0
